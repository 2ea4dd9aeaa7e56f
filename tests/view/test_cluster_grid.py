"""The live grid: every fact apart; what was not read is never shown as if it were."""

import itertools

import pytest
from hypothesis import given, settings

from app.state import Known, State
from app.view import cluster_grid, node_panel
from app.view.words import NONE, PHASE_WORDS, SEVERITY, UNREAD, clock, state_of
from backends.domain.facts import Finalized, NodeReading, Unknown
from backends.domain.problem import Problem
from backends.domain.states import REACH_WORDS, HealthState, NodeState, ServiceState, Unreachable
from tests.domain.nodes import LOST, awaited, node, nothing_there, silent, transaction, upgraded
from tests.support.readings import NOW, cluster, fallen, known, old, screens
from widgets.cells import Cell, Tone, text_of
from widgets.grid import Row

MARK, NAME, ROLE, RUNS, STAGED, FINAL, PHASE, HEALTH, NOTE = range(9)


def row(reading: NodeReading | Known) -> Row:
    (found,) = cluster_grid.rows(cluster(reading), NOW)
    return found


def texts(reading: NodeReading | Known) -> list[str]:
    return [cell.text for cell in row(reading).cells]


def panel(reading: NodeReading | Known) -> str:
    one = reading if isinstance(reading, Known) else known(reading)
    return "\n".join(text_of(each) for each in node_panel.lines_of(one, NOW))


@pytest.mark.parametrize("state", NodeState)
def test_a_row_says_letter_and_word_of_every_state(state: NodeState) -> None:
    found = texts(node("n1", state=state))
    assert found[PHASE] == PHASE_WORDS[state]
    assert found[NAME] == "n1"
    assert state.replace("_", " ") in panel(node("n1", state=state))


@pytest.mark.parametrize("why", Unreachable)
def test_a_silent_node_shows_no_fact_and_says_why(why: Unreachable) -> None:
    found = row(node("n1", unreachable=why, staged=("4.13",)))
    cells = [cell.text for cell in found.cells]
    assert cells[RUNS:PHASE] == [UNREAD] * 3
    assert cells[HEALTH] == REACH_WORDS[why]
    assert cells[MARK] == "?"
    assert all(cell.tone is not Tone.OK for cell in found.cells)
    assert REACH_WORDS[why] in panel(silent("n1", why))


def test_a_node_that_has_not_answered_yet_is_asked_and_not_lost() -> None:
    found = texts(awaited("n1"))
    assert found[RUNS:PHASE] == [UNREAD] * 3
    assert "asking" in found[PHASE]
    assert all(cell.tone is not Tone.OK for cell in row(awaited("n1")).cells)


def test_a_node_that_answered_nonsense_is_not_said_to_be_asked() -> None:
    found = texts(NodeReading("n1", problem=Problem("bad-answer", "The facts make no sense.")))
    assert "The facts make no sense." in found[NOTE]
    assert "asking" not in found[PHASE]


def test_a_node_that_is_left_out_says_why_and_shows_nothing_as_read() -> None:
    found = row(node("n1", excluded="disk dead, INC-77"))
    cells = [cell.text for cell in found.cells]
    assert cells[MARK] == "E"
    assert "INC-77" in cells[NOTE]
    assert cells[RUNS:PHASE] == [UNREAD] * 3
    assert "INC-77" in panel(node("n1", excluded="disk dead, INC-77"))


@pytest.mark.parametrize(
    ("about", "column"), [("running", RUNS), ("staged", STAGED), ("finalized", FINAL)]
)
def test_a_fact_that_could_not_be_read_is_a_question_mark_in_a_warning(
    about: str, column: int
) -> None:
    cell = row(node("n1", **{about: LOST})).cells[column]
    assert cell == Cell(UNREAD, Tone.WARN)
    assert "permission denied" in panel(node("n1", **{about: LOST}))


def test_nothing_final_and_unreadable_final_are_told_apart() -> None:
    assert texts(node("n1", finalized=None))[FINAL] == NONE
    assert texts(node("n1", finalized=LOST))[FINAL] == UNREAD


def test_a_final_version_that_does_not_run_is_a_warning() -> None:
    assert row(upgraded("n1")).cells[FINAL] == Cell("4.11", Tone.WARN)
    assert row(node("n1")).cells[FINAL] == Cell("4.12", Tone.PLAIN)
    unsure = row(node("n1", running=LOST)).cells[FINAL]
    assert unsure.tone is Tone.WARN


