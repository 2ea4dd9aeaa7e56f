"""Another host key once the switch is made: it is said, and not tried again and again."""

from collections.abc import Callable
from typing import Any

import pytest

from backends.domain.facts import NodeReading
from backends.domain.policy import Pause, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import Outcome, Unreachable
from backends.engine import our_link, turn
from backends.engine.answer import Answer
from backends.engine.results import Result
from tests.runs.pretended import Pretended, Theatre
from tests.support.readings import old, plan

CHANGED = Problem(
    "host-key-changed",
    "n1 shows another host key than the one that is known",
    "known_hosts:7",
    "Find out why.",
)


def changes_its_key(node: Pretended) -> list[str]:
    """From its install on it is another machine, for all that is known; what was asked of it."""
    asked: list[str] = []
    ask = node.ask

    async def install(command: str, **args: object) -> Answer:
        answer = await ask(command, **args)
        if command == "install":
            is_another(node, asked)
        return answer

    node.ask = install  # type: ignore[method-assign]
    return asked


def is_another(node: Pretended, asked: list[str] | None = None) -> None:
    """From now on another host key is shown there; keeps in mind how often it was tried."""
    tried: list[str] = [] if asked is None else asked

    async def read() -> NodeReading:
        tried.append("read")
        return NodeReading(node.node, unreachable=Unreachable.HOST_KEY_CHANGED, problem=CHANGED)

    async def follow(*_: Any, **__: Any) -> Answer:
        tried.append("follow")
        return Answer(Outcome.UNREACHABLE, CHANGED, ())

    node.read = read  # type: ignore[method-assign]
    node.follow = follow  # type: ignore[method-assign]


@pytest.mark.parametrize("names", [("n1",), ("n1", "n2", "n3")])
async def test_p12_a_host_key_that_changes_after_the_switch_ends_the_run_and_is_named(
    theatre: Callable[..., Theatre], monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Seen with installed host keys: tried until the window was over, and nobody was told why."""
    monkeypatch.setattr(turn, "_BETWEEN_TRIES_SECONDS", 0.0)
    here = theatre(*map(old, names))
    asked = changes_its_key(here.nodes["n1"])
    outcome = await here.carries_out(plan(*names, policy=Policy(pause=Pause.NONE)))
    assert [each.result for each in outcome.nodes] == [
        Result.LOST,
        *[Result.NOT_STARTED] * (len(names) - 1),
    ]
    assert outcome.exit is Exit.CONTACT_LOST
    assert len(asked) <= 6, "it is refused, and no weather that passes"
    problem = outcome.nodes[0].problem
    assert problem is not None
    assert "host-key-changed" in problem.evidence
    assert "decides by itself: rollback" in problem.summary
    told = [event.text for event in here.events if "host-key-changed" in event.text]
    assert told
    assert problem.advice.startswith("Find out why.")
    assert "accept n1" not in here.said


async def test_p12_host_keys_of_all_nodes_that_change_are_not_taken_for_our_link(
    theatre: Callable[..., Theatre], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on all at once: who shows another key is heard, so the run does not wait for it."""
    monkeypatch.setattr(our_link, "_BETWEEN_LOOKS_SECONDS", 0.01)
    here = theatre(old("n1"), old("n2"))
    for node in here.nodes.values():

        async def refused(*_: Any, node: Pretended = node, **__: Any) -> Answer:
            is_another(node)
            return Answer(Outcome.UNREACHABLE, CHANGED, ())

        node.stage = refused  # type: ignore[method-assign]
    outcome = await here.carries_out(plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    assert [each.result for each in outcome.nodes] == [Result.UNREACHABLE] * 2
    assert outcome.exit is Exit.UNREACHABLE
    assert not [event.text for event in here.events if our_link.CODE in event.text]
