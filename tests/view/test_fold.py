"""State is a fold of news: in their order, the same one by one and all at once."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.allowed import changing
from app.between.news import (
    Began,
    Goes,
    Happened,
    Held,
    News,
    Over,
    Planning,
    Read,
    Ready,
    Recalled,
    Refused,
    Releases,
    Waits,
)
from app.runs.acting import Done
from app.state import Known, Stage, State, fold
from backends.domain.facts import NodeReading
from backends.domain.pace import Upcoming
from backends.domain.problem import Exit, Problem
from backends.domain.states import NodeState, Phase
from backends.engine.events import Kind
from backends.engine.results import NodeResult, Result
from tests.domain.nodes import awaited, node, silent, transaction, upgraded
from tests.support.readings import (
    NOW,
    RUN,
    cluster,
    event,
    installs,
    known,
    news,
    old,
    outcome,
    prepared,
    screens,
)

BUSY = Refused("finalize 4.12", Problem("busy", "Something else is under way here."), Exit.LOCKED)


def start() -> State:
    return cluster(*(known(awaited(name), 0.0) for name in ("n1", "n2", "n3")))


def one_by_one(state: State, letters: list[News]) -> State:
    for letter in letters:
        state = fold(state, [letter])
    return state


def same(one: State, other: State) -> bool:
    """Unknown equals nothing, not even itself; how it is written is what can be compared."""
    return repr(one) == repr(other)


READ = [Read(old(name), 1.0) for name in ("n1", "n2", "n3")]
MADE = prepared("n1", "n2", "n3")
BEGUN: list[News] = [*READ, Ready(MADE), Began("upgrade", RUN)]


@settings(max_examples=100, deadline=None)
@given(st.lists(news, max_size=12))
def test_news_in_one_batch_or_one_by_one_make_the_same_state_of_a_run(letters: list[News]) -> None:
    state = fold(start(), BEGUN)
    assert same(fold(state, letters), one_by_one(state, letters))


def test_news_before_the_first_run_make_the_same_state_however_they_come() -> None:
    letters: list[News] = [
        Happened(event(Kind.PHASE, phase=Phase.ROLLBACK)),
        Over("recover", outcome(code=Exit.NEEDS_PERSON)),
    ]
    assert same(fold(start(), letters), one_by_one(start(), letters))


@settings(max_examples=100, deadline=None)
@given(screens, st.lists(news, max_size=8))
def test_the_state_before_stays_as_it_was(state: State, letters: list[News]) -> None:
    before = repr(state)
    nodes = {f"n{number}": known(old(f"n{number}")) for number in range(1, 4)}
    state = replace(state, known={**nodes, **state.known})
    text = repr(state)
    fold(state, letters)
    assert repr(state) == text
    assert before


def test_the_newest_reading_counts_and_the_order_of_the_nodes_stays() -> None:
    state = fold(start(), [Read(old("n2"), 1.0), Read(node("n2"), 2.0), Read(old("n1"), 3.0)])
    assert list(state.known) == ["n1", "n2", "n3"]
    reading = state.reading("n2")
    assert reading is not None
    assert reading.facts is not None
    assert reading.facts.running == "4.12"
    assert state.reading("n9") is None


# --- what is known of a node --------------------------------------------------------------------


def test_a_lost_node_keeps_what_was_read_last_and_since_when() -> None:
    state = fold(
        start(),
        [Read(old("n1"), 10.0), Read(node("n1"), 20.0), Read(silent("n1"), 30.0)]
        + [Read(silent("n1"), 40.0)],
    )
    lost = state.known["n1"]
    assert not lost.reading.read
    assert (lost.at, lost.since) == (40.0, 30.0)
    assert lost.last is not None
    assert lost.last.at == 20.0
    assert lost.last.reading.facts is not None
    assert lost.last.reading.facts.running == "4.12"
    assert lost.last.last is None
    back = fold(state, [Read(old("n1"), 50.0)]).known["n1"]
    assert (back.at, back.since, back.last) == (50.0, 50.0, None)


def test_a_node_that_was_never_read_has_no_last_reading() -> None:
    state = fold(start(), [Read(silent("n1"), 10.0), Read(silent("n1"), 20.0)])
    assert state.known["n1"].last is None


def test_a_reading_ages_and_its_countdown_goes_down_by_the_same() -> None:
    opened = transaction(decides_at_seconds=60.0, then="rollback")
    one = Known(upgraded("n1", transaction=opened, age_seconds=2.0), 100.0)
    for passed, age, left in ((0.0, 2.0, 60.0), (25.0, 27.0, 35.0), (90.0, 92.0, 0.0)):
        aged = one.aged(100.0 + passed)
        assert aged.age_seconds == age
        assert aged.facts is not None
        assert aged.facts.transaction is not None
        assert aged.facts.transaction.decides_at_seconds == left
    assert one.reading.age_seconds == 2.0
    assert Known(silent("n1"), 100.0).aged(500.0) == silent("n1")
    none = upgraded("n1", transaction=transaction(decides_at_seconds=None))
    facts = Known(none, 100.0).aged(150.0).facts
    assert facts is not None
    assert facts.transaction is not None
    assert facts.transaction.decides_at_seconds is None


def test_what_the_cluster_is_follows_from_the_newest_readings() -> None:
    state = fold(start(), [Read(node(name), 1.0) for name in ("n1", "n2", "n3")])
    assert state.verdict().title() == "SETTLED 4.12"
    assert "SETTLED" not in fold(state, [Read(silent("n2"), 2.0)]).verdict().title()


# --- a run --------------------------------------------------------------------------------------


def stage_after(*letters: News) -> Stage | None:
    run = fold(fold(start(), BEGUN), letters).run
    return run.stage if run is not None else None


def test_a_run_is_ready_then_going_then_over() -> None:
    state = fold(start(), READ)
    assert state.run is None
    state = fold(state, [Planning("planning the upgrade")])
    assert state.planning
    state = fold(state, [Ready(MADE)])
    assert state.run is not None
    assert (state.run.stage, state.planning) == (Stage.READY, "")
    assert not state.run.is_under_way
    state = fold(state, [Began("upgrade", RUN)])
    assert state.run is not None
    assert state.run.stage is Stage.GOING
    assert state.run.prepared is MADE
    assert stage_after(Waits(installs("n1"))) is Stage.WAITING
    assert stage_after(Waits(installs("n1")), Goes(installs("n1"))) is Stage.GOING
    assert stage_after(Goes(installs("n1")), Over("upgrade", outcome())) is Stage.OVER


def test_hold_is_remembered_as_long_as_the_run() -> None:
    held = fold(fold(start(), BEGUN), [Held(True)])
    assert held.run is not None
    assert held.run.held
    again = fold(held, [Over("upgrade", outcome()), Ready(MADE), Began("upgrade", RUN)])
    assert again.run is not None
    assert not again.run.held


def test_an_act_after_the_upgrade_leaves_the_upgrade_in_sight() -> None:
    told = Happened(event(Kind.PHASE, phase=Phase.INSTALL))
    ended = outcome(NodeResult("n1", Result.ACCEPTED, forward=True))
    letters: list[News] = [told, Over("upgrade", ended), Began("finalize", "r2")]
    for state in (fold(fold(start(), BEGUN), letters), one_by_one(start(), BEGUN + letters)):
        assert state.run is not None
        assert state.upgrade is not None
        assert (state.run.kind, state.run.id, state.run.prepared) == ("finalize", "r2", None)
        assert (state.upgrade.kind, state.upgrade.outcome) == ("upgrade", ended)
        assert ("n1", Phase.INSTALL) in state.upgrade.progress
        assert not state.run.progress


def test_what_happens_in_an_act_is_no_progress_of_the_upgrade() -> None:
    letters: list[News] = [
        Over("upgrade", outcome()),
        Began("rollback", "r2"),
        Happened(event(Kind.PHASE, phase=Phase.ROLLBACK, run="r2")),
        Over("rollback", Done("r2", "rollback", Exit.OK, (), "rollback")),
    ]
    state = fold(fold(start(), BEGUN), letters)
    assert state.upgrade is not None
    assert ("n1", Phase.ROLLBACK) not in state.upgrade.progress


def test_a_new_plan_forgets_the_progress_of_the_one_before() -> None:
    state = fold(start(), [*BEGUN, Happened(event(Kind.PHASE))])
    state = fold(state, [Over("upgrade", outcome()), Ready(MADE, "look again")])
    assert state.run is not None
    assert not state.run.progress
    assert state.run.again == "look again"
    assert state.run.outcome is None


def test_a_run_that_broke_is_over_and_what_is_only_planned_stays() -> None:
    broke = Refused("upgrade to 4.12", Problem("unexpected", "A defect."), Exit.ERROR, "upgrade")
    assert stage_after(Goes(installs("n1")), broke) is Stage.OVER
    state = fold(start(), [*READ, Ready(MADE), BUSY])
    assert state.run is not None
    assert state.run.stage is Stage.READY
    assert fold(start(), [Planning("planning"), broke]).planning == ""


@pytest.mark.parametrize(
    "first", [Goes(installs("n1")), Waits(installs("n1"))], ids=["goes", "waits"]
)
def test_a_second_act_that_is_refused_does_not_end_the_first(first: News) -> None:
    state = fold(fold(start(), BEGUN), [first, BUSY])
    assert state.run is not None
    assert state.run.is_under_way


def test_a_second_act_that_is_refused_does_not_end_the_planning() -> None:
    assert fold(start(), [Planning("planning the upgrade"), BUSY]).planning


def test_bringing_nodes_to_rest_is_not_the_end_of_the_planned_upgrade() -> None:
    ended = outcome(code=Exit.NEEDS_PERSON)
    state = fold(start(), [*READ, Ready(MADE), Over("recover", replace(ended, run="r9"))])
    assert state.run is not None
    assert (state.run.kind, state.run.id) == ("recover", "r9")


def test_news_without_a_run_change_no_run() -> None:
    for letter in (Waits(installs("n1")), Goes(installs("n1")), Held(True), BUSY):
        assert fold(start(), [letter]).run is None
    over = fold(start(), [Over("rollback", outcome())])
    assert over.run is not None
    assert over.run.stage is Stage.OVER


def test_what_is_found_is_kept_and_what_is_recalled_is_no_run() -> None:
    recalled, found = Recalled(RUN, "upgrade", "", ()), Releases("/r", ())
    state = fold(start(), [recalled, found])
    assert state.releases is found
    assert state.run is None


# --- progress -----------------------------------------------------------------------------------


def progress(*kinds: tuple[Kind, dict[str, object]]) -> object:
    letters = [Happened(event(kind, "text", phase=Phase.CHECK, **data)) for kind, data in kinds]
    run = fold(fold(start(), BEGUN), letters).run
    assert run is not None
    return run.progress[("n1", Phase.CHECK)]


def test_checks_are_counted_by_their_result_and_anything_odd_is_no_success() -> None:
    rows = ["ok", "ok", "warn", "fail", "refused", "", "great"]
    found = progress(*((Kind.ROW, {"result": each}) for each in rows), (Kind.ROW, {}))
    assert (found.passed, found.warned, found.refused) == (2, 1, 5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", [None, "", "OK", "failed", 1, True])
def test_only_ok_is_ok(word: object) -> None:
    assert not progress((Kind.RESULT, {"outcome": word})).is_ok  # type: ignore[attr-defined]
    assert progress((Kind.RESULT, {"outcome": "ok"})).is_ok  # type: ignore[attr-defined]


def test_a_phase_that_begins_again_begins_at_nothing() -> None:
    found = progress(
        (Kind.ROW, {"result": "ok"}), (Kind.RESULT, {"outcome": "ok"}), (Kind.PHASE, {})
    )
    assert (found.passed, found.is_ok) == (0, False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", [{}, {"sent": "1", "of": "2"}, {"sent": 1}, {"of": None}])
def test_progress_that_is_no_number_is_not_told(data: dict[str, object]) -> None:
    assert progress((Kind.PROGRESS, data)).of == 0  # type: ignore[attr-defined]


# --- the nodes that change now ------------------------------------------------------------------


def going(*readings: NodeReading) -> State:
    upcoming = Upcoming(Phase.INSTALL, ("n1",))
    state = fold(start(), [*BEGUN, Goes(upcoming)])
    return fold(state, [Read(each, 5.0) for each in readings])


def test_a_begun_node_that_is_silent_may_be_changing() -> None:
    assert changing(going(silent("n1")), ["n1"]) == ("n1",)
    assert changing(going(upgraded("n1", state=NodeState.MONITORING)), ["n1"]) == ("n1",)
    assert changing(fold(going(), [Over("upgrade", outcome())]), ["n1"]) == ()
    assert changing(going(silent("n2")), ["n1"]) == ("n1",)


def test_ages_are_those_of_the_moment() -> None:
    state = cluster(known(old("n1", age_seconds=0.0), at=NOW.monotonic - 7))
    assert state.readings(NOW.monotonic)[0].age_seconds == 7.0
