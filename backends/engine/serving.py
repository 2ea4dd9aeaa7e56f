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
_STOPPED_SECONDS = 10.0


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
        self._told: set[str] = set()
        """Of which it was said that they serve."""

    async def serves(self, node: str) -> bool:
        """Whether it was read now that the node serves."""
        return not _why_not(await self._contacts[node].read())

    async def wait(self, nodes: Collection[str]) -> Sick | None:
        """Wait for all of them; who does not serve in time, and what was read of it last."""
        began = time.monotonic()
        left, told = sorted(nodes), ""
        while True:
            readings = await asyncio.gather(*(self._contacts[node].read() for node in left))
            sick = {each.name: why for each in readings if (why := _why_not(each))}
            self._told -= set(sick)
            longest = self._longest([each for each in readings if each.name in sick])
            words = ""
            if sick:
                does = are([*sick], "does", "do")
                words = f"{does} not serve yet; waited for, {longest:g} s at most"
            for node in left:
                if node not in sick:
                    self._tell_served(node, words)
                elif words != told:
                    self._say(node, f"does not serve yet: {sick[node]}", words)
            if not sick:
                return None
            if time.monotonic() - began > longest:
                return self._give_up(sick, longest)
            left, told = sorted(sick), words
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

    def _tell_served(self, node: str, settling: str) -> None:
        if node not in self._told:
            self._told.add(node)
            self._say(node, "serves again", settling)

    def _longest(self, sick: Collection[NodeReading]) -> float:
        """Seconds: only a supervisor starts a service that is stopped, and at once."""
        if all(each.facts is not None and each.facts.is_down for each in sick):
            return min(self._patience_seconds, _STOPPED_SECONDS)
        return self._patience_seconds

    def _give_up(self, sick: Mapping[str, str], seconds: float) -> Sick:
        does = "do" if len(sick) > 1 else "does"
        problem = Problem(
            "back-and-not-serving",
            f"{are(list(sick))} back, proven, and {does} not serve after {seconds:g} s",
            "\n".join(f"{node}: {why}" for node, why in sick.items()),
            "Look at the service's log there. The same rollback again goes on with the others.",
        )
        self._scribe.problem(problem, node=min(sick), phase=Phase.ROLLBACK)
        return Sick(tuple(sick), problem)

    def _say(self, node: str, text: str, settling: str) -> None:
        """Tell about a node, and what the roll back as a whole waits for now."""
        data = {"settling": settling}
        self._scribe.say(Kind.RESULT, text, node=node, phase=Phase.ROLLBACK, data=data)


def _why_not(reading: NodeReading) -> str:
    """Why the node does not serve, or ""; a product that is not there has nothing to serve."""
    facts = reading.facts
    if not reading.read or facts is None:
        return reading.problem.summary if reading.problem else "not read"
    if facts.serves or facts.is_absent:
        return ""
    return facts.health_text or f"the service is {facts.service}"
