"""After a failure: of the right node and the right run, and choices that can be taken."""

import pytest
from hypothesis import given, settings

from app.runs.acting import Done
from app.state import Run, Stage, State
from app.view import failure
from app.view.failure import Does
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, Problem
from backends.domain.states import NodeState, Phase
from backends.engine.events import Event, Kind
from backends.engine.results import NodeResult, Result
from tests.domain.nodes import LOST, node, silent, transaction, upgraded
from tests.support.readings import NOW, cluster, event, old, outcome, record, screens, upgrade
from widgets.cells import Line, text_of


def failed(*results: NodeResult) -> State:
    ended = outcome(*results, code=Exit.NEEDS_PERSON, text="stopped")
    run = upgrade("n1", "n2", stage=Stage.OVER, outcome=ended)
    return cluster(upgraded("n1"), old("n2", state=NodeState.ROLLED_BACK), run=run)


def text(lines: list[Line]) -> str:
    return "\n".join(text_of(each) for each in lines)


def check(name: str, ok: bool, words: str, run: str = "1120-k7f") -> Event:
    return event(
        Kind.RECORD, words, name=name, phase=Phase.MONITOR, run=run, record="CHECK", ok=ok
    )


def back(name: str, words: str, run: str = "1120-k7f") -> Event:
    return event(Kind.RECORD, words, name=name, phase=Phase.ROLLBACK, run=run, record="ROLLBACK")


STORY = [
    check("n2", True, "n2 was well"),
    check("n2", False, "n2 says 503"),
    check("n1", False, "n1 says 418"),
    event(Kind.RECORD, "saved", name="n2", phase=Phase.ROLLBACK, record="EVIDENCE", log="[ERR] z"),
    back("n2", "n2 goes back: hard check"),
    event(Kind.RECORD, "undo ok", name="n2", phase=Phase.ROLLBACK, record="UNDO", ok=True),
    event(Kind.RECORD, "n1 undo", name="n1", phase=Phase.ROLLBACK, record="UNDO", ok=True),
]


def test_the_node_that_failed_is_the_last_bad_one_of_the_run() -> None:
    good = NodeResult("n1", Result.ACCEPTED, forward=True)
    for bad in (Result.ROLLED_BACK, Result.HELD, Result.LOST, Result.REFUSED, Result.UNREACHABLE):
        assert failure.failed_node(failed(good, NodeResult("n2", bad))) == "n2"
    assert failure.failed_node(cluster(node("n1"), node("n2"))) == ""


def test_without_a_run_the_worst_node_as_read_now_is_meant() -> None:
    worst = node("n2", state=NodeState.INCONSISTENT)
    assert failure.failed_node(cluster(node("n1", state=NodeState.FAILED), worst)) == "n2"
    silent_one = node("n2", state=NodeState.INCONSISTENT, unreachable=silent("x").unreachable)
    assert failure.failed_node(cluster(node("n1", state=NodeState.HELD), silent_one)) == "n1"


def test_a_roll_back_that_was_asked_for_and_went_well_is_no_failure() -> None:
    done = Done("r2", "rollback", Exit.OK, (NodeResult("n1", Result.ROLLED_BACK),), "rollback")
    run = Run("rollback", "r2", Stage.OVER, outcome=done)
    state = cluster(old("n1", state=NodeState.ROLLED_BACK), run=run)
    assert "failed" not in failure.title(state, failure.failed_node(state))


def test_a_node_that_is_back_and_does_not_serve_needs_a_person_and_says_so_first() -> None:
    sick = Problem("back-and-not-serving", "n2 is back, proven, and does not serve after 30 s")
    results = (NodeResult("n3", Result.ROLLED_BACK), NodeResult("n2", Result.UNHEALTHY, sick))
    done = Done("1120-k7f", "rollback", Exit.NEEDS_PERSON, results, "rollback")
    run = Run("rollback", "1120-k7f", Stage.OVER, outcome=done)
    state = cluster(*(old(name, state=NodeState.ROLLED_BACK) for name in ("n2", "n3")), run=run)
    assert [each.node for each in run.bad] == ["n2"]  # n3 is where it was asked to be
    assert failure.failed_node(state) == "n2"
    assert failure.title(state, "n2") == "why n2 needs you"
    said = text(failure.why(state, STORY, "n2", 2))
    assert said.index("does not serve after 30 s") < said.index("[ERR] z")


