"""Holds a run at its gates: tells every condition, and waits for what may come right by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from backends.domain import gates
from backends.domain.facts import NodeReading
from backends.domain.gates import Gate
from backends.domain.plan import Plan
from backends.engine.ending import Stopped
from backends.engine.events import Kind
from backends.engine.planner import problem_of_refusal, target_of
from backends.engine.scribe import Scribe
from backends.releases.read import Release

_BETWEEN_LOOKS_SECONDS = 1.0

Settling = Callable[[str], Awaitable[None]]
"""Told about every look what is waited for, and "" when nothing is any more; may take its time."""


class Gatekeeper:
    """The gates of one upgrade."""

    def __init__(
        self,
        plan: Plan,
        release: Release,
        scribe: Scribe,
        called: str,
        read: Callable[[], Awaitable[Sequence[NodeReading]]],
    ) -> None:
        """`read` reads every node of the cluster anew."""
        self._target = target_of(plan, release)
        self._scribe = scribe
        self._called = called
        self._read = read

    async def before_upgrade(self, *, has_begun: bool) -> None:
        """The gate before the first node is touched; `has_begun`: one was taken up before.

        Raises:
            Stopped: It is shut.
        """
        gate = gates.before_upgrade(await self._read(), self._target, self._called)
        self._pass(gate, has_begun)

    async def before_turn(self, node: str, settling: Settling, *, has_begun: bool) -> None:
        """The gate before a node's turn; what may come right by itself is waited for.

        No longer than a node has to become healthy: that is how long what the turn before has
        shaken may take. `has_begun`: whether the run has changed a node already.

        Raises:
            Stopped: It is shut.
        """
        give_up = time.monotonic() + self._target.patience_seconds
        now = ""
        while True:
            gate = gates.before_turn(node, await self._read(), self._target, self._called)
            waits = gate.waits and time.monotonic() < give_up
            before, now = now, "; ".join(map(str, gate.blocking)) if waits else ""
            if not before and not now:
                return self._pass(gate, has_begun)
            if not before:
                self._tell(gate)
            await settling(now)
            if now:
                await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

    def _pass(self, gate: Gate, has_begun: bool) -> None:
        self._tell(gate)
        if gate.is_open:
            return
        problem = problem_of_refusal(gate.name, [str(each) for each in gate.blocking])
        if has_begun:
            advice = "No further node was begun. Settle what is named, then start again."
            problem = replace(problem, advice=advice)
        raise Stopped(f"the gate {gate.name} is shut", problem)

    def _tell(self, gate: Gate) -> None:
        self._scribe.say(Kind.RESULT, f"gate {gate.name}:")
        for condition in gate.conditions:
            self._scribe.say(
                Kind.ROW,
                f"  {condition.state:<7} {condition.name}: {condition.text}",
                data={"gate": gate.name, "name": condition.name, "result": condition.state.value},
            )
