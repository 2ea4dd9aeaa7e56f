"""What could not be read is equal to nothing, and counts as nothing."""

import dataclasses
import math

import pytest
from hypothesis import given

from backends.domain.facts import (
    NOT_READ,
    Finalized,
    NodeFacts,
    NodeReading,
    ReadStatus,
    Unknown,
    VersionRef,
    same,
)
from backends.domain.problem import Problem
from backends.domain.states import NodeState, ServiceState, Unreachable
from tests.domain.nodes import (
    LOST,
    awaited,
    facts,
    node,
    nothing_there,
    silent,
    some_facts,
    transaction,
    upgraded,
)


def test_unknown_equals_nothing_not_even_itself():
    lost = Unknown("why")
    for other in (lost, Unknown("why"), None, "why", 0):
        assert (lost == other) is False
        assert lost != other
        assert (other == lost) is False


def test_unknown_can_be_hashed_by_identity():
    assert len({LOST, LOST, Unknown("permission denied")}) == 2


def test_unknown_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LOST.reason = "other"


@given(some_facts, some_facts)
def test_same_needs_two_readings(a, b):
    expected = not isinstance(a, Unknown) and not isinstance(b, Unknown) and a == b
    assert same(a, b) is expected
    assert same(b, a) is expected


def test_none_is_a_reading():
    assert same(None, None)
    assert not same(None, LOST)
    assert not same(LOST, LOST)


def test_what_is_not_given_is_unknown():
    bare = NodeFacts("n1", "netstack")
    assert bare.state is NodeState.UNKNOWN
    assert bare.running is NOT_READ
    assert not bare.is_finalized
    assert not bare.is_absent
    assert not bare.is_down
    assert not bare.is_open
    assert bare.unfinalized_version is None
    assert [name for name, _ in bare.missing] == ["running", "selected", "finalized"]


@pytest.mark.parametrize("lost", ["running", "selected", "finalized"])
def test_n5_a_fact_that_could_not_be_read_is_never_finalized(lost):
    assert facts("n1").is_finalized
    assert not facts("n1", **{lost: LOST}).is_finalized
    assert dict(facts("n1", **{lost: LOST}).missing) == {lost: "permission denied"}


def test_three_read_statuses_are_told_apart():
    assert awaited("n1").status is ReadStatus.DETERMINING
    assert node("n1").status is ReadStatus.READ
    assert silent("n1").status is ReadStatus.UNREADABLE
    assert NodeReading("n1", problem=Problem("x", "X.")).status is ReadStatus.UNREADABLE


def test_old_facts_of_a_node_that_is_silent_now_are_no_reading():
    reading = node("n1", unreachable=Unreachable.TCP)
    assert not reading.read
    assert not reading.is_fresh(60)


@pytest.mark.parametrize(
    ("age", "fresh"), [(0, True), (60, True), (60.1, False), (None, False), (-1, False)]
)
def test_a_reading_is_fresh_up_to_its_time_to_live(age, fresh):
    assert node("n1", age_seconds=age).is_fresh(60) is fresh


def test_an_age_that_is_no_number_is_not_fresh():
    assert not node("n1", age_seconds=math.nan).is_fresh(60)


def test_excluded_and_disabled_nodes_are_left_out_with_a_reason():
    assert node("n1").left_out is None
    assert node("n1", excluded="disk dead").left_out == "disk dead"
    assert NodeReading("n1", excluded="disk dead").left_out == "disk dead"
    assert "marker file" in node("n1", state=NodeState.DISABLED).left_out
    assert node("n1", state=NodeState.DISABLED, note="by ann").left_out == "by ann"


def test_a_node_that_was_disabled_and_is_silent_now_counts_as_silent():
    assert node("n1", state=NodeState.DISABLED, unreachable=Unreachable.TCP).left_out is None


def test_a_service_that_a_step_has_stopped_is_not_down():
    stopped = {"running": None, "service": ServiceState.STOPPED}
    assert facts("n1", **stopped).is_down
    assert not upgraded("n1", state=NodeState.INSTALLING, **stopped).facts.is_down
    dead = transaction(driver_alive=False)
    assert upgraded("n1", state=NodeState.INSTALLING, transaction=dead, **stopped).facts.is_down
    assert not nothing_there("n1").facts.is_down


def test_a_stopped_service_is_down_also_when_what_ran_is_not_known():
    assert facts("n1", running=LOST, service=ServiceState.STOPPED).is_down
    assert facts("n1", running=None, service=ServiceState.UNKNOWN).is_down
    assert not facts("n1", running=LOST, service=ServiceState.UNKNOWN).is_down


def test_the_previous_version_must_be_what_was_final_to_explain_another_one():
    final = Finalized("4.12", "1101-aaa")
    pending = facts("n1", "4.12", finalized=Finalized("4.11", "r"), previous=VersionRef("4.11"))
    assert pending.unfinalized_version == "4.12"
    by_hand = facts("n1", "4.13", finalized=final, previous=VersionRef("4.11"))
    assert by_hand.unfinalized_version is None
    pointed_back = facts("n1", "4.11", finalized=final, previous=VersionRef("4.11"))
    assert pointed_back.unfinalized_version is None


def test_a_version_that_is_only_selected_is_not_final_either():
    switched = facts(
        "n1",
        "4.11",
        selected="4.12",
        finalized=Finalized("4.11", "r"),
        previous=VersionRef("4.11"),
    )
    assert switched.unfinalized_version == "4.12"
