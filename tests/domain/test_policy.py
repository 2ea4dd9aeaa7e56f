"""The defaults are those of the design, and numbers that cannot work are refused."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.domain.policy import Limits, Policy, invariants, is_reached
from backends.domain.states import Outcome


def codes(limits=None, policy=None):
    return [problem.code for problem in invariants(limits or Limits(), policy or Policy())]


def test_the_defaults_are_those_of_the_design():
    assert dataclasses.astuple(Limits()) == (
        *(300, 30, 600, 1, 2, 3, 10, 5, 10, 30, 600, 8, 8, 16, 8, 10, 1, 2.5, 3600),
    )
    policy = Policy()
    assert (policy.batch, policy.pause, policy.accept) == (1, "first", "auto")
    assert (policy.if_operator_vanishes, policy.on_failure) == ("rollback", "rollback")
    assert policy.second_layer == "auto"
    assert (policy.limit_failed, policy.limit_unreachable, policy.limit_timed_out) == (0, 0, 0)
    assert policy.reading_ttl_seconds == 60
    assert codes() == []


def test_short_times_fit_when_the_connection_is_as_short():
    short = Limits(
        min_healthy_seconds=2,
        healthy_deadline_seconds=6,
        accept_window_seconds=20,
        connect_seconds=2,
    )
    assert codes(short) == []
    assert codes(dataclasses.replace(short, connect_seconds=10)) == ["healthy-deadline-too-short"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"node_request_seconds": 10}, "node-limit-not-below-operator-limit"),
        ({"min_healthy_seconds": 290}, "healthy-deadline-too-short"),
        ({"connect_seconds": 270}, "healthy-deadline-too-short"),
        ({"accept_window_seconds": 300}, "accept-window-too-short"),
        ({"accept_window_seconds": 0}, "limit-out-of-range"),
        ({"stale_beats": math.nan}, "limit-out-of-range"),
        ({"stop_seconds": math.inf}, "limit-out-of-range"),
        ({"uploads": -1}, "limit-out-of-range"),
        ({"max_flaps": -1}, "limit-out-of-range"),
    ],
)
def test_a_number_that_cannot_work_is_named(change, code):
    problems = invariants(Limits(**change), Policy())
    assert [problem.code for problem in problems] == [code]
    assert all(problem.summary and problem.advice for problem in problems)


def test_a_batch_of_nothing_is_refused_and_a_limit_of_nothing_is_not():
    assert codes(policy=Policy(batch=0)) == ["limit-out-of-range"]
    assert codes(Limits(max_restarts=0, max_flaps=0), Policy(limit_failed=0)) == []


@given(st.floats(1, 1000), st.floats(1, 1000), st.floats(1, 1000), st.floats(1, 1000))
def test_times_are_accepted_exactly_when_a_healthy_node_can_be_accepted(
    connect, healthy, deadline, window
):
    limits = Limits(
        connect_seconds=connect,
        min_healthy_seconds=healthy,
        healthy_deadline_seconds=deadline,
        accept_window_seconds=window,
    )
    assert (codes(limits) == []) == (connect + healthy < deadline < window)


def test_a_limit_is_reached_and_not_exceeded():
    assert [is_reached(0, count) for count in (0, 1)] == [False, True]
    assert [is_reached(2, count) for count in (0, 1, 2, 3)] == [False, False, True, True]


def test_outcomes_count_apart():
    policy = Policy(limit_failed=2, limit_unreachable=2, limit_timed_out=2, limit_refused=2)
    one_each = {outcome: 1 for outcome in Outcome if outcome is not Outcome.UNPROVEN}
    del one_each[Outcome.UNDONE]
    assert policy.stopped_by(one_each) is None
    for outcome in (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMED_OUT, Outcome.REFUSED):
        assert policy.stopped_by(one_each | {outcome: 2}) is outcome


def test_the_first_failure_stops_unless_more_are_allowed():
    assert Policy().stopped_by({Outcome.OK: 100}) is None
    assert Policy().stopped_by({Outcome.FAILED: 1}) is Outcome.FAILED


def test_an_undone_node_has_failed():
    assert Policy().stopped_by({Outcome.UNDONE: 1}) is Outcome.FAILED
    policy = Policy(limit_failed=2)
    assert policy.stopped_by({Outcome.UNDONE: 1, Outcome.FAILED: 1}) is Outcome.FAILED


def test_an_unproven_node_stops_whatever_the_limits():
    policy = Policy(limit_failed=99)
    assert policy.stopped_by({Outcome.UNPROVEN: 1}) is Outcome.UNPROVEN
