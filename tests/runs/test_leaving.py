"""What becomes of every node when nobody is here any more: never more comfort than is true."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runs.leaving import alone
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.plan import Plan, Treatment
from backends.domain.policy import Policy, Vanished
from backends.domain.states import NodeState
from tests.domain.nodes import LOST, likely_facts, node, silent, transaction, upgraded
from tests.support.readings import item, old, plan

WORDS = {
    Vanished.ROLLBACK: "goes back by itself",
    Vanished.HOLD: "waits for a person",
    Vanished.KEEP_IF_HEALTHY: "keeps the new version if it is healthy",
}


def made(*items: object, vanished: Vanished = Vanished.ROLLBACK) -> Plan:
    policy = Policy(if_operator_vanishes=vanished)
    return plan(*(items or ("n1", "n2")), policy=policy)  # type: ignore[arg-type]


def said(*readings: NodeReading, begun: tuple[str, ...] = ("n1",), by: Plan | None = None) -> str:
    return "\n".join(alone(readings, by or made(), begun).sentences())


def trial(then: str = "rollback", left: float | None = 60.0, **other: object) -> NodeReading:
    opened = transaction(decides_at_seconds=left, then=then)
    return upgraded("n1", state=NodeState.MONITORING, transaction=opened, **other)


@pytest.mark.parametrize("vanished", Vanished)
def test_a_node_in_trial_decides_by_the_policy_at_a_time(vanished: Vanished) -> None:
    for said_by_node in (vanished.value, ""):
        text = said(trial(said_by_node), old("n2"), by=made(vanished=vanished))
        assert "n1 is in trial" in text
        assert WORDS[vanished] in text
        assert text.count(":") > 2
        assert "Not started: n2" in text


def test_a_node_in_trial_does_what_it_was_begun_with_whatever_the_plan_says_now() -> None:
    text = said(trial("hold"), old("n2"), by=made(vanished=Vanished.ROLLBACK))
    assert WORDS[Vanished.HOLD] in text
    assert WORDS[Vanished.ROLLBACK] not in text


@pytest.mark.parametrize("left", [None, 0.0, -5.0])
def test_a_window_that_is_over_or_not_known_has_no_time(left: float | None) -> None:
    text = said(trial(left=left), old("n2"))
    assert "n1 is in trial" in text
    assert WORDS[Vanished.ROLLBACK] in text
    assert " at the latest" not in text


def test_what_is_accepted_stays() -> None:
    text = said(upgraded("n1"), old("n2"))
    assert "n1 is accepted on 4.12" in text
    assert "goes back" not in text
    text = said(upgraded("n1"), upgraded("n2"), begun=("n2",))
    assert "Accepted before: n1" in text


def test_what_is_back_is_proven() -> None:
    text = said(old("n1", state=NodeState.ROLLED_BACK), old("n2"))
    assert "n1 is back on 4.11, proven" in text


def test_a_node_that_cannot_be_read_is_not_promised_anything_for_sure() -> None:
    text = said(silent("n1"), old("n2"))
    assert "could not be read" in text
    assert "accepted on" not in text
    assert "proven" not in text


def test_nothing_begun_is_nothing_to_worry_about() -> None:
    assert said(old("n1"), old("n2"), begun=()) == "Not started: n1, n2."


def test_a_node_that_is_being_changed_goes_on() -> None:
    text = said(upgraded("n1", state=NodeState.INSTALLING, transaction=transaction()), old("n2"))
    assert "n1 goes on without you" in text


# Nobody comes: it does not go back by itself.
@pytest.mark.parametrize("state", [NodeState.HELD, NodeState.INCONSISTENT, NodeState.FAILED])
def test_a_node_that_needs_a_person_is_not_said_to_help_itself(state: NodeState) -> None:
    text = said(upgraded("n1", state=state, transaction=transaction(driver_alive=False)))
    about = text.partition("Not started")[0]
    assert "by itself" not in about
    assert ("person" in about) is (state is not NodeState.FAILED)


@pytest.mark.parametrize("state", [NodeState.HELD, NodeState.INCONSISTENT])
def test_what_needs_a_person_is_said_also_where_this_run_has_not_begun(state: NodeState) -> None:
    stuck = upgraded("n1", state=state, transaction=transaction(driver_alive=False))
    for treatment in (Treatment.INSTALL, Treatment.RESUME, Treatment.ACCEPTED):
        text = said(stuck, old("n2"), begun=(), by=made(item("n1", treatment), "n2"))
        assert "needs a person" in text or "waits for a person" in text
        assert text.endswith("Not started: n2.")


def test_a_version_that_cannot_be_read_is_not_shown_as_python_nor_called_proven() -> None:
    text = said(old("n1", state=NodeState.ROLLED_BACK, selected=LOST))
    assert "n1 is back on an unknown version: permission denied." in text
    assert "proven" not in text


def test_a_node_that_was_accepted_before_and_is_silent_is_not_said_not_to_be_started() -> None:
    by = made(item("n1", Treatment.ACCEPTED), "n2")
    text = said(silent("n1"), old("n2"), begun=(), by=by)
    assert "Not started: n1" not in text
    assert "n1 could not be read; it was accepted when this was planned" in text
    assert "by itself" not in text


def test_a_node_that_was_changing_and_is_silent_may_go_back_by_itself() -> None:
    by = made("n2", item("n1", Treatment.RESUME, reason="rolling_back in run 1120-k7f"))
    text = said(silent("n1"), old("n2"), begun=(), by=by)
    assert "it was rolling back in run 1120-k7f when this was planned" in text
    assert WORDS[Vanished.ROLLBACK] in text
    assert text.endswith("Not started: n2.")


def test_a_node_whose_own_state_is_unknown_is_one_that_could_not_be_read() -> None:
    text = said(old("n1", state=NodeState.UNKNOWN), old("n2"))
    assert "n1 could not be read" in text


# Its turn may not have come again; it goes back by itself meanwhile.
def test_a_node_that_is_to_be_taken_up_again_is_not_said_not_to_be_started() -> None:
    by = made("n2", item("n1", Treatment.RESUME))
    assert "n1" not in said(trial(), old("n2"), begun=(), by=by).partition("Not started")[2]


# What is final there, or left out, is not "not started" either.
@pytest.mark.parametrize("treatment", [Treatment.ALREADY, Treatment.EXCLUDED])
def test_a_node_that_the_plan_leaves_alone_is_not_said_not_to_be_started(
    treatment: Treatment,
) -> None:
    by = made(item("n1", treatment, reason="dead"), "n2")
    for reading in (node("n1"), silent("n1")):
        text = said(reading, old("n2"), begun=(), by=by)
        assert "n1" in text
        assert "n1" not in text.partition("Not started")[2]


@given(
    st.lists(
        st.tuples(
            st.builds(replace, likely_facts(), state=st.sampled_from(NodeState)),
            st.sampled_from(Treatment),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_node_is_told_of_once_whatever_it_is_in(
    nodes: list[tuple[NodeFacts, Treatment, bool, bool]],
) -> None:
    names = [f"node{number}" for number in range(len(nodes))]
    readings = [
        NodeReading(name, facts=facts if is_read else None, age_seconds=1.0)
        for name, (facts, _, is_read, _) in zip(names, nodes, strict=True)
    ]
    by = made(*(item(name, each[1]) for name, each in zip(names, nodes, strict=True)))
    begun = {name for name, each in zip(names, nodes, strict=True) if each[3]}
    text = "\n".join(alone(readings, by, begun).sentences())
    assert "Unknown(" not in text
    for name in names:
        assert text.count(name) == 1


def test_the_order_is_begun_then_kept_then_not_started() -> None:
    by = made("n1", "n2", "n3")
    found = alone([trial(), upgraded("n2"), old("n3")], by, ("n1",))
    assert len(found.begun) == 1
    assert (found.kept, found.not_started) == (("n2",), ("n3",))
    lines: list[str] = list(found.sentences())
    check: Callable[[str], int] = "\n".join(lines).index
    assert check("n1") < check("n2") < check("n3")
