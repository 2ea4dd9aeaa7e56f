"""Drives a plan: journal first, then act. One core for the screen and the command line.

Preflight, stage and check run over all nodes before the first install; then one node (or batch)
after the other is installed, watched and accepted. A node that fails goes back by itself and stops
the run. Starting again takes up what the nodes say. It never finalizes.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from backends.domain.facts import NodeReading
from backends.domain.gates import Gate, Target, before_turn, before_upgrade
from backends.domain.plan import NodePlan, Plan, Treatment
from backends.domain.policy import Pause
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import NodeState, Outcome, Phase
from backends.engine.contact import Answer, Contact
from backends.engine.events import Kind
from backends.engine.planner import problem_of_refusal
from backends.engine.results import NodeResult, Result, exit_of
from backends.engine.results import Outcome as RunOutcome
from backends.engine.scribe import Scribe
from backends.engine.turn import Turn
from backends.engine.upload import Blobs, Message
from backends.releases.read import Blob, Release, blobs

_FAILED = {
    Result.ROLLED_BACK: Outcome.UNDONE,
    Result.HELD: Outcome.FAILED,
    Result.INCONSISTENT: Outcome.UNPROVEN,
    Result.LOST: Outcome.UNREACHABLE,
    Result.UNREACHABLE: Outcome.UNREACHABLE,
    Result.REFUSED: Outcome.REFUSED,
    Result.LOCKED: Outcome.REFUSED,
}


class Stopped(Exception):
    """The run ends here; what became of each node is known."""

    def __init__(self, text: str, problem: Problem | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.problem = problem


class Conductor:
    """One upgrade of one cluster."""

    def __init__(
        self,
        plan: Plan,
        contacts: Mapping[str, Contact],
        release: Release,
        scribe: Scribe,
        called: str,
    ) -> None:
        """`called` is what an operator types to mean this cluster, for advice."""
        self._plan = plan
        self._contacts = contacts
        self._release = release
        self._scribe = scribe
        self._called = called
        self._target = Target(
            run=plan.run,
            version=plan.release_version,
            digest=plan.release_digest,
            from_versions=_allowed(release),
            ttl_seconds=plan.policy.reading_ttl_seconds,
            batch=plan.policy.batch,
        )
        self._results: dict[str, NodeResult] = {}

    async def run(self) -> RunOutcome:
        """Carry out the plan; the outcome says what became of every node."""
        for item in self._plan.nodes:
            if item.treatment is Treatment.EXCLUDED:
                problem = Problem("left-out", f"{item.node} is left out: {item.reason}")
                self._results[item.node] = NodeResult(item.node, Result.EXCLUDED, problem)
            elif item.treatment is Treatment.ALREADY:
                self._results[item.node] = NodeResult(item.node, Result.ALREADY)
        try:
            fresh = [node for node in self._plan.nodes if node.treatment is Treatment.INSTALL]
            if fresh:
                await self._preflight(fresh)
                await self._gate(before_upgrade(await self.read(), self._target, self._called))
                await self._stage(fresh)
                await self._check(fresh)
            paused = await self._install()
        except Stopped as stop:
            return self._outcome(stop.text, problem=stop.problem)
        if paused:
            return self._outcome(paused, paused=True)
        return self._arrived()

    def _arrived(self) -> RunOutcome:
        """The outcome when nothing stopped the run; a run in which no node counts is none."""
        version = self._plan.release_version
        there = {Result.ACCEPTED, Result.ALREADY, Result.FINALIZED}
        arrived = [r.node for r in self._results.values() if r.result in there]
        left_out = [r.node for r in self._results.values() if r.result is Result.EXCLUDED]
        if not arrived:
            problem = Problem(
                "nobody-counts",
                "No node was upgraded: all are left out.",
                "\n".join(f"{item.node}: {item.reason}" for item in self._plan.nodes),
                "Take a node in again, or name another one.",
            )
            return self._outcome("no node was upgraded", problem=problem)
        beside = f"; left out: {', '.join(left_out)}" if left_out else ""
        reversible = self._forward(tuple(self._results.values()))
        state = "accepted and still reversible" if reversible else "there before, left alone"
        return self._outcome(f"{', '.join(arrived)} on {version}, {state}{beside}")

    async def read(self) -> list[NodeReading]:
        """Read every node anew, all at once."""
        return list(await asyncio.gather(*(contact.read() for contact in self._contacts.values())))

    async def _preflight(self, nodes: Sequence[NodePlan]) -> None:
        manifest = self._release.manifest

        async def one(contact: Contact) -> Answer:
            return await contact.rows(
                "preflight",
                lambda row: self._scribe.row(row, node=contact.node, phase=Phase.PREFLIGHT),
                needs={"python": manifest.needs.python, "commands": list(manifest.needs.commands)},
                bytes=max(manifest.total_bytes, manifest.needs.bytes),
                files=len(manifest.files),
            )

        await self._all(nodes, Phase.PREFLIGHT, one)

    async def _stage(self, nodes: Sequence[NodePlan]) -> None:
        at_once = asyncio.Semaphore(self._plan.limits.uploads)
        async with _spool(self._release) as source:

            async def one(contact: Contact) -> Answer:
                async with at_once:
                    return await contact.stage(
                        self._release,
                        self._plan.run,
                        self._stored_plan(),
                        source,
                        lambda sent, of: self._progress(contact.node, sent, of),
                    )

            await self._all(nodes, Phase.STAGE, one)

    async def _check(self, nodes: Sequence[NodePlan]) -> None:
        async def one(contact: Contact) -> Answer:
            return await contact.rows(
                "staged",
                lambda row: self._scribe.row(row, node=contact.node, phase=Phase.CHECK),
                run=self._plan.run,
                version=self._plan.release_version,
                digest=self._plan.release_digest,
            )

        await self._all(nodes, Phase.CHECK, one)

    async def _install(self) -> str:
        """Node by node; the reason of a pause, or "" at the end."""
        todo = [
            item
            for item in self._plan.nodes
            if item.treatment in (Treatment.INSTALL, Treatment.RESUME)
        ]
        batch = self._plan.policy.batch
        batches = [todo[start : start + batch] for start in range(0, len(todo), batch)]
        for number, items in enumerate(batches):
            await self._turns(items)
            self._stop_if_reached()
            if number + 1 < len(batches):
                pause = self._pause(items, batches[number + 1])
                if pause:
                    return pause
        return ""

    async def _turns(self, items: Sequence[NodePlan]) -> None:
        for item in items:
            if item.treatment is Treatment.INSTALL:
                readings = await self.read()
                await self._gate(before_turn(item.node, readings, self._target, self._called))
        turns = []
        for item in items:
            turn = Turn(self._contacts[item.node], self._plan, self._scribe, self._called)
            resumed = item.treatment is Treatment.RESUME
            turns.append(turn.resume() if resumed else turn.take())
        for result in await asyncio.gather(*turns):
            self._results[result.node] = result

    def _stop_if_reached(self) -> None:
        counts: dict[Outcome, int] = {}
        for result in self._results.values():
            outcome = _FAILED.get(result.result)
            if outcome is not None:
                counts[outcome] = counts.get(outcome, 0) + 1
        reached = self._plan.policy.stopped_by(counts)
        if reached is None:
            return
        bad = [result for result in self._results.values() if result.result in _FAILED]
        words = ", ".join(f"{result.node} {result.result.replace('_', ' ')}" for result in bad)
        raise Stopped(f"stopped: {words}; no further node is started", bad[-1].problem)

    def _pause(self, done: Sequence[NodePlan], following: Sequence[NodePlan]) -> str:
        """Why the run waits for a person before the next node, or ""."""
        policy = self._plan.policy.pause
        accepted = [r for r in self._results.values() if r.result is Result.ACCEPTED]
        before = any(
            item.treatment is Treatment.ALREADY and item.reason.startswith("accepted")
            for item in self._plan.nodes
        )
        waits = (
            policy is Pause.ALL
            or (policy is Pause.FIRST and not before and len(accepted) == len(done))
            or (policy is Pause.AFTER_ROLE and done[-1].role != following[0].role)
        )
        if not waits:
            return ""
        names = ", ".join(item.node for item in done)
        return f"paused after {names} ({policy.value}); start the same upgrade again to go on"

    async def _gate(self, gate: Gate) -> None:
        for condition in gate.conditions:
            self._scribe.say(
                Kind.ROW,
                f"{condition.state:<7} {condition.name}: {condition.text}",
                data={"gate": gate.name, "name": condition.name, "result": condition.state.value},
            )
        if gate.is_open:
            return
        lines = [f"{c.name}: {c.text}; {c.then}".rstrip("; ") for c in gate.blocking]
        raise Stopped(f"the gate {gate.name} is shut", problem_of_refusal(gate.name, lines))

    async def _all(
        self,
        nodes: Sequence[NodePlan],
        phase: Phase,
        work: Callable[[Contact], Awaitable[Answer]],
    ) -> None:
        """Run a phase on all nodes at once; any that is not ok ends the run before a change."""

        async def one(item: NodePlan) -> NodeResult | None:
            self._scribe.say(Kind.PHASE, "begins", node=item.node, phase=phase)
            answer = await work(self._contacts[item.node])
            return self._result(item.node, phase, answer)

        found = await asyncio.gather(*(one(item) for item in nodes))
        bad = [result for result in found if result is not None]
        for result in bad:
            self._results[result.node] = result
        if bad:
            names = ", ".join(result.node for result in bad)
            raise Stopped(f"{phase} did not pass on {names}; nothing was changed", bad[0].problem)

    def _result(self, node: str, phase: Phase, answer: Answer) -> NodeResult | None:
        """A node's result when a phase before the install did not pass; None when it did."""
        if answer.is_ok:
            self._scribe.say(Kind.RESULT, "ok", node=node, phase=phase)
            return None
        problem = answer.problem or Problem("no-reason", f"{node}: {phase} ended {answer.outcome}")
        self._scribe.problem(problem, node=node, phase=phase)
        if answer.outcome in (Outcome.UNREACHABLE, Outcome.TIMED_OUT):
            return NodeResult(node, Result.UNREACHABLE, problem)
        locked = problem.code == "locked"
        return NodeResult(node, Result.LOCKED if locked else Result.REFUSED, problem)

    def _progress(self, node: str, sent: int, of: int) -> None:
        self._scribe.say(
            Kind.PROGRESS,
            f"{sent} of {of} bytes",
            node=node,
            phase=Phase.STAGE,
            data={"sent": sent, "of": of},
        )

    def _stored_plan(self) -> dict[str, object]:
        """What every node keeps as `run.json`: enough to resume from any workstation."""
        plan = asdict(self._plan)
        return {
            "schema": "liftlock.run/1",
            "run": self._plan.run,
            "plan_id": self._plan.id,
            "cluster": self._plan.cluster,
            "version": self._plan.release_version,
            "digest": self._plan.release_digest,
            "policy": plan["policy"],
            "limits": plan["limits"],
            "nodes": [item.node for item in self._plan.nodes],
        }

    def _outcome(
        self, text: str, *, paused: bool = False, problem: Problem | None = None
    ) -> RunOutcome:
        nodes = tuple(
            self._results.get(item.node, NodeResult(item.node, Result.NOT_STARTED))
            for item in self._plan.nodes
        )
        code = exit_of(nodes, paused)
        if problem is not None and code is Exit.OK:
            code = Exit.REFUSED
        if problem is not None and code is Exit.REFUSED and self._forward(nodes):
            code = Exit.NEEDS_PERSON
        return RunOutcome(self._plan.run, code, nodes, text, problem)

    def _forward(self, nodes: Sequence[NodeResult]) -> bool:
        """Whether some nodes are on the new version, not final."""
        already = {
            item.node
            for item in self._plan.nodes
            if item.treatment is Treatment.ALREADY and item.reason.startswith("accepted")
        }
        return any(node.result is Result.ACCEPTED or node.node in already for node in nodes)


