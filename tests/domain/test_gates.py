"""Gates are shut for every reason that the design names, and say it."""

import dataclasses

import pytest
from hypothesis import given, settings

from backends.domain.facts import Finalized, NodeReading, VersionRef
from backends.domain.gates import (
    Condition,
    ConditionState,
    Gate,
    Target,
    before_turn,
    before_upgrade,
)
from backends.domain.problem import LiftlockError
from backends.domain.states import HealthState, NodeState, ServiceState, Unreachable
from tests.domain.nodes import (
    LOST,
    awaited,
    clusters,
    node,
    nothing_there,
    silent,
    transaction,
    upgraded,
)

TARGET = Target(run="1120-k7f", version="4.12", digest="new")
OLD = [node("n1", "4.11"), node("n2", "4.11")]


def blocked(gate):
    """The names of what blocks."""
    return [condition.name for condition in gate.blocking]


def line(gate, name):
    return next(condition for condition in gate.conditions if condition.name == name)


def test_a_settled_cluster_may_be_upgraded():
    gate = before_upgrade(OLD, TARGET)
    assert gate.is_open
    assert all(condition.text for condition in gate.conditions)


def test_a_first_install_may_begin():
    assert before_upgrade([nothing_there("n1"), nothing_there("n2")], TARGET).is_open


def test_what_holds_for_those_that_were_read_is_not_said_of_all():
    gate = before_upgrade([*OLD, silent("n3", Unreachable.SUDO)], TARGET)
    for name in ("no other upgrade", "last upgrade finalized", "same version, same content"):
        assert line(gate, name).state is ConditionState.WARN
        assert line(gate, name).text.endswith("; not known of n3")
    assert line(gate, "last upgrade finalized").text.startswith("on 2 of 3")
    healthy = line(gate, "nodes healthy")
    assert (healthy.state, healthy.text) == (ConditionState.WARN, "2 of 3")
    turn = before_turn("n1", [*OLD, silent("n3", Unreachable.SUDO)], TARGET)
    assert line(turn, "others healthy").text == "1 of 2"


@pytest.mark.parametrize("make", [before_upgrade, lambda r, t: before_turn("n1", r, t)])
def test_every_node_is_read_or_excluded(make):
    gate = make([*OLD, silent("n3", Unreachable.SUDO)], TARGET)
    assert blocked(gate) == ["nodes read"]
    assert line(gate, "nodes read").text == "n3: no privilege"
    assert line(make([*OLD, awaited("n3")], TARGET), "nodes read").state is ConditionState.WAIT
    gate = make([*OLD, NodeReading("n3", excluded="INC-77")], TARGET)
    assert gate.is_open
    assert "n3 (INC-77)" in line(gate, "nodes read").text


def test_a_cluster_without_nodes_that_count_is_refused():
    assert blocked(before_upgrade([node("n1", excluded="INC-77")], TARGET)) == ["nodes read"]


@pytest.mark.parametrize("make", [before_upgrade, lambda r, t: before_turn("n1", r, t)])
def test_a_stale_reading_waits(make):
    for age, text in ((61, "n3 (61 s)"), (None, "n3 (age unknown)")):
        gate = make([*OLD, node("n3", "4.11", age_seconds=age)], TARGET)
        assert blocked(gate) == ["readings younger than 60 s"]
        assert text in gate.blocking[0].text
        assert gate.blocking[0].until


def test_a_foreign_upgrade_is_named_with_run_owner_and_age():
    gate = before_turn("n1", [node("n1", "4.11"), upgraded("n2")], Target("1121-b22", "4.13"))
    assert blocked(gate) == ["no other upgrade"]
    assert gate.blocking[0].text == "run 1120-k7f to 4.12 of ann@jump is open on n2"
    assert gate.blocking[0].since == "02:04 UTC"


def test_the_same_run_resumes():
    assert before_upgrade([upgraded("n1"), node("n2", "4.11")], TARGET).is_open


def test_n9_an_upgrade_is_refused_while_one_is_not_finalized_and_names_the_nodes():
    pending = node("n3", finalized=Finalized("4.11", "r"), previous=VersionRef("4.11"))
    gate = before_upgrade([node("n1"), node("n2"), pending], Target("1121-b22", "4.13"), "harbor")
    assert blocked(gate) == ["last upgrade finalized"]
    assert gate.blocking[0].text == "n3 is not finalized"
    assert "liftlock finalize harbor" in gate.blocking[0].then


