"""Matrix and stepper: how far each node is, from the events that came; ok needs an ok."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.between.news import Happened, Over, Waits
from app.progress import Progress
from app.state import Run, Stage, State, fold
from app.view import gate, matrix, next_panel
from app.view.stepper import stepper
from backends.domain.facts import NodeReading
from backends.domain.pace import Upcoming
from backends.domain.plan import Treatment
from backends.domain.problem import Exit, Problem
from backends.domain.states import NodeState, Phase, Unreachable
from backends.engine.events import Event, Kind
from backends.engine.results import NodeResult, Result
from tests.domain.nodes import LOST, node, silent, transaction, upgraded
from tests.support.readings import (
    NOW,
    cluster,
    event,
    events,
    installs,
    item,
    old,
    outcome,
    record,
    upgrade,
)
from widgets.cells import Cell, Tone, text_of

MARK, NAME, ROLE, PREFLIGHT, STAGE, CHECK, INSTALL, MONITOR = range(8)
EARLY = {Phase.PREFLIGHT: PREFLIGHT, Phase.STAGE: STAGE, Phase.CHECK: CHECK}
OK = {"outcome": "ok"}


def after(*found: Event, run: Run | None = None, readings: tuple[NodeReading, ...] = ()) -> State:
    """The screen after these events of an upgrade of n1 and n2."""
    begun = run or upgrade("n1", "n2")
    state = cluster(*(readings or (old("n1"), old("n2"))), run=begun)
    return fold(state, [Happened(each) for each in found])


def cell(state: State, column: int, name: str = "n1") -> Cell:
    assert state.run is not None
    for row in matrix.rows(state, state.run, NOW):
        if row.key == name:
            return row.cells[column]
    raise AssertionError(f"{name} has no row")


def steps_of(state: State) -> dict[str, Cell]:
    assert state.run is not None
    found = [each for each in stepper(state, state.run) if "─" not in each.text]
    words = ("preflight", "stage", "check", "install", "monitor", "finalize")
    assert len(found) == len(words)
    return dict(zip(words, found, strict=True))


def passed(phase: Phase, name: str = "n1") -> list[Event]:
    return [
        event(Kind.PHASE, "begins", name=name, phase=phase),
        event(Kind.ROW, "ok disk", name=name, phase=phase, result="ok"),
        event(Kind.RESULT, "ok", name=name, phase=phase, outcome="ok"),
    ]


@pytest.mark.parametrize("phase", EARLY)
def test_a_phase_is_ok_only_after_its_result(phase: Phase) -> None:
    begun, row, result = passed(phase)
    for found in ([begun], [begun, row]):
        assert cell(after(*found), EARLY[phase]).tone is not Tone.OK
        assert steps_of(after(*found))[phase].tone is not Tone.OK
    done = after(begun, row, result)
    assert cell(done, EARLY[phase]).tone is Tone.OK
    assert cell(done, EARLY[phase], "n2").tone is Tone.QUIET
    assert steps_of(done)[phase].text == f"ok {phase}"


@pytest.mark.parametrize("phase", EARLY)
def test_a_phase_is_ok_only_when_every_node_that_began_it_is(phase: Phase) -> None:
    state = after(*passed(phase), event(Kind.PHASE, name="n2", phase=phase))
    assert steps_of(state)[phase].tone is Tone.BUSY
    assert steps_of(after(*passed(phase), *passed(phase, "n2")))[phase].tone is Tone.OK


@pytest.mark.parametrize("phase", EARLY)
def test_a_refusal_is_red_for_its_node_and_for_the_phase(phase: Phase) -> None:
    bad = event(Kind.PROBLEM, "disk-too-small: full", name="n2", phase=phase)
    state = after(*passed(phase), event(Kind.PHASE, name="n2", phase=phase), bad)
    assert cell(state, EARLY[phase], "n2").tone is Tone.BAD
    assert cell(state, EARLY[phase]).tone is Tone.OK
    assert steps_of(state)[phase].tone is Tone.BAD


def test_a_warning_is_counted_and_is_no_plain_ok() -> None:
    begun, row, result = passed(Phase.PREFLIGHT)
    warned = event(Kind.ROW, "warn", phase=Phase.PREFLIGHT, result="warn")
    found = cell(after(begun, row, warned, result), PREFLIGHT)
    assert found.tone is Tone.WARN
    assert "1 warn" in found.text


def test_the_conditions_of_a_gate_are_no_checks_of_a_node() -> None:
    row = event(Kind.ROW, "wait", name="n1", phase=Phase.CHECK, result="wait", gate="before n1")
    assert after(row).run is not None
    assert after(row).run.progress[("n1", Phase.CHECK)] == Progress()  # type: ignore[union-attr]


def test_bytes_are_told_as_they_go_and_without_a_per_cent() -> None:
    begun, _, result = passed(Phase.STAGE)
    some = event(Kind.PROGRESS, phase=Phase.STAGE, sent=1000, of=7_200_000)
    going = cell(after(begun, some), STAGE)
    assert going == Cell("0.0/7.2 MB", Tone.BUSY)
    done = cell(after(begun, some, result), STAGE)
    assert "7.2 MB" in done.text
    assert "%" not in going.text + done.text
    assert cell(after(begun, result), STAGE).text != "ok, 0 B"


def test_what_is_next_is_marked_where_it_waits() -> None:
    run = upgrade("n1", "n2", stage=Stage.WAITING, upcoming=installs("n2"))
    state = after(run=run)
    assert cell(state, INSTALL, "n2").text == "next"
    assert cell(state, INSTALL).text != "next"
    assert cell(state, MARK, "n2").text == "›"
    assert cell(state, MARK).text == " "
    early = upgrade("n1", stage=Stage.WAITING, upcoming=Upcoming(Phase.STAGE, ("n1",)))
    assert cell(after(run=early, readings=(old("n1"),)), STAGE).text == "next"


# --- install and monitor ------------------------------------------------------------------------

BEGUN = event(Kind.PHASE, "install 4.12", phase=Phase.INSTALL)
TRIAL = record("TRIAL", phase=Phase.MONITOR)


def in_trial(healthy: bool = False, **other: object) -> NodeReading:
    opened = transaction(decides_at_seconds=60.0, then="rollback", healthy=healthy)
    return upgraded("n1", state=NodeState.MONITORING, transaction=opened, **other)


def test_a_turn_waits_while_others_come_to_serve() -> None:
    run = upgrade("n1", "n2", upcoming=installs("n2", settling="others healthy: n1: failing"))
    assert cell(cluster(upgraded("n1"), old("n2"), run=run), INSTALL, "n2").text == "waits"


def test_an_install_is_ok_when_the_node_is_in_trial() -> None:
    assert cell(after(BEGUN), INSTALL).tone is Tone.BUSY
    assert cell(after(BEGUN, record("EFFECT", phase=Phase.INSTALL)), INSTALL).tone is Tone.BUSY
    state = after(BEGUN, TRIAL, readings=(in_trial(), old("n2")))
    assert cell(state, INSTALL).tone is Tone.OK
    assert cell(state, MONITOR).tone is Tone.BUSY
    assert "1:00 min" in cell(state, MONITOR).text


@pytest.mark.parametrize(
    "told",
    [
        event(Kind.RESULT, "contact is lost; it is tried again", phase=Phase.MONITOR),
        event(Kind.PROBLEM, "tcp: no connection", phase=Phase.MONITOR),
    ],
)
def test_lost_contact_in_an_install_is_not_an_ok_install(told: Event) -> None:
    state = after(BEGUN, told, readings=(silent("n1"), old("n2")))
    assert cell(state, INSTALL).tone is not Tone.OK
    assert cell(state, INSTALL).text != "ok"


def test_a_silent_node_in_trial_is_not_said_to_be_well() -> None:
    state = after(BEGUN, TRIAL, readings=(silent("n1", Unreachable.TIMEOUT), old("n2")))
    assert cell(state, MONITOR).tone is Tone.BAD


@pytest.mark.parametrize(
    ("state", "tone"),
    [
        (NodeState.ACCEPTED, Tone.OK),
        (NodeState.MONITORING, Tone.BUSY),
        (NodeState.HELD, Tone.WARN),
        (NodeState.ROLLING_BACK, Tone.WARN),
        (NodeState.ROLLED_BACK, Tone.WARN),
        (NodeState.INCONSISTENT, Tone.BAD),
    ],
)
def test_monitor_says_what_the_node_says_now(state: NodeState, tone: Tone) -> None:
    found = after(BEGUN, TRIAL, readings=(upgraded("n1", state=state), old("n2")))
    assert cell(found, MONITOR).tone is tone


@pytest.mark.parametrize("state", [each for each in NodeState if each is not NodeState.ACCEPTED])
def test_no_other_state_than_accepted_looks_well_in_monitor(state: NodeState) -> None:
    found = after(BEGUN, TRIAL, readings=(upgraded("n1", state=state), old("n2")))
    assert cell(found, MONITOR).tone is not Tone.OK


def test_what_goes_back_is_undoing_until_it_is_proven() -> None:
    back = record("ROLLBACK", phase=Phase.ROLLBACK)
    rolling = upgraded("n1", state=NodeState.ROLLING_BACK)
    state = after(BEGUN, TRIAL, back, readings=(rolling, old("n2")))
    assert cell(state, INSTALL).text == "undoing"
    assert steps_of(state)["install"].tone is Tone.BAD
    state = after(BEGUN, TRIAL, back, readings=(silent("n1"), old("n2")))
    assert cell(state, INSTALL).text == "undoing"
    proven = old("n1", state=NodeState.ROLLED_BACK)
    state = after(BEGUN, TRIAL, back, readings=(proven, old("n2")))
    assert cell(state, INSTALL).text == "undone"
    assert "4.11" in cell(state, MONITOR).text


def test_a_node_that_went_back_to_what_cannot_be_read_is_not_shown_as_python() -> None:
    back = record("ROLLBACK", phase=Phase.ROLLBACK)
    unsure = old("n1", state=NodeState.ROLLED_BACK, selected=LOST)
    state = after(BEGUN, TRIAL, back, readings=(unsure, old("n2")))
    assert "Unknown(" not in cell(state, MONITOR).text


def test_a_node_that_is_final_on_the_old_version_is_not_said_to_be_final() -> None:
    back = record("ROLLBACK", phase=Phase.ROLLBACK)
    state = after(BEGUN, TRIAL, back, readings=(old("n1", state=NodeState.STAGED), old("n2")))
    assert cell(state, MONITOR).text != "final"


def test_a_refused_install_is_red() -> None:
    bad = event(Kind.PROBLEM, "locked: by bob", phase=Phase.INSTALL)
    assert cell(after(BEGUN, bad), INSTALL).tone is Tone.BAD


@pytest.mark.parametrize("result", [Result.HELD, Result.LOST])
def test_no_phase_is_under_way_after_the_end_of_the_run(result: Result) -> None:
    state = after(BEGUN, TRIAL, readings=(upgraded("n1", state=NodeState.HELD), old("n2")))
    ended = outcome(NodeResult("n1", result), code=Exit.NEEDS_PERSON)
    state = fold(state, [Over("upgrade", ended)])
    assert all(each.tone is not Tone.BUSY for each in steps_of(state).values())


def test_install_and_monitor_are_ok_when_the_run_ended_well() -> None:
    done = [BEGUN, TRIAL, event(Kind.PHASE, name="n2", phase=Phase.INSTALL)]
    done.append(event(Kind.RECORD, "TRIAL", name="n2", phase=Phase.MONITOR, record="TRIAL"))
    state = after(*done, readings=(upgraded("n1"), upgraded("n2")))
    assert steps_of(state)["install"].tone is Tone.BUSY
    assert "2/2" in steps_of(state)["install"].text
    state = fold(state, [Over("upgrade", outcome())])
    assert steps_of(state)["install"].tone is Tone.OK
    assert steps_of(state)["monitor"].tone is Tone.OK
    assert steps_of(state)["finalize"].tone is Tone.QUIET


# --- nodes that are not changed -----------------------------------------------------------------


def test_a_node_that_is_left_out_says_why() -> None:
    run = upgrade("n1", item("n2", Treatment.EXCLUDED, reason="disk dead"))
    state = after(run=run)
    assert "disk dead" in cell(state, MONITOR, "n2").text
    assert all(cell(state, each, "n2").tone is Tone.QUIET for each in range(PREFLIGHT, MONITOR))


def before(treatment: Treatment) -> Run:
    return upgrade(item("n1", treatment), "n2")


@pytest.mark.parametrize("treatment", [Treatment.ALREADY, Treatment.ACCEPTED])
def test_a_node_that_was_there_before_is_said_to_be(treatment: Treatment) -> None:
    there = node("n1") if treatment is Treatment.ALREADY else upgraded("n1")
    state = after(run=before(treatment), readings=(there, old("n2")))
    assert cell(state, MONITOR).tone is Tone.OK


@pytest.mark.parametrize("treatment", [Treatment.ALREADY, Treatment.ACCEPTED])
@pytest.mark.parametrize(
    "now",
    [silent("n1"), upgraded("n1", state=NodeState.ROLLING_BACK)],
    ids=["silent", "goes-back"],
)
def test_a_node_that_was_there_before_is_only_ok_as_long_as_it_says_so(
    treatment: Treatment, now: NodeReading
) -> None:
    state = after(run=before(treatment), readings=(now, old("n2")))
    assert cell(state, MONITOR).tone is not Tone.OK


def test_looking_at_what_was_there_before_is_not_the_phase_check() -> None:
    there = event(Kind.ROW, "ok files", phase=Phase.CHECK, result="ok")
    readings = (node("n1"), old("n2"))
    state = after(there, run=before(Treatment.ALREADY), readings=readings)
    assert steps_of(state)["check"].tone is Tone.QUIET
    done = after(
        there, *passed(Phase.CHECK, "n2"), run=before(Treatment.ALREADY), readings=readings
    )
    assert steps_of(done)["check"].tone is Tone.OK


def test_a_node_that_is_taken_up_again_has_its_phases_behind_it() -> None:
    run = upgrade(item("n1", Treatment.RESUME), "n2")
    state = after(run=run, readings=(in_trial(), old("n2")))
    assert [cell(state, each).text for each in EARLY.values()] == ["before"] * 3


@settings(max_examples=100, deadline=None)
@given(st.lists(events, max_size=30), st.sampled_from(Stage))
def test_whatever_happened_ok_needs_an_ok_result_of_that_node(
    found: list[Event], stage: Stage
) -> None:
    run = upgrade("n1", "n2", "n3", stage=stage)
    readings = (old("n1"), silent("n2"), in_trial())
    state = after(*found, run=run, readings=readings)
    for phase, column in EARLY.items():
        well = {
            each.node
            for each in found
            if each.phase is phase
            and each.kind is Kind.RESULT
            and each.data.get("outcome") == "ok"
        }
        for name in ("n1", "n2", "n3"):
            assert cell(state, column, name).tone is not Tone.OK or name in well
        assert steps_of(state)[phase].tone is not Tone.OK or well
    assert all(steps_of(state)[each].tone is not Tone.OK for each in ("install", "monitor"))
    assert steps_of(state)["finalize"].tone is Tone.QUIET
    assert cell(state, MONITOR, "n2").tone is not Tone.OK


def test_finalize_is_ok_only_when_its_own_run_ended_well() -> None:
    done = upgrade("n1", stage=Stage.OVER, outcome=outcome())
    for exit_code, tone in ((Exit.OK, Tone.OK), (Exit.REFUSED, Tone.BAD)):
        final = Run("finalize", "r2", Stage.OVER, outcome=outcome(code=exit_code))
        state = cluster(upgraded("n1"), run=final, upgrade=done)
        assert stepper(state, done)[-1].tone is tone
    going = cluster(upgraded("n1"), run=Run("finalize", "r2", Stage.GOING), upgrade=done)
    assert stepper(going, done)[-1].tone is Tone.BUSY
    broke = cluster(upgraded("n1"), run=Run("finalize", "r2", Stage.OVER), upgrade=done)
    assert stepper(broke, done)[-1].tone is Tone.BAD


# --- the panel of what is next ------------------------------------------------------------------


def said(run: Run) -> str:
    return "\n".join(text_of(each) for each in next_panel.lines_of(run))


def test_the_panel_shows_commands_and_how_they_are_undone() -> None:
    run = upgrade("n1", "n2", stage=Stage.WAITING, upcoming=installs("n1", "n2"))
    text = said(run)
    assert text.index("stop") < text.index("start") < text.index("go back")
    assert "n1" in text
    assert "n2" in text
    assert "n1, n2" in next_panel.title(run)


def test_the_panel_before_the_beginning_shows_the_gate_and_why_it_is_shown_again() -> None:
    run = upgrade("n1", stage=Stage.READY, shut=True)
    assert "gate before the upgrade" in said(run)
    again = Run("upgrade", "r", Stage.READY, run.prepared, "the plan is another one")
    assert "the plan is another one" in said(again)


def test_the_title_promises_nothing_where_the_gate_is_shut() -> None:
    assert not next_panel.title(upgrade("n1", stage=Stage.READY, shut=True)).startswith("n:")


def test_the_end_names_every_node_with_its_result() -> None:
    results = (
        NodeResult("n1", Result.ACCEPTED, forward=True),
        NodeResult("n2", Result.ROLLED_BACK, Problem("x", "went back")),
    )
    ended = outcome(*results, code=Exit.NEEDS_PERSON, text="stopped: n2")
    text = said(upgrade("n1", "n2", stage=Stage.OVER, outcome=ended))
    assert "n1  accepted" in text
    assert "n2  rolled back: went back" in text
    assert "stopped: n2" in text


def test_an_end_that_nobody_knows_is_not_told_as_a_good_one() -> None:
    lines = next_panel.lines_of(upgrade("n1", stage=Stage.OVER))
    assert all(each.tone is not Tone.OK for line in lines for each in line)


def test_every_condition_of_a_gate_is_shown_and_shut_is_said() -> None:
    run = upgrade("n1", stage=Stage.WAITING, upcoming=Upcoming(Phase.STAGE, ("n1",)))
    found = gate.gate_of(run, (silent("n1"),), "harbor")
    assert found is not None
    assert len(gate.lines_of(found)) == len(found.conditions)
    assert "SHUT" in gate.title(found)
    assert "SHUT" not in gate.title(gate.gate_of(run, (old("n1"),), "harbor"))
    assert gate.lines_of(None) == []
    assert gate.title(None)


def test_a_thousand_nodes_cost_one_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    real = matrix._row

    def look(*arguments: object) -> object:
        nonlocal looked
        looked += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(matrix, "_row", look)
    many = [f"n{number}" for number in range(1000)]
    run = upgrade(*many)
    state = fold(cluster(*map(old, many), run=run), [Waits(installs("n7"))])
    assert state.run is not None
    assert len(matrix.rows(state, state.run, NOW)) == 1000
    assert looked == 1000