async def recover_first(contacts: Mapping[str, Contact], scribe: Scribe) -> None:
    """Bring nodes to rest whose updater died in the middle, and say so."""
    readings = await asyncio.gather(*(contact.read() for contact in contacts.values()))
    for reading in readings:
        facts = reading.facts
        if facts is None or facts.state is not NodeState.INCONSISTENT:
            continue
        scribe.say(
            Kind.RUN,
            f"{reading.name} was left in the middle; it is brought back to rest first",
            node=reading.name,
            phase=Phase.ROLLBACK,
        )
        answer = await contacts[reading.name].ask("recover")
        for message in answer.all("recovered"):
            _say_recovered(scribe, reading.name, message)
        if answer.problem is not None:
            scribe.problem(answer.problem, node=reading.name, phase=Phase.ROLLBACK)


def _say_recovered(scribe: Scribe, node: str, message: Message) -> None:
    state = NodeState(message["state"])
    scribe.say(Kind.RESULT, f"now {state}", node=node, phase=Phase.ROLLBACK)


@asynccontextmanager
async def _spool(release: Release) -> AsyncIterator[Blobs]:
    """The release's contents, unpacked once when the first node wants one, for all nodes."""
    with tempfile.TemporaryDirectory(prefix="liftlock-") as folder:
        lock = asyncio.Lock()
        found: dict[str, Blob] = {}

        async def source(wanted: Sequence[str]) -> AsyncIterator[Blob]:
            async with lock:
                if not found:
                    listed = await asyncio.to_thread(lambda: list(blobs(release, Path(folder))))
                    found.update({blob.sha256: blob for blob in listed})
            for sha256 in wanted:
                if sha256 not in found:
                    raise LiftlockError(
                        Problem(
                            "blob-unknown", f"a node wants {sha256}, which is not in the release"
                        )
                    )
                yield found[sha256]

        yield source


def _allowed(release: Release) -> tuple[str, ...] | None:
    allowed = release.manifest.from_
    return None if allowed == "*" else tuple(allowed)