@pytest.mark.parametrize("lost", ["running", "selected", "finalized"])
def test_n9_what_could_not_be_read_is_not_finalized(lost):
    gate = before_upgrade([node("n1", "4.11", **{lost: LOST})], TARGET)
    assert "last upgrade finalized" in blocked(gate)


def test_n9_an_accepted_node_of_another_run_is_not_finalized():
    gate = before_upgrade([upgraded("n1")], Target("1121-b22", "4.13"))
    assert blocked(gate) == ["no other upgrade", "last upgrade finalized"]


def test_a_node_without_a_record_is_adopted_first():
    gate = before_upgrade([node("n1", "4.11", finalized=None), node("n2", "4.11")], TARGET)
    assert blocked(gate) == ["last upgrade finalized"]
    assert gate.blocking[0].then == "liftlock adopt CLUSTER -n n1"


def test_the_same_version_with_another_digest_is_refused():
    has = node("n2", finalized=Finalized("4.12", "r", "other"))
    gate = before_upgrade([node("n1", "4.11"), has], TARGET)
    assert blocked(gate) == ["same version, same content"]
    assert gate.blocking[0].text == "n2 has 4.12 with another digest"
    same = node("n2", finalized=Finalized("4.12", "r", "new"))
    assert before_upgrade([node("n1", "4.11"), same], TARGET).is_open


def test_only_a_path_rule_forbids_a_path():
    odd = [node("n1", "not a version"), node("n2", "0.1")]
    assert before_upgrade(odd, TARGET).is_open
    ruled = dataclasses.replace(TARGET, from_versions=("4.11",))
    assert before_upgrade(OLD, ruled).is_open
    assert before_upgrade([*OLD, node("n3", "4.12")], ruled).is_open  # it is there already
    assert before_upgrade([nothing_there("n1")], ruled).is_open
    gate = before_upgrade([*OLD, node("n3", "4.10")], ruled)
    assert blocked(gate) == ["path to 4.12"]
    assert gate.blocking[0].text == "n3 is on 4.10"
    assert gate.blocking[0].then == "first upgrade to one of: 4.11"


def test_a_sick_node_is_refused_before_the_upgrade():
    sick = node("n2", "4.11", health=HealthState.FAILING, health_text="503 for 12 s")
    gate = before_upgrade([node("n1", "4.11"), sick], TARGET)
    assert blocked(gate) == ["nodes healthy"]
    assert gate.blocking[0].text == "n2: 503 for 12 s"


def test_before_a_turn_the_others_are_healthy_and_the_node_itself_need_not_be():
    sick = node("n1", "4.11", health=HealthState.FAILING)
    assert before_turn("n1", [sick, OLD[1]], TARGET).is_open
    assert blocked(before_turn("n2", [sick, OLD[1]], TARGET)) == ["others healthy"]
    down = node("n1", "4.11", running=None, service=ServiceState.STOPPED)
    assert blocked(before_turn("n2", [down, OLD[1]], TARGET)) == ["others healthy"]


def test_a_sick_node_may_settle_between_two_turns_and_a_stopped_one_does_not():
    sick = node("n1", "4.11", health=HealthState.FAILING, health_text="503")
    gate = before_turn("n2", [sick, OLD[1]], dataclasses.replace(TARGET, patience_seconds=30))
    assert gate.waits
    assert str(gate.blocking[0]) == (
        "others healthy: n1: 503; 30 s at most; then no further node is begun"
    )
    down = node(
        "n1", "4.11", running=None, service=ServiceState.STOPPED, health=HealthState.FAILING
    )
    assert not before_turn("n2", [down, OLD[1]], TARGET).waits
    assert not before_upgrade([sick, OLD[1]], TARGET).waits
    assert not before_turn("n2", [OLD[0], OLD[1]], TARGET).waits  # open


def test_a_failing_soft_check_is_said_and_does_not_block():
    soft = node("n1", "4.11", health=HealthState.SOFT_FAILING, health_text="disk: 91 %")
    for gate in (before_turn("n2", [soft, OLD[1]], TARGET), before_upgrade([soft], TARGET)):
        assert gate.is_open
        (found,) = [each for each in gate.conditions if "healthy" in each.name]
        assert found.state is ConditionState.WARN
        assert found.text == "n1: soft check disk: 91 %"


