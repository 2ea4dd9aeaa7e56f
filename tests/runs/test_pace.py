"""Who is asked before what: order, pauses of the policy, and nodes that must not wait."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from backends.domain.facts import NodeReading
from backends.domain.pace import Upcoming
from backends.domain.plan import Treatment
from backends.domain.policy import Pause, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import HealthState, NodeState, Outcome, Phase
from backends.engine.answer import Answer
from backends.engine.events import Kind
from backends.engine.pace import ByPolicy
from backends.engine.results import Result
from tests.domain.nodes import node, transaction, upgraded
from tests.runs.pretended import Asked, Theatre
from tests.support.readings import NEW, OLD, RUN, item, old, plan, release

Make = Callable[..., Theatre]
WALK = ["preflight n1,n2,n3", "stage n1,n2,n3", "check n1,n2,n3"]
ROLES = {"n1": "voter", "n2": "voter", "n3": "leader"}


def three(pause: Pause, batch: int) -> object:
    items = [item(name, role=role) for name, role in ROLES.items()]
    return plan(*items, policy=Policy(pause=pause, batch=batch))


@pytest.mark.parametrize(
    ("pause", "batch", "turns"),
    [
        (Pause.NONE, 1, ["install n1", "install n2", "install n3"]),
        (Pause.FIRST, 1, ["install n1", "install n2 waits", "install n3"]),
        (Pause.ALL, 1, ["install n1", "install n2 waits", "install n3 waits"]),
        (Pause.AFTER_ROLE, 1, ["install n1", "install n2", "install n3 waits"]),
        (Pause.NONE, 2, ["install n1,n2", "install n3"]),
        (Pause.FIRST, 2, ["install n1,n2", "install n3 waits"]),
        (Pause.ALL, 2, ["install n1,n2", "install n3 waits"]),
        (Pause.AFTER_ROLE, 2, ["install n1,n2", "install n3 waits"]),
    ],
)
async def test_every_phase_and_every_turn_is_asked_for_in_order(
    theatre: Make, pause: Pause, batch: int, turns: list[str]
) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    pace = Asked(here.said)
    made = three(pause, batch)
    result = await here.carries_out(made, pace)  # type: ignore[arg-type]
    assert result.exit is Exit.OK
    assert [each.result for each in result.nodes] == [Result.ACCEPTED] * 3
    assert pace.words == [*WALK, *turns]
    for turn in turns:
        nodes = turn.split()[1]
        asked = here.said.index(f"may install {nodes}")
        for name in nodes.split(","):
            assert here.said.index(f"install {name}") > asked
            assert here.said.index(f"accept {name}") > asked
    assert here.said.index("may stage n1,n2,n3") < here.said.index("stage n1")


@pytest.mark.parametrize("word", [*WALK, "install n1"])
async def test_a_pause_before_each_phase_changes_no_node_and_exits_10(
    theatre: Make, word: str
) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    result = await here.carries_out(three(Pause.NONE, 1), Asked(here.said, word))  # type: ignore[arg-type]
    assert result.exit is Exit.WAITING
    assert "not now" in result.text
    assert here.said[-1] == f"may {word}"
    did = {each.split()[0] for each in here.said} - {"may"}
    assert did <= ({"stage"} if word.startswith(("check", "install")) else set())
    assert all(each.result is Result.NOT_STARTED for each in result.nodes)


async def test_a_pause_between_two_nodes_leaves_what_is_accepted(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    result = await here.carries_out(three(Pause.NONE, 1), Asked(here.said, "install n2"))  # type: ignore[arg-type]
    assert result.exit is Exit.WAITING
    assert [each.result for each in result.nodes] == [
        Result.ACCEPTED,
        Result.NOT_STARTED,
        Result.NOT_STARTED,
    ]
    assert "install n2" not in here.said


async def test_without_a_person_the_policy_alone_pauses(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    result = await here.carries_out(three(Pause.FIRST, 1))  # type: ignore[arg-type]
    assert result.exit is Exit.WAITING
    assert "n1" in result.text
    assert "install n2" not in here.said


async def test_the_pause_after_the_first_is_not_made_again_when_it_goes_on(theatre: Make) -> None:
    here = theatre(upgraded("n1", transaction=_mine(False)), old("n2"), old("n3"))
    made = plan(item("n1", Treatment.ACCEPTED), "n2", "n3", policy=Policy(pause=Pause.FIRST))
    pace = Asked(here.said)
    result = await here.carries_out(made, pace)
    assert result.exit is Exit.OK
    assert pace.words[-2:] == ["install n2", "install n3"]


def _mine(driven: bool) -> object:
    return transaction(NEW, OLD, driver_alive=driven, to_digest=release().digest)


def in_trial(name: str) -> NodeReading:
    return upgraded(name, state=NodeState.MONITORING, transaction=_mine(True))


async def test_a_node_that_is_changing_is_taken_up_apart_and_is_said_to_be(theatre: Make) -> None:
    here = theatre(in_trial("n1"), old("n2"))
    made = plan(item("n1", Treatment.RESUME), "n2", policy=Policy(batch=2, pause=Pause.NONE))
    pace = Asked(here.said)
    result = await here.carries_out(made, pace)
    assert result.exit is Exit.OK
    assert "install n1 resumes" in pace.words
    assert "install n2" in pace.words
    assert "install n1" not in here.said
    assert "accept n1" in here.said


# Every second is one of its accept window, and the gate before another node is shut as long as it
# changes.
@pytest.mark.parametrize("order", [("n1", "n2"), ("n2", "n1")], ids=["it-is-first", "it-is-last"])
async def test_a_node_that_is_changing_is_taken_up_before_anything_else(
    theatre: Make, order: tuple[str, str]
) -> None:
    here = theatre(in_trial("n1"), old("n2"))
    items = [item("n1", Treatment.RESUME) if name == "n1" else item("n2") for name in order]
    pace = Asked(here.said)
    result = await here.carries_out(plan(*items, policy=Policy(pause=Pause.NONE)), pace)
    assert result.exit is Exit.OK, result.text
    assert pace.words[0] == "install n1 resumes"


async def test_all_that_change_are_taken_up_at_once_whatever_the_batch(theatre: Make) -> None:
    here = theatre(old("n1"), in_trial("n2"), in_trial("n3"))
    items = [item("n1"), item("n2", Treatment.RESUME), item("n3", Treatment.RESUME)]
    pace = Asked(here.said)
    result = await here.carries_out(plan(*items, policy=Policy(pause=Pause.NONE)), pace)
    assert result.exit is Exit.OK
    assert pace.words[0] == "install n2,n3 resumes"
    assert pace.words[1:] == ["preflight n1", "stage n1", "check n1", "install n1"]
    assert {"accept n2", "accept n3"} == set(here.said[1:3])


@pytest.mark.parametrize(
    ("pause", "role", "waits"),
    [
        (Pause.FIRST, "voter", True),
        (Pause.ALL, "voter", True),
        (Pause.NONE, "voter", False),
        (Pause.AFTER_ROLE, "voter", False),
        (Pause.AFTER_ROLE, "leader", True),
    ],
)
async def test_what_was_taken_up_counts_as_done_before_the_first_new_node(
    theatre: Make, pause: Pause, role: str, waits: bool
) -> None:
    here = theatre(old("n1"), in_trial("n2"))
    items = [item("n1", role="voter"), item("n2", Treatment.RESUME, role=role)]
    pace = Asked(here.said)
    await here.carries_out(plan(*items, policy=Policy(pause=pause)), pace)
    assert pace.words[-1] == ("install n1 waits" if waits else "install n1")
    assert pace.upcoming[-1].waits == (f"paused after n2 ({pause.value})" if waits else "")


async def test_the_pause_after_the_first_was_made_when_one_was_accepted_before(
    theatre: Make,
) -> None:
    there = upgraded("n1", transaction=_mine(False))
    here = theatre(there, in_trial("n2"), old("n3"))
    items = [item("n1", Treatment.ACCEPTED), item("n2", Treatment.RESUME), item("n3")]
    pace = Asked(here.said)
    await here.carries_out(plan(*items, policy=Policy(pause=Pause.FIRST)), pace)
    assert pace.words[-1] == "install n3"


def gone_back(name: str) -> NodeReading:
    return old(name, state=NodeState.ROLLED_BACK, last_run=RUN, last_outcome="undone")


@pytest.mark.parametrize(
    ("first", "reading", "code"),
    [
        (Treatment.ALREADY, old("n1"), Exit.ROLLED_BACK),
        (Treatment.ACCEPTED, upgraded("n1"), Exit.NEEDS_PERSON),
    ],
)
async def test_one_that_was_taken_up_and_went_back_stops_the_run_and_the_exit_knows_the_others(
    theatre: Make, first: Treatment, reading: NodeReading, code: Exit
) -> None:
    here = theatre(reading, gone_back("n2"), old("n3"))
    items = [item("n1", first), item("n2", Treatment.RESUME), item("n3")]
    pace = Asked(here.said)
    result = await here.carries_out(plan(*items, policy=Policy(pause=Pause.NONE)), pace)
    assert result.exit is code
    assert [each.result for each in result.nodes] == [
        Result.ALREADY,
        Result.ROLLED_BACK,
        Result.NOT_STARTED,
    ]
    assert result.text == "stopped: n2 rolled back; no further node is started"
    assert pace.words == ["install n2 resumes"]


async def test_a_gate_that_shuts_after_a_node_was_taken_up_does_not_say_nothing_was_changed(
    theatre: Make,
) -> None:
    here = theatre(in_trial("n1"), old("n2", health=HealthState.FAILING))
    items = [item("n1", Treatment.RESUME), item("n2")]
    result = await here.carries_out(plan(*items), Asked(here.said))
    assert result.exit is Exit.NEEDS_PERSON
    assert [each.result for each in result.nodes] == [Result.ACCEPTED, Result.NOT_STARTED]
    assert result.problem is not None
    assert result.problem.advice.startswith("No further node was begun")


async def test_one_turn_that_breaks_does_not_leave_the_others_in_trial(theatre: Make) -> None:
    here = theatre(in_trial("n1"), in_trial("n2"))

    async def breaks(*_: object) -> NoReturn:
        raise RuntimeError("zonk")

    here.nodes["n1"].follow = breaks  # type: ignore[method-assign]
    items = [item("n1", Treatment.RESUME), item("n2", Treatment.RESUME)]
    with pytest.raises(RuntimeError):
        await here.carries_out(plan(*items), Asked(here.said))
    assert "accept n2" in here.said


async def test_what_is_there_is_looked_at_as_a_part_of_preflight_and_ends_well(
    theatre: Make,
) -> None:
    here = theatre(node("n1"), old("n2"))
    made = plan(item("n1", Treatment.ALREADY), "n2", policy=Policy(pause=Pause.NONE))
    await here.carries_out(made, Asked(here.said))
    about = [each for each in here.events if each.node == "n1"]
    assert [(each.phase, each.kind, each.data) for each in about] == [
        (Phase.PREFLIGHT, Kind.RESULT, {"outcome": "ok"})
    ]
    assert about[0].text == "on 4.12 already: verified and left alone"


async def test_what_is_there_and_is_not_what_was_installed_is_told(theatre: Make) -> None:
    here = theatre(node("n1"), old("n2"))
    here.nodes["n1"].refuses = "installed"
    made = plan(item("n1", Treatment.ALREADY), "n2", policy=Policy(pause=Pause.NONE))
    result = await here.carries_out(made, Asked(here.said))
    assert result.exit is Exit.NEEDS_PERSON
    about = [each for each in here.events if each.node == "n1"]
    assert [(each.phase, each.kind) for each in about] == [(Phase.PREFLIGHT, Kind.PROBLEM)]


async def test_the_policy_does_not_let_a_changing_node_wait() -> None:
    upcoming = Upcoming(Phase.INSTALL, ("n2",), waits="paused after n1 (all)", resumes=True)
    assert await ByPolicy().may_begin(upcoming) == ""


async def test_a_check_that_says_no_stops_before_any_install(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    here.nodes["n2"].refuses = "staged"
    result = await here.carries_out(three(Pause.NONE, 1), Asked(here.said))  # type: ignore[arg-type]
    assert result.exit is Exit.REFUSED
    assert not any(each.startswith("install") for each in here.said)
    assert "may install n1" not in here.said


async def test_what_a_node_did_while_it_was_not_heard_is_told_before_it_is_judged(
    theatre: Make,
) -> None:
    here = theatre(in_trial("n1"))
    follows = 0

    async def goes_back_unheard(
        run: str | None, offset: int, observe: Callable[[Any], None], seconds: float, *_: Any
    ) -> Answer:
        nonlocal follows
        follows += 1
        if follows == 1:
            state = NodeState.ROLLED_BACK
            here.nodes["n1"].reading = old("n1", state=state, last_txn="t1", last_run=RUN)
            return Answer(Outcome.TIMED_OUT, Problem("silent", "no word from n1"), ())
        record = {"t": "ROLLBACK", "n": 9, "wt": 1e9, "by": "ann@jump", "why": "asked for"}
        observe({"t": "record", "offset": 90, "record": record})
        return Answer(Outcome.OK, None, ())

    here.nodes["n1"].follow = goes_back_unheard  # type: ignore[method-assign]
    result = await here.carries_out(plan(item("n1", Treatment.RESUME)), Asked(here.said))
    assert [each.result for each in result.nodes] == [Result.ROLLED_BACK]
    assert "ROLLBACK" in [event.data.get("record") for event in here.events]
    problem = result.nodes[0].problem
    assert problem is not None
    assert "ann@jump" in problem.summary


@pytest.mark.parametrize("heard", [Outcome.TIMED_OUT, Outcome.UNREACHABLE])
async def test_an_order_whose_answer_was_not_heard_is_not_called_unchanged(
    theatre: Make, heard: Outcome
) -> None:
    """The node may still be at work on it: contact is lost, exit 8, and no other node is begun."""
    here = theatre(old("n1"), old("n2"))
    here.nodes["n1"].unheard = heard
    result = await here.carries_out(plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    assert [each.result for each in result.nodes] == [Result.LOST, Result.NOT_STARTED]
    assert result.exit is Exit.CONTACT_LOST
    assert "install n2" not in here.said


@pytest.mark.parametrize(("until", "rest"), [(Phase.STAGE, []), (Phase.CHECK, ["may check n2"])])
async def test_who_only_stages_leaves_a_changing_node_alone_and_says_so(
    theatre: Make, until: Phase, rest: list[str]
) -> None:
    here = theatre(in_trial("n1"), old("n2"))
    made = plan(item("n1", Treatment.RESUME), "n2", policy=Policy(pause=Pause.NONE))
    here.nodes["n1"].refuses = "staged"  # it is not even asked
    result = await here.carries_out(made, Asked(here.said), until)
    assert result.exit is Exit.WAITING
    assert [each.result for each in result.nodes] == [Result.NOT_STARTED, Result.DONE]
    assert here.said == ["may preflight n2", "may stage n2", "stage n2", *rest]
    assert "n1 left alone" in result.text