@pytest.mark.parametrize(("service", "health"), list(itertools.product(ServiceState, HealthState)))
def test_healthy_is_said_only_where_it_was_read_of_a_running_service(
    service: ServiceState, health: HealthState
) -> None:
    cell = row(node("n1", service=service, health=health)).cells[HEALTH]
    good = service is ServiceState.STARTED and health is HealthState.HEALTHY
    assert (cell.tone is Tone.OK) is good
    assert (cell.text == "healthy") is good
    if health is HealthState.FAILING and service is ServiceState.STARTED:
        assert cell.tone is Tone.BAD


def test_what_fails_is_said_with_its_evidence() -> None:
    sick = node("n1", health=HealthState.FAILING, health_text="503 not ready")
    assert "503 not ready" in texts(sick)[NOTE]
    assert row(sick).cells[NOTE].tone is Tone.BAD
    assert "503 not ready" in panel(sick)


def test_a_service_that_is_down_is_not_shown_as_a_running_version() -> None:
    down = row(node("n1", running=None, service=ServiceState.STOPPED))
    assert down.cells[RUNS].tone is Tone.BAD
    assert "4.12" not in down.cells[RUNS].text
    assert down.cells[HEALTH].tone is Tone.BAD


def test_an_absent_product_is_none_and_neither_down_nor_healthy() -> None:
    found = row(nothing_there("n1"))
    assert found.cells[RUNS].text == NONE
    assert found.cells[HEALTH].text == NONE
    assert all(cell.tone not in (Tone.OK, Tone.BAD) for cell in found.cells)


def test_the_next_start_is_named_only_where_it_runs_something_else() -> None:
    assert "4.11" in texts(node("n1", selected="4.11"))[NOTE]
    assert texts(node("n1"))[NOTE] == ""


def test_only_an_old_age_is_worth_a_word() -> None:
    assert "ago" not in texts(node("n1", age_seconds=2.0))[NOTE]
    assert "1:40 min ago" in texts(node("n1", age_seconds=100.0))[NOTE]
    aging = known(node("n1", age_seconds=0.0), at=NOW.monotonic - 100)
    assert "1:40 min ago" in texts(aging)[NOTE]


def trial(left: float = 60.0, then: str = "rollback", **other: object) -> NodeReading:
    opened = transaction(decides_at_seconds=left, then=then)
    return upgraded("n1", state=NodeState.MONITORING, transaction=opened, **other)


def test_a_trial_counts_down_and_says_what_comes_then() -> None:
    assert "rollback" in texts(trial())[NOTE]
    assert "1:00 min" in texts(trial())[NOTE]
    later = known(trial(), at=NOW.monotonic - 20)
    assert "40 s" in texts(later)[NOTE]
    over = known(trial(), at=NOW.monotonic - 500)
    assert " 0 s" in texts(over)[NOTE]
    assert "rollback" in panel(trial())


def test_a_lost_node_in_trial_says_when_it_decides_by_itself() -> None:
    lost = fallen(trial(), silent("n1"), NOW.monotonic - 10, read_at=NOW.monotonic - 20)
    note = texts(lost)[NOTE]
    assert "rollback" in note
    assert clock(NOW.wall + 40) in note
    assert clock(NOW.wall - 10) in note


def test_a_lost_node_whose_time_is_over_is_not_said_to_decide_later() -> None:
    lost = fallen(trial(5.0), silent("n1"), NOW.monotonic - 10, read_at=NOW.monotonic - 20)
    assert "by itself at" not in texts(lost)[NOTE]


def test_a_lost_accepted_node_is_said_to_stay() -> None:
    lost = fallen(upgraded("n1"), silent("n1"), NOW.monotonic - 10)
    assert "accepted on 4.12" in texts(lost)[NOTE]
    assert row(lost).cells[RUNS].text == UNREAD


def test_the_panel_of_a_lost_node_says_of_which_time_its_facts_are() -> None:
    lost = fallen(node("n1"), silent("n1"), NOW.monotonic - 10, read_at=NOW.monotonic - 70)
    said = panel(lost)
    assert "1:10 min ago" in said
    assert said.index("ago") < said.index("4.12")
    assert "unknown" in said


