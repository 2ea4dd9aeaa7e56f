"""Drives a plan: journal first, then act. One core for the screen and the command line.

What is changing already is taken up before anything else. Preflight, stage and check run over
all other nodes before the first install; then one node (or batch) after the other is installed,
watched and accepted. A node that fails goes back by itself and stops the run. Starting again takes
up what the nodes say. It never finalizes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from backends.domain.facts import NodeReading
from backends.domain.pace import Upcoming
from backends.domain.plan import (
    NodePlan,
    Plan,
    Treatment,
    batches,
    changing,
    paused,
    stored,
)
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import Outcome, Phase
from backends.engine.answer import Answer
from backends.engine.contact import Contact, read_all
from backends.engine.ending import Stopped, arrived, has_failed, stopped_by
from backends.engine.events import Kind
from backends.engine.gatekeeper import Gatekeeper
from backends.engine.pace import ByPolicy, Pace
from backends.engine.rate import Rate
from backends.engine.results import NodeResult, Result, exit_of_upgrade, not_done
from backends.engine.results import Outcome as RunOutcome
from backends.engine.scribe import Scribe
from backends.engine.spool import spool
from backends.engine.turn import Turn
from backends.releases.read import Release


class Paused(Exception):
    """The run waits here for a person; it is taken up again by starting it again."""


class Conductor:
    """One upgrade of one cluster."""

    def __init__(
        self,
        plan: Plan,
        contacts: Mapping[str, Contact],
        release: Release,
        scribe: Scribe,
        called: str,
        pace: Pace | None = None,
    ) -> None:
        """`called` is what an operator types to mean this cluster, for advice.

        Without a `pace` the policy alone says where the run pauses.
        """
        self._plan = plan
        self._pace = pace or ByPolicy()
        self._contacts = contacts
        self._release = release
        self._scribe = scribe
        self._called = called
        self._gates = Gatekeeper(plan, release, scribe, called, self.read)
        self._results: dict[str, NodeResult] = {}
        self._begun: set[str] = set()
        for contact in contacts.values():
            contact.on_recovery = lambda node, text: scribe.say(
                Kind.RESULT, text, node=node, phase=Phase.ROLLBACK
            )

    @property
    def begun(self) -> tuple[str, ...]:
        """The nodes on which an install was begun or taken up."""
        return tuple(sorted(self._begun))

    async def run(self, until: Phase = Phase.INSTALL) -> RunOutcome:
        """Carry out the plan; the outcome says what became of every node.

        With `until` stage or check, nothing that runs is touched: the release is brought there,
        and with check it is held against everything that an install would ask. What is changing
        already is left alone then.
        """
        doing = {Phase.STAGE: "stage", Phase.CHECK: "check"}.get(until, "upgrade to")
        self._scribe.say(
            Kind.RUN,
            f"run {self._plan.run}: {doing} {self._plan.release_version}, plan {self._plan.id}",
            data={"plan": self._plan.id},
        )
        try:
            self._leave_out()
            resumed = changing(self._plan) if until is Phase.INSTALL else ()
            await self._take_up(resumed)
            await self._look_at_those_there()
            self._stop_if_reached()
            fresh = self._treated(Treatment.INSTALL)
            if fresh:
                await self._may_begin(Phase.PREFLIGHT, fresh)
                await self._preflight(fresh)
                if until is not Phase.STAGE:  # a window that is days away has a gate of its own
                    await self._gates.before_upgrade(has_begun=bool(self._begun))
                await self._may_begin(Phase.STAGE, fresh)
                await self._stage(fresh)
                if until is Phase.STAGE:
                    return self._left_at(until, fresh)
                await self._may_begin(Phase.CHECK, fresh)
                await self._check(fresh)
                if until is Phase.CHECK:
                    return self._left_at(until, fresh)
                await self._install(resumed, fresh)
            elif until is not Phase.INSTALL:
                return self._left_at(until, fresh)
        except Paused as pause:
            return self._outcome(str(pause), paused=True)
        except Stopped as stop:
            return self._outcome(stop.text, problem=stop.problem)
        except LiftlockError as error:
            return self._broken_off(error)
        text, problem = arrived(self._plan, self._results.values())
        return self._outcome(text, problem=problem)

    async def _may_begin(
        self, phase: Phase, items: Sequence[NodePlan], waits: str = "", settling: str = ""
    ) -> None:
        """Ask whoever paces the run.

        Raises:
            Paused: Not now.
        """
        upcoming = Upcoming(
            phase,
            tuple(item.node for item in items),
            waits,
            resumes=any(item.treatment is Treatment.RESUME for item in items),
            settling=settling,
        )
        reason = await self._pace.may_begin(upcoming)
        if reason:
            raise Paused(f"{reason}; start the same upgrade again to go on")

    def _treated(self, *treatments: Treatment) -> list[NodePlan]:
        return [item for item in self._plan.nodes if item.treatment in treatments]

    def _leave_out(self) -> None:
        for item in self._treated(Treatment.EXCLUDED):
            problem = Problem("left-out", f"{item.node} is left out: {item.reason}")
            self._results[item.node] = NodeResult(item.node, Result.EXCLUDED, problem)

    async def _take_up(self, items: Sequence[NodePlan]) -> None:
        """What is changing already, all at once: none can wait for a person, or for another one.

        A batch limits how many begin to change. These have begun, and whoever is not taken up in
        time goes back by itself.
        """
        if items:
            await self._may_begin(Phase.INSTALL, items)
            await self._turns(items)

    async def _look_at_those_there(self) -> None:
        """What is on the version already is verified and left alone (design.md, section 6).

        It is told as a part of preflight: nothing is sent to these nodes, and nothing checked that
        was sent.
        """

        async def one(item: NodePlan) -> NodeResult:
            forward = item.treatment is Treatment.ACCEPTED
            answer = await self._contacts[item.node].rows(
                "installed",
                lambda row: self._scribe.row(row, node=item.node, phase=Phase.PREFLIGHT),
                version=self._plan.release_version,
                digest=self._plan.release_digest,
            )
            if answer.is_ok:
                self._passed(
                    item.node,
                    Phase.PREFLIGHT,
                    f"on {self._plan.release_version} already: verified and left alone",
                )
                return NodeResult(item.node, Result.ALREADY, forward=forward)
            reached = answer.outcome not in (Outcome.UNREACHABLE, Outcome.TIMED_OUT)
            result = Result.UNHEALTHY if reached else Result.UNREACHABLE
            if answer.problem is not None:
                self._scribe.problem(answer.problem, node=item.node, phase=Phase.PREFLIGHT)
            return NodeResult(item.node, result, answer.problem, forward)

        there = self._treated(Treatment.ALREADY, Treatment.ACCEPTED)
        for found in await asyncio.gather(*(one(item) for item in there)):
            self._results[found.node] = found

    def _broken_off(self, error: LiftlockError) -> RunOutcome:
        """The outcome when this side failed: nodes that were begun go on alone."""
        for node in self._begun - set(self._results):
            self._results[node] = NodeResult(node, Result.LOST, error.problem)
        text = f"broken off here: {error.problem.summary}"
        return self._outcome(text, problem=error.problem, stopped=error.exit_code)

    async def read(self) -> list[NodeReading]:
        """Read every node of the cluster anew, all at once."""
        return await read_all(self._contacts.values())

    async def _preflight(self, nodes: Sequence[NodePlan]) -> None:
        manifest = self._release.manifest

        again = {item.node for item in nodes if item.again}

        async def one(contact: Contact) -> Answer:
            return await contact.rows(
                "preflight",
                lambda row: self._scribe.row(row, node=contact.node, phase=Phase.PREFLIGHT),
                release=_told(self._release),
                downgrade=self._plan.policy.downgrade,
                reinstall=self._plan.policy.reinstall if contact.node in again else "",
                bytes=max(manifest.total_bytes, manifest.needs.bytes),
                files=len(manifest.files),
                second_layer=self._plan.policy.second_layer.value,
            )

        await self._all(nodes, Phase.PREFLIGHT, one)

    async def _stage(self, nodes: Sequence[NodePlan]) -> None:
        at_once = asyncio.Semaphore(self._plan.limits.uploads)
        staging = self._plan.staging
        rate = Rate(staging.bytes_per_second)
        async with spool(self._release) as source:

            async def one(contact: Contact) -> Answer:
                async with at_once:
                    return await contact.stage(
                        self._release,
                        self._plan.run,
                        stored(self._plan),
                        source,
                        lambda sent, of: self._progress(contact.node, sent, of),
                        staging=staging,
                        rate=rate,
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
                release=_told(self._release),
                downgrade=self._plan.policy.downgrade,
            )

        await self._all(nodes, Phase.CHECK, one)

    async def _install(self, done: Sequence[NodePlan], fresh: Sequence[NodePlan]) -> None:
        """Batch by batch, each when it may begin; `done` are those that were taken up before."""
        policy = self._plan.policy
        for items in batches(fresh, policy):
            waits = paused(policy.pause, done, items, self._accepted())
            await self._may_begin(Phase.INSTALL, items, waits)
            await self._turns(items)
            self._stop_if_reached()
            done = items

    async def _turns(self, items: Sequence[NodePlan]) -> None:
        async def waiting(what: str) -> None:
            await self._may_begin(Phase.INSTALL, items, settling=what)

        fresh = [item.node for item in items if item.treatment is Treatment.INSTALL]
        if fresh:
            begun = bool(self._begun)
            await self._gates.before_turns(fresh, self._accepted(), waiting, has_begun=begun)
        turns = []
        for item in items:
            self._begun.add(item.node)
            turn = Turn(self._contacts[item.node], self._plan, self._scribe, self._called)
            resumed = item.treatment is Treatment.RESUME
            turns.append(turn.resume() if resumed else turn.take())
        # One that breaks does not leave the others alone: they are in trial, and wait for us.
        found = await asyncio.gather(*turns, return_exceptions=True)
        self._results |= {each.node: each for each in found if isinstance(each, NodeResult)}
        for each in found:
            if isinstance(each, BaseException):
                raise each

    def _stop_if_reached(self) -> None:
        text, problem = stopped_by(self._results, self._plan.policy)
        if text:
            raise Stopped(text, problem)

    def _accepted(self) -> list[str]:
        """The nodes that this run has brought to accepted, now or before it was taken up again."""
        return [
            each.node
            for each in self._results.values()
            if each.forward and each.result in (Result.ACCEPTED, Result.ALREADY)
        ]

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
            raise Stopped(
                f"{phase} did not pass on {names}; nothing was changed there", bad[0].problem
            )

    def _result(self, node: str, phase: Phase, answer: Answer) -> NodeResult | None:
        """A node's result when a phase before the install did not pass; None when it did."""
        if answer.is_ok:
            self._passed(node, phase, "ok")
            return None
        found = not_done(node, answer, phase)
        if found.problem is not None:
            self._scribe.problem(found.problem, node=node, phase=phase)
        return found

    def _passed(self, node: str, phase: Phase, text: str) -> None:
        self._scribe.say(Kind.RESULT, text, node=node, phase=phase, data={"outcome": "ok"})

    def _progress(self, node: str, sent: int, of: int) -> None:
        self._scribe.say(
            Kind.PROGRESS,
            f"{sent} of {of} bytes",
            node=node,
            phase=Phase.STAGE,
            data={"sent": sent, "of": of},
        )

    def _left_at(self, phase: Phase, nodes: Sequence[NodePlan]) -> RunOutcome:
        """The outcome of a run that was to go no further than this phase."""
        for item in nodes:
            self._results[item.node] = NodeResult(item.node, Result.DONE)
        done = "staged" if phase is Phase.STAGE else "staged and checked"
        names = ", ".join(item.node for item in nodes)
        version = self._plan.release_version
        busy = [item.node for item in self._treated(Treatment.RESUME)]
        if busy:
            problem = Problem(
                "upgrade-open",
                f"{', '.join(busy)}: in the middle of an upgrade, and left alone.",
                advice=f"liftlock upgrade {self._called} takes it up again.",
            )
            for node in busy:
                self._results[node] = NodeResult(node, Result.NOT_STARTED, problem)
            text = f"{version} is {done} on {names or 'no node'}; {', '.join(busy)} left alone"
            return self._outcome(text, paused=True)
        if not names:
            _, nobody = arrived(self._plan, self._results.values())
            return self._outcome(f"no node is to come to {version}", problem=nobody)
        return self._outcome(f"{version} is {done} on {names}; nothing that runs was touched")

    def _outcome(
        self,
        text: str,
        *,
        paused: bool = False,
        problem: Problem | None = None,
        stopped: Exit = Exit.REFUSED,
    ) -> RunOutcome:
        nodes = tuple(
            self._results.get(item.node, NodeResult(item.node, Result.NOT_STARTED))
            for item in self._plan.nodes
        )
        bad = any(has_failed(node) for node in nodes)
        why = Exit.OK if problem is None or (bad and stopped is Exit.REFUSED) else stopped
        code = exit_of_upgrade(nodes, paused=paused, stopped=why)
        return RunOutcome(self._plan.run, code, nodes, text, problem)


def _told(release: Release) -> dict[str, object]:
    """What a node is asked about before a release may come to it."""
    manifest = release.manifest
    return {
        "arch": manifest.arch,
        "sequence": manifest.sequence,
        "python": manifest.needs.python,
        "commands": list(manifest.needs.commands),
        "libraries": list(manifest.needs.libraries),
    }
