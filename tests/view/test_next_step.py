"""What `n` does: named with act, node and version, and nothing while something changes."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from app.allowed import changing, finalizable, may
from app.between.news import AskedToGoOn, Happened
from app.state import Run, Stage, State, fold
from app.view import next_panel
from app.view.contact import beginning, lost_in_its_turn
from app.view.gate import gate_of, next_node
from app.view.next_step import Does, NextStep, way_back
from app.view.words import clock
from backends.domain.facts import Finalized, NodeReading, VersionRef
from backends.domain.pace import Upcoming
from backends.domain.plan import Treatment
from backends.domain.policy import Accept, Pause, Policy
from backends.domain.problem import Exit
from backends.domain.states import CHANGING, HealthState, NodeState, Phase, ServiceState
from backends.domain.verdict import VerdictKind
from backends.engine.events import Kind
from backends.engine.results import NodeResult, Outcome, Result
from tests.domain.nodes import awaited, node, nothing_there, silent, transaction, upgraded
from tests.support.readings import (
    NEW,
    NOW,
    cluster,
    event,
    fallen,
    installs,
    item,
    old,
    outcome,
    picture,
    prepared,
    screens,
    upgrade,
)
from widgets.cells import Line, Tone, text_of

ACTS = (Does.FINALIZE, Does.ADOPT)
"""What changes nodes. Begin and go belong to a run that was planned; the others open a view."""


def step_on(state: State) -> NextStep:
    return picture(state).step


def step_of(state: State) -> tuple[Does, str]:
    step = step_on(state)
    return step.does, text_of(step.words)


def has_key(words: Line) -> bool:
    return any(cell.text == "n" and cell.tone is Tone.KEY for cell in words)


@settings(max_examples=100, deadline=None)
@given(screens)
def test_no_act_is_offered_while_a_node_changes_or_a_run_goes(state: State) -> None:
    does, words = step_of(state)
    changing = any(
        known.reading.read
        and known.reading.facts is not None
        and known.reading.facts.state in CHANGING
        for known in state.known.values()
    )
    if changing:
        assert does not in ACTS
    if state.run is not None and state.run.stage is Stage.GOING:
        assert does is Does.NOTHING
    if state.planning:
        assert does is Does.NOTHING
    if does is Does.BEGIN:
        assert state.run is not None
        assert state.run.stage is Stage.READY
    if does is Does.GO:
        assert state.run is not None
        assert state.run.stage is Stage.WAITING
        upcoming = state.run.upcoming
        assert upcoming is not None
        assert str(upcoming.phase) in words or "send" in words
    assert "Unknown(" not in words


@settings(max_examples=100, deadline=None)
@given(screens)
def test_the_key_is_shown_exactly_where_it_does_something(state: State) -> None:
    step = step_on(state)
    assert has_key(step.words) is bool(step.does)
    assert text_of(step.words).strip()
    assert text_of(way_back(state, state.verdict())).startswith("way back")


@settings(max_examples=100, deadline=None)
@given(screens, screens)
def test_another_act_or_other_words_are_another_target(one: State, other: State) -> None:
    first, second = (step_on(each) for each in (one, other))
    if first.does and (first.does, first.words) != (second.does, second.words):
        assert first.target != second.target
    assert first.target == step_on(one).target


def waiting(*names: str, phase: Phase = Phase.INSTALL, version: str = NEW) -> State:
    upcoming = Upcoming(phase, names)
    run = upgrade("n1", "n2", "n3", stage=Stage.WAITING, upcoming=upcoming, version=version)
    return cluster(old("n1"), old("n2"), old("n3"), run=run)


def target(state: State) -> object:
    return step_on(state).target


def test_the_target_follows_node_version_and_phase() -> None:
    base = target(waiting("n1"))
    assert target(waiting("n2")) != base
    assert target(waiting("n1", "n2")) != base
    assert target(waiting("n1", version="4.13")) != base
    assert target(waiting("n1", phase=Phase.CHECK)) != base
    assert target(waiting("n1")) == base


def test_the_target_follows_the_ninth_node_too() -> None:
    many = [f"n{number}" for number in range(12)]

    def ready(names: list[str]) -> State:
        run = upgrade(*names, stage=Stage.READY)
        return cluster(*map(old, many), run=run)

    assert target(ready(many[:10])) != target(ready([*many[:9], "n11"]))


def test_the_target_of_a_stage_follows_its_nodes() -> None:
    one, other = waiting("n1", "n2", phase=Phase.STAGE), waiting("n1", "n3", phase=Phase.STAGE)
    assert target(one) != target(other)


@pytest.mark.parametrize(
    ("phase", "words"),
    [(Phase.STAGE, NEW), (Phase.CHECK, "check"), (Phase.INSTALL, "install")],
)
def test_a_run_that_waits_goes_on_with_what_it_waits_for(phase: Phase, words: str) -> None:
    does, said = step_of(waiting("n2", phase=phase))
    assert does is Does.GO
    assert words in said
    if phase is Phase.INSTALL:
        assert "n2" in said
        assert NEW in said


def test_why_the_policy_waits_is_said() -> None:
    run = upgrade(
        "n1", "n2", stage=Stage.WAITING, upcoming=installs("n2", waits="paused after n1 (first)")
    )
    said = step_of(cluster(upgraded("n1"), old("n2"), run=run))[1]
    assert "paused after n1" in said + next_panel.title(run)


# --- planned ------------------------------------------------------------------------------------


def planned(**other: object) -> State:
    run = Run("upgrade", "1120-k7f", Stage.READY, prepared("n1", "n2", **other))  # type: ignore[arg-type]
    return cluster(old("n1"), old("n2"), run=run)


def test_what_is_planned_is_begun_and_names_nodes_and_version() -> None:
    does, said = step_of(planned())
    assert does is Does.BEGIN
    assert all(word in said for word in ("n1", "n2", NEW))


def test_a_shut_gate_begins_nothing() -> None:
    run = planned(shut=True).run
    assert step_of(cluster(silent("n1"), old("n2"), run=run))[0] is Does.NOTHING


def test_nodes_left_in_the_middle_come_first() -> None:
    does, said = step_of(planned(left=("n2",), shut=True))
    assert does is Does.BEGIN
    assert "n2" in said
    assert "rest" in said


def test_a_plan_that_changes_no_node_begins_nothing() -> None:
    made = prepared(item("n1", Treatment.ALREADY), item("n2", Treatment.EXCLUDED, reason="dead"))
    state = cluster(node("n1"), run=Run("upgrade", "1120-k7f", Stage.READY, made))
    assert step_of(state)[0] is Does.NOTHING


def test_an_upgrade_is_taken_up_where_it_is() -> None:
    made = prepared(item("n1", Treatment.RESUME), "n2")
    state = cluster(upgraded("n1"), run=Run("upgrade", "1120-k7f", Stage.READY, made))
    does, said = step_of(state)
    assert does is Does.BEGIN
    assert "n1" in said


# --- going --------------------------------------------------------------------------------------


def going(pause: Pause = Pause.NONE, accept: Accept = Accept.AUTO, held: bool = False) -> str:
    policy = Policy(pause=pause, accept=accept)
    run = upgrade("n1", "n2", "n3", upcoming=installs("n1"), policy=policy, held=held)
    return step_of(cluster(old("n1"), old("n2"), old("n3"), run=run))[1]


def test_what_changes_now_and_who_comes_next_is_said() -> None:
    assert going().startswith("n1 changes now")
    assert "n2" in going()
    assert "n3" not in going()
    assert "waits before n2" in going(held=True)


@pytest.mark.parametrize("pause", [Pause.FIRST, Pause.ALL])
def test_the_next_node_is_not_said_to_begin_by_itself_where_the_policy_waits(pause: Pause) -> None:
    assert "by itself" not in going(pause)


def test_a_node_that_a_person_must_accept_is_not_said_to_be_accepted_by_itself() -> None:
    assert "accepted when healthy" not in going(accept=Accept.MANUAL)


def test_the_last_node_has_no_one_after_it() -> None:
    run = upgrade("n1", "n2", upcoming=installs("n2"))
    state = cluster(upgraded("n1"), old("n2"), run=run)
    assert next_node(run) == ""
    assert "then" not in step_of(state)[1]
    assert gate_of(run, state.readings(NOW.monotonic), "harbor") is None


def test_a_turn_that_waits_for_the_others_is_not_said_to_have_begun() -> None:
    sick = "others healthy: n3: healthz: HTTP 503; 30 s at most; then no further node is begun"
    run = upgrade("n1", "n2", "n3", upcoming=installs("n2", settling=sick))
    failing = old("n3", health=HealthState.FAILING, health_text="healthz: HTTP 503")
    state = cluster(upgraded("n1"), silent("n2"), failing, run=run)
    assert step_of(state) == (Does.NOTHING, f"n2 waits, x ends the run; {sick}")
    assert may("stop_run", picture(state), "") is True
    assert beginning(state) == ()
    assert changing(state, ["n1"]) == ()
    assert lost_in_its_turn(state, NOW) == ""
    assert next_panel.title(run) == "when the others serve: install n2"
    gate = gate_of(run, state.readings(NOW.monotonic), "harbor")
    assert gate is not None
    assert gate.name == "before n2"


def test_an_act_says_whom_it_waits_for_until_it_asks_or_goes_on() -> None:
    def told(settling: str) -> Happened:
        return Happened(event(Kind.RESULT, "…", run="r2", settling=settling))

    state = cluster(old("n1"), run=Run("rollback", "r2", Stage.GOING))
    undoing = step_of(state)
    words = "n2 does not serve yet; waited for, 30 s at most"
    waiting = fold(state, [told(words)])
    assert step_of(waiting) == (Does.NOTHING, f"{words}; x asks at once")
    assert may("stop_run", picture(waiting), "") is True
    later = fold(waiting, [Happened(event(Kind.RESULT, "…", run="r2"))])
    assert step_of(later) == step_of(waiting)
    assert may("stop_run", picture(state), "") is False
    assert step_of(fold(waiting, [told("")])) == undoing
    asked = AskedToGoOn(1, "n2", ("n1",))
    begun = Happened(event(Kind.PHASE, "roll back", run="r2"))
    assert step_of(fold(waiting, [asked]))[1] == "the rollback waits for your answer"
    assert step_of(fold(waiting, [asked, begun])) == undoing


def test_the_gate_is_that_of_what_comes_next() -> None:
    readings = (old("n1"), old("n2"))
    before = upgrade("n1", "n2", stage=Stage.WAITING, upcoming=Upcoming(Phase.STAGE, ("n1",)))
    first = gate_of(before, readings, "harbor")
    assert first is not None
    assert "before the upgrade" in first.name
    turn = upgrade("n1", "n2", stage=Stage.WAITING, upcoming=installs("n2"))
    second = gate_of(turn, readings, "harbor")
    assert second is not None
    assert second.name == "before n2"
    after = upgrade("n1", "n2", upcoming=installs("n1"))
    third = gate_of(after, readings, "harbor")
    assert third is not None
    assert third.name == "before n2"
    assert gate_of(replace(turn, stage=Stage.OVER), readings, "harbor") is None


# --- by the verdict -----------------------------------------------------------------------------


def test_what_all_have_accepted_is_finalized_by_its_version() -> None:
    state = cluster(upgraded("n1"), upgraded("n2"))
    does, said = step_of(state)
    assert does is Does.FINALIZE
    assert NEW in said
    assert finalizable(picture(state)) == NEW


@pytest.mark.parametrize(
    "about",
    [
        {"service": ServiceState.STOPPED, "running": NEW},
        {"health": HealthState.FAILING},
    ],
    ids=["down", "failing"],
)
def test_finalize_is_offered_only_where_it_is_possible(about: dict[str, object]) -> None:
    state = cluster(upgraded("n1"), upgraded("n2", **about))
    assert state.verdict().kind is VerdictKind.READY_TO_FINALIZE
    if step_of(state)[0] is Does.FINALIZE:
        assert finalizable(picture(state))


def opened(decision: str) -> object:
    return transaction(decision=decision, driver_alive=False)


@pytest.mark.parametrize(
    ("state", "wrong"),
    [
        (
            cluster(
                node("n1"),
                node("n2", finalized=Finalized("4.11", "x"), previous=VersionRef("4.11")),
            ),
            "F (finalize",
        ),
        (cluster(upgraded("n1"), silent("n2")), "liftlock doctor"),
        (
            cluster(node("n1", running=None, service=ServiceState.STOPPED), node("n2")),
            "start the service",
        ),
        (
            cluster(node("n1", running=None, finalized=None, service=ServiceState.STOPPED)),
            "start the service",
        ),
        (
            cluster(upgraded("n1", state=NodeState.INCONSISTENT, transaction=opened("FINALIZE"))),
            "F (finalize",
        ),
        (cluster(old("n1", state=NodeState.FAILED), old("n2")), "u (upgrade"),
    ],
    ids=["not-open", "unread", "settled-down", "unmanaged-down", "finalizing", "failed-before"],
)
def test_the_words_beside_the_key_name_what_the_key_does(state: State, wrong: str) -> None:
    does, said = step_of(state)
    words: dict[Does, Callable[[], bool]] = {
        Does.CHOOSE: lambda: said.startswith(("n  u (", "n  choose")),
        Does.ROLL_BACK: lambda: not said.startswith(f"n  {wrong}"),
        Does.ADOPT: lambda: said.startswith("n  A ("),
    }
    assert words.get(does, lambda: True)(), f"n does {does!r}, the strip says: {said}"


def test_while_a_node_changes_by_another_hand_the_key_does_nothing() -> None:
    trial = upgraded("n1", state=NodeState.MONITORING)
    assert step_of(cluster(trial, old("n2")))[0] is Does.NOTHING
    beside = upgraded("n2", state=NodeState.MONITORING, excluded="being repaired")
    ready = cluster(upgraded("n1"), beside)
    assert ready.verdict().kind is VerdictKind.READY_TO_FINALIZE
    assert step_of(ready)[0] is Does.NOTHING


# --- nobody can be reached ----------------------------------------------------------------------


def gone(*before: NodeReading) -> str:
    """What is said when these nodes fell silent together, a minute after they were read."""
    fell = [fallen(each, silent(each.name), 940.0, read_at=940.0) for each in before]
    does, said = step_of(cluster(*fell))
    assert does is Does.NOTHING
    return said


def in_trial(left: float) -> NodeReading:
    opened = transaction(decides_at_seconds=left, then="rollback")
    return upgraded("n1", state=NodeState.MONITORING, transaction=opened)


def test_without_contact_it_is_said_what_each_node_does_by_itself() -> None:
    said = gone(in_trial(100.0), upgraded("n2"), old("n3"))
    assert re.search(r"n1 [^;]*" + clock(NOW.wall + 40) + "[^;]*rollback", said)
    assert re.search(r"n2 [^;]*accepted", said)
    assert re.search(r"n3 [^;]*untouched", said)


@pytest.mark.parametrize(
    "state",
    [
        NodeState.INSTALLING,
        NodeState.ROLLING_BACK,
        NodeState.FINALIZING,
        NodeState.HELD,
        NodeState.INCONSISTENT,
    ],
)
def test_without_contact_a_node_that_changed_is_not_said_to_be_untouched(
    state: NodeState,
) -> None:
    said = gone(upgraded("n1", state=state), upgraded("n2"))
    assert "untouched" not in said


def test_without_contact_a_deadline_that_is_over_is_not_still_to_come() -> None:
    assert clock(NOW.wall) not in gone(in_trial(30.0), upgraded("n2"))


def test_without_contact_a_run_does_not_promise_what_nobody_can_do() -> None:
    fell = [fallen(each, silent(each.name), 940.0) for each in (in_trial(90.0), old("n2"))]
    run = upgrade("n1", "n2", upcoming=installs("n1"), policy=Policy(pause=Pause.NONE))
    assert "accepted when healthy" not in step_of(cluster(*fell, run=run))[1]


def test_nothing_installed_leads_to_the_choice_of_a_release() -> None:
    assert step_of(cluster(nothing_there("n1")))[0] is Does.CHOOSE


def test_what_is_settled_leads_to_the_choice_of_a_release() -> None:
    does, said = step_of(cluster(node("n1"), node("n2")))
    assert does is Does.CHOOSE
    assert "none" not in said


@pytest.mark.parametrize("state", [cluster(awaited("n1")), cluster(silent("n1"))])
def test_what_was_not_read_leads_nowhere(state: State) -> None:
    assert step_of(state)[0] is Does.NOTHING


@pytest.mark.parametrize("code", [each for each in Exit if each not in (Exit.OK, Exit.WAITING)])
def test_a_run_that_failed_leads_to_what_can_be_done(code: Exit) -> None:
    run = upgrade("n1", stage=Stage.OVER, outcome=outcome(code=code))
    does, said = step_of(cluster(old("n1"), run=run))
    assert does is Does.ROLL_BACK
    assert run.id in said


def test_a_run_that_paused_leads_to_the_same_release_again() -> None:
    run = upgrade("n1", stage=Stage.OVER, outcome=outcome(code=Exit.WAITING, text="paused"))
    assert step_of(cluster(old("n1"), run=run))[0] is Does.CHOOSE


def test_the_way_back_is_the_key_of_roll_back_with_its_nodes() -> None:
    state = cluster(upgraded("n1"), old("n2"))
    words = text_of(way_back(state, state.verdict()))
    assert "R" in words
    assert "n1" in words
    assert "4.11" in words
    done = cluster(node("n1"))
    assert "none" in text_of(way_back(done, done.verdict()))


# --- keys that are grey or hidden ---------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(screens)
def test_no_key_of_an_act_is_live_while_a_run_goes_that_would_refuse_it(state: State) -> None:
    shown = picture(state)
    run = state.run
    if run is not None and run.is_under_way:
        assert may("finalize", shown, "") is None
    else:
        assert may("hold", shown, "") is False
    settles = run is not None and run.upcoming is not None and bool(run.upcoming.settling)
    if run is None or not (settles or run.stage in (Stage.WAITING, Stage.READY)):
        assert may("stop_run", shown, "") is False
    if finalizable(shown):
        for known in state.known.values():
            reading = known.reading
            assert reading.left_out is not None or (reading.read and reading.facts is not None)
    for name in state.known:
        if may("accept", shown, name):
            reading = state.known[name].reading
            assert reading.read
            assert reading.facts is not None
            assert reading.facts.transaction is not None
    if may("adopt", shown, ""):
        assert shown.verdict.kind is VerdictKind.UNMANAGED


def test_adopt_is_grey_while_a_run_goes() -> None:
    run = upgrade("n1", upcoming=Upcoming(Phase.STAGE, ("n1",)))
    assert may("adopt", picture(cluster(node("n1", finalized=None), run=run)), "") is not True


def test_a_node_that_is_left_out_is_not_accepted() -> None:
    held = upgraded("n1", state=NodeState.HELD, excluded="dead")
    assert not may("accept", picture(cluster(held)), "n1")


def test_a_run_that_ended_otherwise_than_asked_has_failed() -> None:
    over = upgrade("n1", stage=Stage.OVER)
    assert not over.failed
    bad = outcome(NodeResult("n1", Result.HELD), code=Exit.NEEDS_PERSON)
    assert replace(over, outcome=bad).failed
    assert not replace(over, outcome=Outcome("r", Exit.WAITING, (), "paused")).failed