def test_why_tells_the_failing_check_of_this_node_and_its_log() -> None:
    state = failed(NodeResult("n2", Result.ROLLED_BACK, Problem("rolled-back", "n2 went back")))
    said = text(failure.why(state, STORY, "n2", 2))
    assert "n2 says 503" in said
    assert "[ERR] z" in said
    assert "n2 goes back: hard check" in said
    assert "n2 went back" in said
    assert "n1 says 418" not in said
    assert "n2 was well" not in said


def test_did_tells_the_undo_of_this_node_only() -> None:
    said = text(failure.did(STORY, "n2", 2))
    assert "undo ok" in said
    assert "n1 undo" not in said
    assert "503" not in said


def test_an_older_failure_of_the_same_node_is_not_told() -> None:
    older = [
        check("n2", False, "an old story", "1101-aaa"),
        back("n2", "old back", "1101-aaa"),
    ]
    state = failed(NodeResult("n2", Result.ROLLED_BACK))
    assert "old" not in text(failure.why(state, [*older, *STORY], "n2", 2))
    assert "old" not in text(failure.did([*older, *STORY], "n2", 2))


def test_a_held_node_is_not_explained_by_an_older_run() -> None:
    older = [check("n2", False, "an old story", "1101-aaa"), back("n2", "old", "1101-aaa")]
    held = [
        check("n2", False, "n2 says 503"),
        record("HELD", "held, waits for a person", phase=Phase.MONITOR),
    ]
    state = failed(NodeResult("n2", Result.HELD, Problem("held", "n2 waits for a person")))
    said = text(failure.why(state, [*older, *held], "n2", 2))
    assert "n2 says 503" in said
    assert "an old story" not in said


def test_what_is_not_known_here_is_said_to_be() -> None:
    assert text(failure.why(cluster(silent("n1")), [], "n1", 2))
    assert "J" in text(failure.why(cluster(silent("n1")), [], "n1", 2))
    assert "nothing has failed" in text(failure.why(cluster(node("n1")), [], "", 2))


def test_evidence_is_text_and_nothing_else() -> None:
    nasty = "\x1b[31m[bold]x[/]"
    story = [
        check("n2", False, nasty),
        event(Kind.RECORD, nasty, name="n2", phase=Phase.ROLLBACK, record="EVIDENCE", log=nasty),
    ]
    state = failed(NodeResult("n2", Result.HELD, Problem("x", nasty, nasty, nasty)))
    for each in failure.why(state, story, "n2", 2):
        assert text_of(each).isprintable()
    assert "[bold]x[/]" in text(failure.why(state, story, "n2", 2))


# --- choices ------------------------------------------------------------------------------------


def choices(state: State) -> list[failure.Choice]:
    return failure.choices(state, state.readings(NOW.monotonic))


def does(state: State) -> list[Does]:
    return [each.does for each in choices(state)]


@settings(max_examples=100, deadline=None)
@given(screens)
def test_whatever_was_read_only_what_is_open_is_offered(state: State) -> None:
    found = choices(state)
    assert found[0].does is Does.LEAVE
    assert len({each.key for each in found}) == len(found)
    for each in found:
        for name in each.nodes:
            reading = state.known[name].reading
            assert reading.left_out is None
            assert reading.facts is not None
            assert reading.facts.transaction is not None
            if each.does is Does.ACCEPT:
                assert reading.facts.state is NodeState.HELD
        if each.does is Does.TRY_AGAIN:
            assert state.run is not None
            assert state.run.failed
        assert (each.does in (Does.ROLL_BACK, Does.ACCEPT)) is bool(each.nodes)


def test_all_that_is_open_or_each_alone_can_be_rolled_back() -> None:
    found = choices(cluster(upgraded("n1"), old("n2"), upgraded("n3")))
    backs = [set(each.nodes) for each in found if each.does is Does.ROLL_BACK]
    assert backs == [{"n1", "n3"}, {"n3"}, {"n1"}]
    assert all("4.11" in each.consequences[0] for each in found if each.does is Does.ROLL_BACK)


