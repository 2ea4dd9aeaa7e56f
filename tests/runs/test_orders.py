"""A run that is told to wait, to go at another pace or to end; and our own link that is gone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backends.domain.facts import NodeReading
from backends.domain.policy import Pause, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import Outcome, Phase, Unreachable
from backends.engine import our_link, turn
from backends.engine.answer import Answer
from backends.engine.conductor import Conductor
from backends.engine.events import Kind
from backends.engine.results import Result
from backends.engine.scribe import Scribe
from backends.store.book import Start
from tests.runs.pretended import FINE, Pretended, Theatre
from tests.support.readings import old, plan, release

Make = Callable[..., Theatre]
DEAD = Answer(Outcome.UNREACHABLE, Problem("tcp", "it does not answer"), ())


def conductor(here: Theatre, made: Any) -> Conductor:
    here.book.begin(Start(made.run, "harbor", "netstack", "upgrade", "ann", 1.0))
    scribe = Scribe(here.book, made.run, here.events.append)
    nodes: Any = here.nodes
    return Conductor(made, nodes, release(), scribe, "harbor")


async def drive(run: Conductor, until: Phase = Phase.INSTALL) -> Any:
    async with asyncio.timeout(20):
        return await run.run(until)


def when(node: Pretended, command: str, do: Callable[[], None]) -> None:
    """Do something as soon as a node is asked this."""
    asked = node.ask

    async def ask(word: str, **args: object) -> Answer:
        if word == command:
            do()
        return await asked(word, **args)

    node.ask = ask  # type: ignore[method-assign]


def results(outcome: Any) -> list[Result]:
    return [each.result for each in outcome.nodes]


def three(**policy: Any) -> Any:
    return plan("n1", "n2", "n3", policy=Policy(**policy))


async def test_b5_another_pause_policy_takes_effect_before_the_next_node(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    run = conductor(here, three(pause=Pause.NONE))
    when(here.nodes["n1"], "install", lambda: setattr(run.orders, "pause", Pause.ALL))
    outcome = await drive(run)
    assert outcome.exit is Exit.WAITING
    assert results(outcome) == [Result.ACCEPTED, Result.NOT_STARTED, Result.NOT_STARTED]


async def test_b5_a_pause_that_is_lifted_during_the_run_is_none(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    run = conductor(here, three(pause=Pause.ALL))
    when(here.nodes["n1"], "install", lambda: setattr(run.orders, "pause", Pause.NONE))
    outcome = await drive(run)
    assert (outcome.exit, results(outcome)) == (Exit.OK, [Result.ACCEPTED] * 3)


async def test_j6_told_to_wait_it_sees_the_node_through_and_begins_no_other(
    theatre: Make,
) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    run = conductor(here, three(pause=Pause.NONE))
    when(here.nodes["n1"], "install", lambda: setattr(run.orders, "waits", "paused by ann"))
    outcome = await drive(run)
    assert outcome.exit is Exit.WAITING
    assert results(outcome) == [Result.ACCEPTED, Result.NOT_STARTED, Result.NOT_STARTED]
    assert "paused by ann" in outcome.text
    assert "liftlock resume harbor" in outcome.text


async def test_j7_an_abort_in_the_trial_takes_the_node_back(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    run = conductor(here, three(pause=Pause.NONE))
    node = here.nodes["n2"]
    node.healthy = False  # it stays in its trial
    when(node, "install", lambda: run.orders.abort("ann (smoke)"))
    outcome = await drive(run)
    assert results(outcome) == [Result.ACCEPTED, Result.ROLLED_BACK, Result.NOT_STARTED]
    assert here.said.count("rollback n2") == 1
    assert "rollback n1" not in here.said, "what is accepted stays: to take it back is a decision"
    assert "install n3" not in here.said
    assert outcome.exit is Exit.NEEDS_PERSON
    assert "aborted: ann (smoke)" in outcome.text


@pytest.mark.parametrize("phase", ["preflight", "staged"])
async def test_j7_an_abort_before_an_install_breaks_off_and_changes_nothing(
    theatre: Make, phase: str
) -> None:
    here = theatre(old("n1"), old("n2"))
    run = conductor(here, plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    hangs = here.nodes["n2"]

    async def rows(scope: str, observe: Callable[[Any], None], **args: object) -> Answer:
        if scope == phase:
            run.orders.abort("ann")
            await asyncio.Event().wait()
        return FINE

    hangs.rows = rows  # type: ignore[method-assign]
    outcome = await drive(run)
    assert outcome.exit is Exit.REFUSED, "nothing was changed"
    assert results(outcome) == [Result.NOT_STARTED] * 2
    assert not [word for word in here.said if word.startswith(("install", "rollback"))]


async def test_j7_an_abort_while_a_person_is_waited_for_ends_the_waiting(theatre: Make) -> None:
    here = theatre(old("n1"))
    made = plan("n1")

    class Never:
        async def may_begin(self, upcoming: object) -> str:
            run.orders.abort("ann")
            await asyncio.Event().wait()
            return ""

    here.book.begin(Start(made.run, "harbor", "netstack", "upgrade", "ann", 1.0))
    scribe = Scribe(here.book, made.run, here.events.append)
    nodes: Any = here.nodes
    run = Conductor(made, nodes, release(), scribe, "harbor", Never())
    outcome = await drive(run)
    assert "aborted: ann" in outcome.text
    assert here.said == []


# --- our own link -------------------------------------------------------------------------------


class Cut:
    """A link that is cut for some nodes, for so many looks of each."""

    def __init__(self, here: Theatre, nodes: tuple[str, ...], looks: float) -> None:
        self.left = dict.fromkeys(nodes, looks)
        for name in nodes:
            self._cut(here.nodes[name])

    @staticmethod
    def of(node: Pretended) -> bool:
        """Whether its link is still cut."""
        return getattr(node, "left", {}).get(node.node, 0) > 0

    def _cut(self, node: Pretended) -> None:
        read = node.read
        node.left = self.left  # type: ignore[attr-defined]

        async def silent() -> NodeReading:
            if self.left[node.node] <= 0:
                return await read()
            self.left[node.node] -= 1
            return NodeReading(node.node, unreachable=Unreachable.TCP, problem=DEAD.problem)

        node.read = silent  # type: ignore[method-assign]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(our_link, "_BETWEEN_LOOKS_SECONDS", 0.01)


def unheard_once(node: Pretended, phase: str) -> None:
    rows, times = node.rows, [0]

    async def asked(scope: str, observe: Callable[[Any], None], **args: object) -> Answer:
        if scope == phase and not times[0]:
            times[0] = 1
            return DEAD
        return await rows(scope, observe, **args)

    node.rows = asked  # type: ignore[method-assign]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("phase", ["preflight", "staged"])
async def test_all_silent_at_once_is_our_link_and_nothing_is_counted(
    theatre: Make, phase: str
) -> None:
    here = theatre(old("n1"), old("n2"))
    for node in here.nodes.values():
        unheard_once(node, phase)
    cut_now(here, ("n1", "n2"), 2)
    run = conductor(here, plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    outcome = await drive(run)
    assert (outcome.exit, results(outcome)) == (Exit.OK, [Result.ACCEPTED] * 2)
    said = [event.text for event in here.events]
    assert any("It is your link: none of the 2 nodes answers" in text for text in said)
    assert any("the link is back" in text for text in said)


def cut_now(here: Theatre, nodes: tuple[str, ...], looks: float) -> None:
    """Cut when the first phase is not heard, and not before: gates read, too."""
    for name in nodes:
        node = here.nodes[name]
        rows = node.rows

        async def asked(
            scope: str,
            observe: Callable[[Any], None],
            rows: Any = rows,
            **args: object,
        ) -> Answer:
            answer: Answer = await rows(scope, observe, **args)
            if answer is DEAD:
                Cut(here, nodes, looks)
            return answer

        node.rows = asked  # type: ignore[method-assign]


@pytest.mark.usefixtures("impatient")
async def test_one_silent_node_beside_one_that_answers_is_its_own_failure(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"))
    unheard_once(here.nodes["n1"], "staged")
    cut_now(here, ("n1",), 1)
    run = conductor(here, plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    outcome = await drive(run)
    assert results(outcome) == [Result.UNREACHABLE, Result.NOT_STARTED]
    assert outcome.exit is Exit.UNREACHABLE
    assert not any(our_link.CODE in event.text for event in here.events)


@pytest.mark.usefixtures("impatient")
async def test_all_nodes_behind_one_gateway_are_our_link_too(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    for name in ("n1", "n2", "n3"):
        here.nodes[name].gateway = None if name == "n3" else "ops@bastion"
    for name in ("n1", "n2"):
        unheard_once(here.nodes[name], "staged")
    cut_now(here, ("n1", "n2"), 2)
    outcome = await drive(conductor(here, three(pause=Pause.NONE)))
    assert (outcome.exit, results(outcome)) == (Exit.OK, [Result.ACCEPTED] * 3)
    said = [event.text for event in here.events]
    assert any("none of the 2 nodes behind ops@bastion answers" in text for text in said)


@pytest.mark.usefixtures("impatient")
async def test_a_link_that_does_not_come_back_pauses_the_run_and_counts_nobody(
    theatre: Make,
) -> None:
    from backends.domain.policy import Limits

    here = theatre(old("n1"), old("n2"))
    for node in here.nodes.values():
        unheard_once(node, "preflight")
    cut_now(here, ("n1", "n2"), float("inf"))
    limits = Limits(accept_window_seconds=0.1)
    made = plan("n1", "n2", policy=Policy(pause=Pause.NONE), limits=limits)
    outcome = await drive(conductor(here, made))
    assert results(outcome) == [Result.NOT_STARTED] * 2
    assert outcome.exit is Exit.UNREACHABLE
    assert outcome.problem is not None
    assert outcome.problem.code == our_link.CODE
    assert "liftlock resume harbor goes on" in outcome.text


@pytest.mark.usefixtures("impatient")
async def test_in_a_trial_it_is_said_what_each_node_decides_and_facts_are_read_first(
    theatre: Make,
) -> None:
    here = theatre(old("n1"), old("n2"))
    node = here.nodes["n1"]
    follow, lost = node.follow, [0]

    async def loses(*args: Any, **other: Any) -> Answer:
        if not lost[0]:
            lost[0] = 1
            Cut(here, ("n1", "n2"), 3)
            return DEAD
        answer: Answer = await follow(*args, **other)
        return answer

    node.follow = loses  # type: ignore[method-assign]
    outcome = await drive(conductor(here, plan("n1", "n2", policy=Policy(pause=Pause.NONE))))
    assert (outcome.exit, results(outcome)) == (Exit.OK, [Result.ACCEPTED] * 2)
    (told,) = [event for event in here.events if "It is your link" in event.text]
    assert told.kind is Kind.PROBLEM
    assert str(told.data["evidence"]).startswith("n1: ")
    assert "by itself" in str(told.data["evidence"])
    assert "what is accepted stays" in str(told.data["evidence"])


@pytest.mark.usefixtures("impatient")
async def test_a_single_node_cannot_tell_its_silence_from_ours(theatre: Make) -> None:
    here = theatre(old("n1"))
    unheard_once(here.nodes["n1"], "preflight")
    cut_now(here, ("n1",), 2)
    outcome = await drive(conductor(here, plan("n1", policy=Policy(pause=Pause.NONE))))
    assert results(outcome) == [Result.UNREACHABLE]
    assert not any(our_link.CODE in event.text for event in here.events)


@pytest.mark.usefixtures("impatient")
async def test_the_others_are_not_asked_again_and_again_because_one_is_silent(
    theatre: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_BETWEEN_TRIES_SECONDS", 0.001)
    here = theatre(old("n1"), old("n2"))
    node, other = here.nodes["n1"], here.nodes["n2"]
    follow, lost, asked = node.follow, [0], [0]

    async def loses(*args: Any, **more: Any) -> Answer:
        if not lost[0]:
            lost[0] = 1
            Cut(here, ("n1",), 50)
            read = other.read

            async def counted() -> NodeReading:
                asked[0] += 1
                return await read()

            other.read = counted  # type: ignore[method-assign]
        return DEAD if Cut.of(node) else await follow(*args, **more)

    node.follow = loses  # type: ignore[method-assign]
    made = plan("n1", policy=Policy(pause=Pause.NONE))
    outcome = await drive(conductor(here, made))
    assert results(outcome) == [Result.ACCEPTED]
    assert asked[0] <= 2, "once to find out that it is not our link"
