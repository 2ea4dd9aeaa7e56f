"""Holds a run at its gates: tells every condition, and waits for what may come right by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from backends.domain import gates
from backends.domain.facts import NodeReading
from backends.domain.gates import Gate
from backends.domain.plan import Plan
from backends.engine.cluster_health import ClusterHealth
from backends.engine.ending import Stopped
from backends.engine.events import Kind
from backends.engine.planner import target_of
from backends.engine.reading import utc
from backends.engine.refusals import problem_of_refusal
from backends.engine.scribe import Scribe
from backends.releases.read import Release

_BETWEEN_LOOKS_SECONDS = 1.0

TellWaiting = Callable[[str], Awaitable[None]]
"""Told after every look what is waited for, and "" when nothing is any more; may take its time."""


class Gatekeeper:
    """The gates of one upgrade."""

    def __init__(
        self,
        plan: Plan,
        release: Release,
        scribe: Scribe,
        called: str,
        read: Callable[[], Awaitable[Sequence[NodeReading]]],
        health: ClusterHealth,
    ) -> None:
        """`read` reads every node of the cluster anew; `health` asks about the whole cluster."""
        self._health = health
        self._target = target_of(plan, release, utc(time.time()))
        self._scribe = scribe
        self._called = called
        self._read = read

    async def before_upgrade(self, *, has_begun: bool) -> None:
        """The gate before the first node is touched; `has_begun`: one was taken up before.

        Raises:
            Stopped: It is shut.
        """
        gate = gates.before_upgrade(await self._read(), self._target, self._called)
        found = await self._health.conditions()
        self._pass(gates.with_cluster(gate, found, self._target.skips), has_begun)

    async def after_accept(self) -> None:
        """What has to hold of the whole cluster once the last node is accepted.

        Raises:
            Stopped: It does not, although it was waited for.
        """
        until = self._until()
        while True:
            found = await self._health.conditions()
            gate = gates.with_cluster(Gate("after the last accept", ()), found, self._target.skips)
            if not gate.waits or time.monotonic() > until:
                break
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        if gate.conditions:
            self._pass(gate, has_begun=True)

    async def before_turns(
        self,
        nodes: Sequence[str],
        accepted: Collection[str],
        waiting: TellWaiting,
        *,
        has_begun: bool,
    ) -> None:
        """The gates before the turns of a batch; what may come right by itself is waited for.

        No longer than a node has to become healthy: that is how long what the turn before has
        shaken may take. All gates have to be open in the same reading. `accepted` are the nodes
        that this run has accepted.

        Raises:
            Stopped: One is shut.
        """
        until = self._until()
        waited = False
        while True:
            found = await self._before(nodes, accepted)
            shut = [gate for gate in found if not gate.is_open]
            can_settle = bool(shut) and all(gate.waits for gate in shut)
            if can_settle and time.monotonic() < until:
                if not waited:
                    self._tell(shut[0])
                waited = True
                await waiting("; ".join(map(str, shut[0].blocking)))
                await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
            elif waited and not shut:
                await waiting("")  # a person may be asked now: what was read gets old
                until, waited = self._until(), False
            else:
                break
        for gate in found:
            self._pass(gate, has_begun)

    def _until(self) -> float:
        return time.monotonic() + self._target.patience_seconds

    async def _before(self, nodes: Sequence[str], accepted: Collection[str]) -> list[Gate]:
        readings = await self._read()
        found = await self._health.conditions()
        target = replace(self._target, turns=(tuple(nodes),))  # who really goes at once
        own = [gates.before_turn(node, readings, target, self._called, accepted) for node in nodes]
        return [gates.with_cluster(gate, found, target.skips) for gate in own]

    def _pass(self, gate: Gate, has_begun: bool) -> None:
        self._tell(gate)
        if gate.is_open:
            return
        now = [replace(each, until="", then="") if each.waits else each for each in gate.blocking]
        problem = problem_of_refusal(gate.name, [str(each) for each in now])
        if has_begun:
            advice = "No further node was begun. Settle what is named, then start again."
            problem = replace(problem, advice=advice)
        raise Stopped(f"the gate {gate.name} is shut", problem)

    def _tell(self, gate: Gate) -> None:
        self._scribe.say(Kind.RESULT, f"gate {gate.name}:")
        for condition in gate.conditions:
            whole = condition.waits or condition.skipped
            words = str(condition) if whole else f"{condition.name}: {condition.text}"
            about = {"gate": gate.name, "name": condition.name, "result": condition.state.value}
            if condition.skipped:
                about["skipped"] = condition.skipped
            self._scribe.say(Kind.ROW, f"  {condition.state:<7} {words}", data=about)