def test_nothing_open_leaves_nothing_to_roll_back() -> None:
    assert does(cluster(node("n1"), silent("n2"))) == [Does.LEAVE]


def test_a_held_node_can_be_kept_or_taken_back() -> None:
    found = does(cluster(upgraded("n1", state=NodeState.HELD)))
    assert Does.ACCEPT in found
    assert Does.ROLL_BACK in found


def test_what_was_open_on_a_node_that_is_silent_now_is_not_offered() -> None:
    gone = upgraded("n1", unreachable=silent("x").unreachable)
    assert Does.ROLL_BACK not in does(cluster(gone, node("n2")))


def test_what_is_being_made_final_is_not_offered_to_be_rolled_back() -> None:
    decided = transaction(decision="FINALIZE", driver_alive=False)
    state = cluster(upgraded("n1", state=NodeState.INCONSISTENT, transaction=decided))
    assert "none" in state.verdict().way_back
    assert Does.ROLL_BACK not in does(state)


def leave(*readings: NodeReading) -> str:
    return " | ".join(choices(cluster(*readings))[0].consequences)


def test_leaving_says_what_runs_where() -> None:
    said = leave(upgraded("n1"), old("n2"), silent("n3"))
    assert "n1 on 4.12" in said
    assert "n2 on 4.11" in said
    assert "n3 on not read" in said
    assert "nothing moves" in leave(upgraded("n1"), old("n2"))


def test_leaving_a_node_in_trial_says_that_it_decides_alone() -> None:
    opened = transaction(decides_at_seconds=60.0, then="rollback")
    trial = upgraded("n1", state=NodeState.MONITORING, transaction=opened)
    assert "n1 decides alone" in leave(trial, old("n2"))


@pytest.mark.parametrize(
    "state", [NodeState.INSTALLING, NodeState.ROLLING_BACK, NodeState.FINALIZING]
)
def test_leaving_a_node_that_changes_is_not_said_to_be_still(state: NodeState) -> None:
    assert "nothing moves" not in leave(upgraded("n1", state=state), old("n2"))


def test_leaving_a_node_that_cannot_be_read_is_not_said_to_be_still() -> None:
    assert "nothing moves" not in leave(silent("n1"), old("n2"))


def test_a_version_that_cannot_be_read_is_not_shown_as_python() -> None:
    assert "Unknown(" not in leave(node("n1", running=LOST), old("n2"))


@pytest.mark.parametrize("state", [NodeState.ROLLED_BACK, NodeState.HELD])
def test_where_the_failed_node_is_now_is_said(state: NodeState) -> None:
    facts = upgraded("n2", state=state).facts
    assert "n2" in failure.summary("n2", facts)
    assert failure.summary("", facts) == failure.summary("", None)
    assert "proven" not in failure.summary("n2", None)
    assert ("proven" in failure.summary("n2", facts)) is (state is NodeState.ROLLED_BACK)


def test_a_summary_of_what_cannot_be_read_is_not_shown_as_python() -> None:
    facts = old("n2", state=NodeState.ROLLED_BACK, selected=LOST).facts
    assert "Unknown(" not in failure.summary("n2", facts)
    moved = upgraded("n2", previous=LOST, transaction=None, state=NodeState.HELD).facts
    assert "Unknown(" not in failure.summary("n2", moved)


def test_where_data_was_copied_there_is_a_choice_for_each_thing_to_do_with_it() -> None:
    opened = transaction(data=("/var/db",), data_since="2026-11-20T21:00:00Z")
    state = cluster(upgraded("n1", transaction=opened), upgraded("n2"))
    readings = [known.reading for known in state.known.values()]
    found = [
        choice for choice in failure.choices(state, readings) if choice.does is Does.ROLL_BACK
    ]
    assert [(choice.title, choice.data) for choice in found] == [
        ("roll back n2, n1, keep the data", "keep"),
        ("roll back n2, n1, with the data of before", "restore"),
        ("roll back n2", ""),
        ("roll back n1, keep the data", "keep"),
        ("roll back n1, with the data of before", "restore"),
    ]
    assert len({choice.key for choice in found}) == len(found)
    for choice in found:
        if choice.data:
            assert any("2026-11-20T21:00:00Z" in text for text in choice.consequences)
