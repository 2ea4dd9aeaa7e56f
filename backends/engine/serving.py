"""Waits until nodes that went back serve again: that they went back is proven before they do.

A server that was restarted is not at once what keeps a cluster of servers alive: it finds its
leader and catches up first. Whoever is taken down before that may be one too many.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from backends.domain.facts import NodeReading
from backends.domain.problem import Problem
from backends.domain.states import Phase
from backends.domain.survey import are
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.scribe import Scribe

_BETWEEN_LOOKS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Sick:
    """Nodes that are back and do not serve, although they were waited for."""

    nodes: tuple[str, ...]
    problem: Problem


class Serving:
    """Which of some nodes serve, and for how long the others are waited for."""

    def __init__(
        self, contacts: Mapping[str, Contact], scribe: Scribe, patience_seconds: float
    ) -> None:
        self._contacts = contacts
        self._scribe = scribe
        self._patience_seconds = patience_seconds

    async def serves(self, node: str) -> bool:
        """Whether it was read now that the node serves."""
        return not _why_not(await self._contacts[node].read())

    async def wait(self, nodes: Collection[str]) -> Sick | None:
        """Wait for all of them; who does not serve in time, and what was read of it last."""
        give_up = time.monotonic() + self._patience_seconds
        told: set[str] = set()
        left = sorted(nodes)
        while True:
            readings = await asyncio.gather(*(self._contacts[node].read() for node in left))
            sick = {each.name: why for each in readings if (why := _why_not(each))}
            for node in left:
                if node not in sick:
                    self._say(node, "serves again")
                elif node not in told:
                    told.add(node)
                    text = f"does not serve yet: {sick[node]}"
                    self._say(node, f"{text}; waited for, {self._patience_seconds:g} s at most")
            left = sorted(sick)
            if not left:
                return None
            if time.monotonic() > give_up:
                return self._give_up(sick)
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

    def _give_up(self, sick: Mapping[str, str]) -> Sick:
        does = "do" if len(sick) > 1 else "does"
        problem = Problem(
            "back-and-not-serving",
            f"{are(list(sick))} back, proven, and {does} not serve after"
            f" {self._patience_seconds:g} s",
            "\n".join(f"{node}: {why}" for node, why in sick.items()),
            "Look at the service's log there. The same rollback again goes on with the others.",
        )
        self._scribe.problem(problem, node=min(sick), phase=Phase.ROLLBACK)
        return Sick(tuple(sick), problem)

    def _say(self, node: str, text: str) -> None:
        self._scribe.say(Kind.RESULT, text, node=node, phase=Phase.ROLLBACK)


def _why_not(reading: NodeReading) -> str:
    """Why the node does not serve, or ""; a product that is not there has nothing to serve."""
    facts = reading.facts
    if not reading.read or facts is None:
        return reading.problem.summary if reading.problem else "not read"
    if facts.serves or facts.is_absent:
        return ""
    return facts.health_text or f"the service is {facts.service}"