def test_the_worst_comes_first_and_equals_stay_in_order() -> None:
    found = [
        node("n1"),
        silent("n2"),
        upgraded("n3"),
        node("n4", state=NodeState.INCONSISTENT),
        node("n5"),
        node("n6", excluded="dead"),
        node("n7", state=NodeState.FAILED),
    ]
    state = cluster(*found)
    assert [each.key for each in cluster_grid.rows(state, NOW)] == [each.name for each in found]
    worst = cluster_grid.rows(state, NOW, worst_first=True)
    assert [each.key for each in worst] == ["n4", "n7", "n2", "n3", "n1", "n5", "n6"]


@settings(max_examples=100, deadline=None)
@given(screens)
def test_whatever_was_read_a_row_has_every_column_and_unread_is_never_ok(state: State) -> None:
    for worst_first in (False, True):
        found = cluster_grid.rows(state, NOW, worst_first=worst_first)
        assert sorted(each.key for each in found) == sorted(state.known)
        ranks = [SEVERITY.index(state_of(state.known[each.key].reading)) for each in found]
        assert not worst_first or ranks == sorted(ranks)
        for each in found:
            assert len(each.cells) == len(cluster_grid.COLUMNS)
            assert all("Unknown(" not in cell.text for cell in each.cells)
            reading = state.known[each.key].reading
            if not reading.read:
                assert all(cell.tone is not Tone.OK for cell in each.cells)
                assert [cell.text for cell in each.cells[RUNS:PHASE]] == [UNREAD] * 3


@settings(max_examples=100, deadline=None)
@given(screens)
def test_whatever_was_read_a_panel_can_be_made(state: State) -> None:
    for each in state.known.values():
        said = "\n".join(text_of(text) for text in node_panel.lines_of(each, NOW))
        assert "Unknown(" not in said
        if not each.reading.read:
            assert "healthy" not in said


def test_what_nobody_signed_is_marked_in_the_row_and_in_the_panel() -> None:
    reading = node("n1", "4.12", unsigned=("4.12",))
    note = row(reading).cells[-1]
    assert note.text == "4.12 NOT SIGNED"
    assert note.tone is Tone.WARN
    assert "not signed 4.12" in panel(reading)
    signed = node("n1", "4.12")
    assert "SIGNED" not in row(signed).cells[-1].text
    assert "not signed" not in panel(signed)


NASTY = [
    "[bold red]x[/]",
    "\x1b[31mred\x1b[0m",
    "漢字" * 30,
    "a" * 5000,
    "",
    "two\nlines",
    "‮reversed",
    "e" + "\u0301" * 40,
]


@pytest.mark.parametrize("text", NASTY)
def test_text_of_a_node_is_inert(text: str) -> None:
    nasty = node(
        "n1",
        text or "4.12",
        staged=(text, text),
        finalized=Finalized(text, text),
        health=HealthState.FAILING,
        health_text=text,
        note=text,
        problem=Problem("odd", text, text, text),
        transaction=transaction(to=text, back=text, operator=text, since=text, then=text),
    )
    for one in (nasty, fallen(nasty, silent("n1"), 990.0)):
        for cell in row(one).cells:
            assert cell.text.isprintable()
            assert "\x1b" not in cell.text
        for said in panel(one).splitlines():
            assert said.isprintable()
    unread = NodeReading("n1", problem=Problem("odd", text, text), role=text, address=text)
    assert all(cell.text.isprintable() for cell in row(unread).cells)
    assert "[bold red]x[/]" not in text or "[bold red]x[/]" in panel(nasty)
    lost = node("n1", running=Unknown(text), finalized=Unknown(text))
    assert panel(lost).isprintable() or "\n" in panel(lost)


@pytest.mark.parametrize("left", [float("nan"), float("inf"), 1e300])
def test_a_countdown_that_is_no_number_does_not_end_the_screen(left: float) -> None:
    assert row(trial(left)).cells[NAME].text == "n1"
    assert panel(trial(left))


def test_a_thousand_rows_read_every_node_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    real = Known.aged

    def aged(self: Known, now: float) -> NodeReading:
        nonlocal asked
        asked += 1
        return real(self, now)

    monkeypatch.setattr(Known, "aged", aged)
    state = cluster(*(old(f"n{number}") for number in range(1000)))
    assert len(cluster_grid.rows(state, NOW, worst_first=True)) == 1000
    assert asked == 1000
