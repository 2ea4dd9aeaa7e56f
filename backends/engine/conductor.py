"""Drives a plan: journal first, then act. One core for the screen and the command line.

What is changing already is taken up before anything else. Preflight, stage and check run over
all other nodes before the first install; then one node (or batch) after the other is installed,
watched and accepted. A node that fails goes back by itself and stops the run. Starting again takes
up what the nodes say. It never finalizes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from backends.domain.facts import NodeReading
from backends.domain.no_return import NAME as NO_RETURN
from backends.domain.pace import Upcoming
from backends.domain.plan import (
    NodePlan,
    Plan,
    Treatment,
    batches,
    changing,
    leaders_last,
    paused,
)
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import Phase
from backends.engine.cluster_health import ClusterHealth
from backends.engine.contact import Contact
from backends.engine.crosscheck import cross_check
from backends.engine.ending import Paused, Stopped, arrived, has_failed, stopped_by
from backends.engine.events import Kind
from backends.engine.gatekeeper import Gatekeeper
from backends.engine.orders import Orders
from backends.engine.our_link import OurLink
from backends.engine.pace import ByPolicy, Pace
from backends.engine.phases import Phases
from backends.engine.readings import read_all
from backends.engine.results import NodeResult, Result, exit_of_upgrade
from backends.engine.results import Outcome as RunOutcome
from backends.engine.scribe import Scribe
from backends.engine.turn import Turn
from backends.releases.read import Release


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
        self.orders = Orders()
        """What people say to the run while it is under way."""

        health = ClusterHealth(
            plan.cluster_checks, contacts, _told(plan), plan.limits.healthy_deadline_seconds
        )
        self._gates = Gatekeeper(plan, release, scribe, called, self.read, health)
        self._link = OurLink(contacts, plan, scribe)
        self._results: dict[str, NodeResult] = {}
        self._phases = Phases(
            plan, contacts, release, scribe, self.orders, self._link, self._results
        )
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
            await self._cross_check(resumed)
            await self._take_up(resumed)
            await self._phases.look_at_those_there()
            self._stop_if_reached()
            fresh = self._treated(Treatment.INSTALL)
            if fresh:
                await self._may_begin(Phase.PREFLIGHT, fresh)
                await self._phases.preflight(fresh)
                if until is not Phase.STAGE:  # a window that is days away has a gate of its own
                    await self._gates.before_upgrade(has_begun=bool(self._begun))
                await self._may_begin(Phase.STAGE, fresh)
                await self._phases.stage(fresh)
                if until is Phase.STAGE:
                    return self._left_at(until, fresh)
                await self._may_begin(Phase.CHECK, fresh)
                await self._phases.check(fresh)
                if until is Phase.CHECK:
                    return self._left_at(until, fresh)
                await self._install(resumed, fresh)
            elif until is not Phase.INSTALL:
                return self._left_at(until, fresh)
            if self._begun:
                await self._gates.after_accept()
        except Paused as pause:
            return self._paused(pause)
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
        reason = await self.orders.unless_aborted(self._pace.may_begin(upcoming))
        if not upcoming.resumes:
            reason = self.orders.waits or reason
        if reason:
            agrees = f' --skip "{NO_RETURN}=REASON"' if NO_RETURN in reason else ""
            raise Paused(f"{reason}; liftlock resume {self._called}{agrees} goes on")

    def _paused(self, pause: Paused) -> RunOutcome:
        """A person or the policy has it wait; or our link, which is another exit code."""
        if pause.problem is None:
            return self._outcome(str(pause), paused=True)
        text = f"{pause}; liftlock resume {self._called} goes on"
        is_quiet = not any(each.result is Result.LOST for each in self._results.values())
        waits = is_quiet and any(each.forward for each in self._results.values())
        if waits:  # nothing is changing, and what is accepted stays
            return replace(self._outcome(text, paused=True), problem=pause.problem)
        return self._outcome(text, problem=pause.problem, stopped=Exit.UNREACHABLE)

    def _treated(self, *treatments: Treatment) -> list[NodePlan]:
        return [item for item in self._plan.nodes if item.treatment in treatments]

    def _leave_out(self) -> None:
        for item in self._treated(Treatment.EXCLUDED):
            problem = Problem("left-out", f"{item.node} is left out: {item.reason}")
            self._results[item.node] = NodeResult(item.node, Result.EXCLUDED, problem)

    async def _cross_check(self, resumed: Sequence[NodePlan]) -> None:
        """Hold the journals of what was begun before against each other."""
        begun = [*resumed, *self._treated(Treatment.ACCEPTED)]
        contacts = [self._contacts[item.node] for item in begun]
        await asyncio.gather(
            *(cross_check(contact, self._scribe, self._plan.run) for contact in contacts)
        )

    async def _take_up(self, items: Sequence[NodePlan]) -> None:
        """What is changing already, all at once: none can wait for a person, or for another one.

        A batch limits how many begin to change. These have begun, and whoever is not taken up in
        time goes back by itself.
        """
        if items:
            await self._may_begin(Phase.INSTALL, items)
            await self._turns(items)

    def _broken_off(self, error: LiftlockError) -> RunOutcome:
        """The outcome when this side failed: nodes that were begun go on alone."""
        for node in self._begun - set(self._results):
            self._results[node] = NodeResult(node, Result.LOST, error.problem)
        text = f"broken off here: {error.problem.summary}"
        return self._outcome(text, problem=error.problem, stopped=error.exit_code)

    async def read(self) -> list[NodeReading]:
        """Read every node of the cluster anew, all at once."""
        return await read_all(self._contacts.values())

    async def _install(self, done: Sequence[NodePlan], fresh: Sequence[NodePlan]) -> None:
        """Batch by batch, each when it may begin; `done` are those that were taken up before.

        The pause policy is asked for anew before each: it may be changed during the run.
        """
        while fresh:
            fresh = await self._leaders_last(fresh)
            pause = self.orders.pause or self._plan.policy.pause
            items = batches(fresh, replace(self._plan.policy, pause=pause))[0]
            waits = self._crosses(items) or paused(pause, done, items, self._accepted())
            await self._may_begin(Phase.INSTALL, items, waits)
            await self._turns(items)
            self._stop_if_reached()
            done, fresh = items, fresh[len(items) :]

    def _crosses(self, items: Sequence[NodePlan]) -> str:
        """Why a person is waited for although the policy would go on; "" when for nothing."""
        limit, names = self._plan.no_return, [item.node for item in items]
        if limit is None or any(skip.name == NO_RETURN for skip in self._plan.policy.skips):
            return ""
        there = {each.node for each in self._results.values() if each.forward}
        there |= {item.node for item in self._treated(Treatment.ALREADY)}
        count = sum(item.treatment is not Treatment.EXCLUDED for item in self._plan.nodes)
        if not limit.crossed_by(names, there, count):
            return ""
        return limit.words(names)

    async def _leaders_last(self, fresh: Sequence[NodePlan]) -> Sequence[NodePlan]:
        """The same nodes; who leads now comes last of its role, wherever leadership has gone."""
        if all(item.leads is None for item in self._plan.nodes):
            return fresh
        readings = await self.orders.unless_aborted(self.read())
        leading = {each.name for each in readings if each.facts and each.facts.leads is True}
        ordered = leaders_last(fresh, leading)
        if ordered[0].node != fresh[0].node:
            self._scribe.say(
                Kind.RESULT,
                f"{fresh[0].node} leads now: it comes last of its role",
                node=fresh[0].node,
                phase=Phase.INSTALL,
            )
        return ordered

    async def _turns(self, items: Sequence[NodePlan]) -> None:
        async def waiting(what: str) -> None:
            await self._may_begin(Phase.INSTALL, items, settling=what)

        fresh = [item.node for item in items if item.treatment is Treatment.INSTALL]
        if fresh:
            begun = bool(self._begun)
            gates = self._gates.before_turns(fresh, self._accepted(), waiting, has_begun=begun)
            await self.orders.unless_aborted(gates)
            if not any(item.treatment is Treatment.RESUME for item in items):
                self._wait_if_told()
        turns = []
        for item in items:
            self._begun.add(item.node)
            contact = self._contacts[item.node]
            turn = Turn(contact, self._plan, self._scribe, self._called, self._link)
            turns.append(turn)
        taken = [
            turn.resume() if item.treatment is Treatment.RESUME else turn.take()
            for turn, item in zip(turns, items, strict=True)
        ]
        # One that breaks does not leave the others alone: they are in trial, and wait for us.
        found = await self.orders.with_way_back(
            asyncio.gather(*taken, return_exceptions=True),
            [self._contacts[item.node] for item in items],
            self._plan.run,
        )
        self._results |= {each.node: each for each in found if isinstance(each, NodeResult)}
        self._begun -= {turn.node for turn in turns if not turn.has_begun}
        for each in found:
            if isinstance(each, BaseException):
                raise each
        if self._link.problem is not None:
            raise Paused("the run waits for your link", self._link.problem)

    def _wait_if_told(self) -> None:
        if self.orders.waits:
            raise Paused(f"{self.orders.waits}; liftlock resume {self._called} goes on")

    def _stop_if_reached(self) -> None:
        self.orders.stop_if_aborted()
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


def _told(plan: Plan) -> dict[str, str]:
    """What a command about the whole cluster finds in its environment."""
    return {
        "LIFTLOCK_CLUSTER": plan.cluster,
        "LIFTLOCK_PRODUCT": plan.product,
        "LIFTLOCK_RUN": plan.run,
        "LIFTLOCK_TO": plan.release_version,
    }
