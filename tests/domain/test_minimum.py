"""What a batch leaves is counted by role and for the cluster, and too little is refused (B8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.domain.conditions import ConditionState, Target
from backends.domain.conditions_minimum import ENOUGH_LEFT
from backends.domain.gates import before_turn, before_upgrade
from backends.domain.minimum import EVERYWHERE, Minimum, left, simulated
from backends.domain.policy import Skip
from tests.support.readings import old

ROLES = {"n1": "voter", "n2": "voter", "n3": "voter", "e1": "edge"}
MAJORITY = Minimum("voter", None)


def condition(gate):
    return next(each for each in gate.conditions if each.name == ENOUGH_LEFT)


def readings(*down):
    from dataclasses import replace

    from backends.domain.states import HealthState

    found = []
    for name, role in ROLES.items():
        reading = replace(old(name), role=role)
        if name in down:
            facts = replace(reading.facts, health=HealthState.FAILING)
            reading = replace(reading, facts=facts)
        found.append(reading)
    return found


def target(*turns, minimums=(MAJORITY,), skips=()):
    return Target(
        run="r", version="9", turns=turns, minimums=minimums, skips=skips, patience_seconds=9
    )


def test_what_a_batch_takes_is_told_by_role_and_for_the_cluster():
    found = left([MAJORITY], ROLES, [*ROLES], ["n1"])
    assert [str(each) for each in found] == [
        "2 of 3 voter (n2, n3), needed: 2",
        "3 of 4 nodes (n2, n3, e1)",
    ]
    assert all(each.is_enough for each in found)


def test_a_node_that_does_not_serve_takes_nothing_away():
    assert left([MAJORITY], ROLES, ["n2"], ["n1"]) == ()


def test_batches_are_simulated_as_if_those_before_came_up_again():
    first, second = simulated([MAJORITY], ROLES, ["n2", "n3"], [["n1"], ["n2"]])
    assert first == ()
    assert second[0].nodes == ("n1", "n3")


@pytest.mark.parametrize(("of", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_the_majority_is_more_than_half(of, needed):
    assert MAJORITY.needed(of) == needed


def test_a_plan_that_would_go_below_the_minimum_is_refused_and_says_where():
    gate = before_upgrade(readings(), target(("n1",), ("n2", "n3")))
    found = condition(gate)
    assert found.state is ConditionState.REFUSED
    assert "while n2, n3 are changed, 1 of 3 voter (n1), needed: 2" in found.text
    assert not gate.is_open


def test_one_at_a_time_is_enough():
    assert condition(before_upgrade(readings(), target(("n1",), ("n2",)))).state == "ok"


def test_before_a_turn_what_may_come_up_is_waited_for():
    gate = before_turn("n2", readings("n1"), target(("n1",), ("n2",)))
    found = condition(gate)
    assert found.state is ConditionState.WAIT
    assert "1 of 3 voter (n3), needed: 2" in found.text


def test_before_a_turn_what_can_never_be_enough_is_refused():
    gate = before_turn("n2", readings(), target(("n2", "n3")))
    assert condition(gate).state is ConditionState.REFUSED


def test_no_minimum_is_no_condition():
    names = {each.name for each in before_upgrade(readings(), target(minimums=())).conditions}
    assert ENOUGH_LEFT not in names


def test_a_role_that_no_node_has_is_said():
    found = condition(before_upgrade(readings(), target(("n1",), minimums=(Minimum("votr", 2),))))
    assert found.state is ConditionState.WARN
    assert "votr" in found.text


def test_a_skipped_minimum_stays_red_and_shuts_nothing():
    skips = (Skip(ENOUGH_LEFT, "window of INC-7"),)
    gate = before_upgrade(readings(), target(("n1", "n2"), skips=skips))
    found = condition(gate)
    assert found.state is ConditionState.REFUSED
    assert "SKIPPED: window of INC-7" in str(found)
    assert found not in gate.blocking


roles = st.dictionaries(st.text(max_size=3), st.sampled_from(["voter", "edge", ""]), min_size=1)


@given(roles, st.data(), st.integers(1, 5))
def test_what_is_left_never_serves_less_than_it_says(roles, data, count):
    names = sorted(roles)
    serving = data.draw(st.sets(st.sampled_from(names)))
    batch = data.draw(st.lists(st.sampled_from(names), unique=True))
    for each in left([Minimum(EVERYWHERE, count)], roles, serving, batch):
        assert {*each.nodes} <= serving - {*batch}
        assert each.is_enough is (len(each.nodes) >= each.needed)
        if each.role == EVERYWHERE:
            assert {*each.nodes} == serving - {*batch}