def test_an_accepted_node_that_is_taken_back_shuts_the_gate_for_the_others():
    mine = upgraded("n1", transaction=transaction(run=TARGET.run, driver_alive=False))
    final = node("n1", TARGET.version)
    for reading in (mine, final):
        assert before_turn("n2", [reading, OLD[1]], TARGET, accepted=["n1"]).is_open
    going = upgraded("n1", transaction=transaction(run=TARGET.run, decision="ROLLBACK"))
    for reading in (OLD[0], going):
        gate = before_turn("n2", [reading, OLD[1]], TARGET, accepted=["n1"])
        assert "accepted nodes stay" in blocked(gate)
        assert not gate.waits


def test_health_that_is_not_known_is_said_and_does_not_block():
    unsure = node("n1", "4.11", health=HealthState.UNKNOWN)
    gate = before_turn("n2", [unsure, OLD[1]], TARGET)
    assert gate.is_open
    assert line(gate, "others healthy").state is ConditionState.WARN


@pytest.mark.parametrize("state", [NodeState.FAILED, NodeState.HELD, NodeState.INCONSISTENT])
def test_no_node_starts_while_another_waits_for_a_person(state):
    gate = before_turn("n2", [node("n1", "4.11", state=state), OLD[1]], TARGET)
    assert blocked(gate) == ["no node waits for a person"]
    assert gate.blocking[0].text == f"n1 is {state}"


def test_a_node_waits_for_the_one_in_trial_and_says_until_when():
    trial = transaction(decides_at_seconds=18, then="rollback")
    first = upgraded("n1", state=NodeState.MONITORING, transaction=trial)
    gate = before_turn("n2", [first, OLD[1]], TARGET)
    assert blocked(gate) == ["earlier nodes accepted"]
    assert gate.blocking[0] == Condition(
        name="earlier nodes accepted",
        state=ConditionState.WAIT,
        text="n1 in trial",
        since="02:04 UTC",
        until="in 18 s at the latest",
        then="rollback",
    )
    assert before_turn("n2", [first, OLD[1]], dataclasses.replace(TARGET, batch=2)).is_open


def test_an_accepted_node_lets_the_next_one_start():
    assert before_turn("n2", [upgraded("n1"), OLD[1]], TARGET).is_open


def test_a_gate_is_open_when_nothing_waits_and_nothing_is_refused():
    for state in ConditionState:
        gate = Gate("g", (Condition("a", ConditionState.OK, ""), Condition("b", state, "")))
        assert gate.is_open is (state in (ConditionState.OK, ConditionState.WARN))


def test_a_skipped_condition_stays_red_with_its_reason():
    sick = node("n1", "4.11", health=HealthState.FAILING)
    gate = before_upgrade([sick], TARGET).skip("nodes healthy", "known, INC-78")
    assert gate.is_open
    assert line(gate, "nodes healthy").state is ConditionState.REFUSED
    assert line(gate, "nodes healthy").skipped == "known, INC-78"


@pytest.mark.parametrize(
    ("name", "reason", "code"),
    [
        ("nodes healthy", " ", "skip-without-reason"),
        ("nodes read", "why not", "skip-of-nothing"),
        ("no such", "why not", "skip-of-nothing"),
    ],
)
def test_a_skip_needs_something_that_blocks_and_a_reason(name, reason, code):
    gate = before_upgrade([node("n1", "4.11", health=HealthState.FAILING)], TARGET)
    with pytest.raises(LiftlockError) as caught:
        gate.skip(name, reason)
    assert caught.value.problem.code == code


@settings(deadline=None, max_examples=200)
@given(clusters)
def test_no_gate_opens_on_less_than_every_node_fresh(readings):
    counted = [reading for reading in readings if reading.left_out is None]
    for gate in (before_upgrade(readings, TARGET), before_turn("n1", readings, TARGET)):
        if gate.is_open:
            assert counted
            assert all(reading.is_fresh(60) for reading in counted)
    if before_upgrade(readings, TARGET).is_open:
        for reading in counted:
            begun = reading.facts.transaction
            assert (
                reading.facts.is_finalized
                or reading.facts.is_absent
                or (begun is not None and begun.run == TARGET.run)
            )
