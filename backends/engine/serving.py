"""Waits until nodes serve: those that went back, say, which is proven before they do.

A server that was restarted is not at once what keeps a cluster of servers alive: it finds its
leader and catches up first. Whoever is taken down before that may be one too many.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from backends.domain.facts import NodeReading
from backends.domain.problem import Problem
from backends.domain.states import HealthState, Phase
from backends.domain.survey import are
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.scribe import Scribe

_BETWEEN_LOOKS_SECONDS = 0.5
_STOPPED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sick:
    """Nodes that are back and were not seen to serve, although they were waited for."""

    nodes: tuple[str, ...]
    problem: Problem


@dataclass(frozen=True, slots=True)
class Awaited:
    """Which nodes are waited for, in words."""

    phase: Phase
    code: str
    """Of the problem when they were not seen to serve."""

    serves: str
    """What is said of one that does."""

    advice: str
    being: str = ""
    """What they are besides."""


BACK = Awaited(
    phase=Phase.ROLLBACK,
    code="back-and-not-serving",
    serves="serves again",
    advice="Look at the service and its log there. To go on all the same, name the other nodes "
    "to roll back (-n).",
    being="back, proven",
)
"""Nodes that went back."""


class Serving:
    """Which of some nodes serve, and for how long the others are waited for."""

    def __init__(
        self,
        contacts: Mapping[str, Contact],
        scribe: Scribe,
        patience_seconds: float,
        awaited: Awaited = BACK,
    ) -> None:
        self._awaited = awaited
        self._contacts = contacts
        self._scribe = scribe
        self._patience_seconds = patience_seconds
        self._told: set[str] = set()
        """Of which it was said that they serve."""

        self._is_cut_short = False

    def cut_short(self) -> None:
        """Have whoever waits now wait no longer: a person wants to decide."""
        self._is_cut_short = True

    async def is_out(self, node: str) -> bool:
        """Whether it was read now that the node does not serve: to read nothing proves nothing."""
        facts = (await self._contacts[node].read()).facts
        return facts is not None and not facts.serves

    async def wait(self, nodes: Collection[str]) -> Sick | None:
        """Wait for all of them; who was not seen to serve in time, and what was read last."""
        began, self._is_cut_short = time.monotonic(), False
        stopped_since: float | None = None
        left, told = sorted(nodes), ""
        while True:
            readings = await asyncio.gather(*(self._contacts[node].read() for node in left))
            sick = {each.name: why for each in readings if (why := _why_not(each))}
            now = time.monotonic()
            if all(each.facts and each.facts.is_down for each in readings if each.name in sick):
                stopped_since = stopped_since or now
            else:
                stopped_since = None
            told = self._tell(left, sick, told)
            if not sick:
                return None
            is_stopped = stopped_since is not None and now - stopped_since > _STOPPED_SECONDS
            if is_stopped or self._is_cut_short or now - began > self._patience_seconds:
                return self._give_up(sick, now - began)
            left = sorted(sick)
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

    def _tell(self, looked_at: Collection[str], sick: Mapping[str, str], told: str) -> str:
        """Tell what is new; returns what is waited for now."""
        self._told -= set(sick)
        words = f"{are([*sick], 'does', 'do')} not serve yet; waited for, " if sick else ""
        words += f"{self._patience_seconds:g} s at most" if sick else ""
        for node in looked_at:
            if node in sick and words != told:
                self._say(node, f"does not serve yet: {sick[node]}", words)
            elif node not in sick and node not in self._told:
                self._told.add(node)
                self._say(node, self._awaited.serves, words)
        return words

    def _give_up(self, sick: Mapping[str, str], seconds: float) -> Sick:
        were, being = are([*sick], "was", "were"), self._awaited.being
        if being:
            were = f"{are([*sick])} {being}, and {'was' if len(sick) == 1 else 'were'}"
        problem = Problem(
            self._awaited.code,
            f"{were} not seen to serve within {seconds:.0f} s",
            "\n".join(f"{node}: {why}" for node, why in sick.items()),
            self._awaited.advice,
        )
        for node in sick:
            self._scribe.problem(problem, node=node, phase=self._awaited.phase)
        return Sick(tuple(sick), problem)

    def _say(self, node: str, text: str, settling: str) -> None:
        """Tell about a node, and what the act as a whole waits for now."""
        data = {"settling": settling}
        self._scribe.say(Kind.RESULT, text, node=node, phase=self._awaited.phase, data=data)


def _why_not(reading: NodeReading) -> str:
    """Why the node does not serve, or ""; a product that is not there has nothing to serve."""
    facts = reading.facts
    if not reading.read or facts is None:
        return reading.problem.summary if reading.problem else "not read"
    if facts.serves or facts.is_absent:
        return ""
    if facts.health is HealthState.FAILING and facts.health_text:
        return facts.health_text
    return f"service {facts.service}, health {facts.health}"
