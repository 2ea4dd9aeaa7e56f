"""The phases before an install: on all nodes at once, and nothing that runs is touched."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext

from backends.domain.plan import NodePlan, Plan, Treatment, stored
from backends.domain.states import Outcome, Phase
from backends.engine.answer import Answer
from backends.engine.contact import Contact
from backends.engine.ending import Paused, Stopped
from backends.engine.events import Kind
from backends.engine.orders import Orders
from backends.engine.our_link import Link, OurLink
from backends.engine.rate import Rate
from backends.engine.results import NodeResult, Result, not_done
from backends.engine.scribe import Scribe
from backends.engine.spool import spool
from backends.releases.read import Release

Work = Callable[[Contact], Awaitable[Answer]]

_UNSEEN = {Outcome.UNREACHABLE: Result.UNREACHABLE, Outcome.TIMED_OUT: Result.TIMED_OUT}
_SILENT = frozenset(_UNSEEN)
_UNHEARD = frozenset(_UNSEEN.values())
_THERE = frozenset({Treatment.ALREADY, Treatment.ACCEPTED})


class Phases:
    """Preflight, stage and check of one run."""

    def __init__(
        self,
        plan: Plan,
        contacts: Mapping[str, Contact],
        release: Release,
        scribe: Scribe,
        orders: Orders,
        link: OurLink,
        results: dict[str, NodeResult],
    ) -> None:
        """`results` gets those of the nodes on which a phase does not pass, and of those that are
        there already."""
        self._plan = plan
        self._contacts = contacts
        self._release = release
        self._scribe = scribe
        self._orders = orders
        self._link = link
        self._results = results

    async def preflight(self, nodes: Sequence[NodePlan]) -> None:
        """Whether each node could take the release at all."""
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

    async def stage(self, nodes: Sequence[NodePlan]) -> None:
        """Bring the release to the nodes, so many at once as the limits say."""
        limits = self._plan.limits
        at_once = asyncio.Semaphore(limits.uploads)
        gateways = {self._contacts[item.node].subject.gateway or "" for item in nodes}
        through = {name: asyncio.Semaphore(limits.uploads_per_gateway) for name in gateways}
        staging = self._plan.staging
        rate = Rate(staging.bytes_per_second)
        async with spool(self._release) as source:

            async def one(contact: Contact) -> Answer:
                gateway = contact.subject.gateway
                async with through[gateway] if gateway else nullcontext(), at_once:
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

    async def check(self, nodes: Sequence[NodePlan]) -> None:
        """Hold what is staged against what was planned."""

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

    async def look_at_those_there(self) -> None:
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
            result = _UNSEEN.get(answer.outcome, Result.UNHEALTHY)
            if answer.problem is not None:
                self._scribe.problem(answer.problem, node=item.node, phase=Phase.PREFLIGHT)
            return NodeResult(item.node, result, answer.problem, forward)

        there = [item for item in self._plan.nodes if item.treatment in _THERE]
        give_up = time.monotonic() + self._plan.limits.accept_window_seconds
        while there:
            found = await asyncio.gather(*(one(item) for item in there))
            self._results |= {each.node: each for each in found}
            silent = [each.node for each in found if each.result in _UNHEARD]
            why = await self._link.awaited(silent, give_up) if silent else Link.THEIRS
            there = [item for item in there if item.node in silent and why is Link.BACK]
            if why is Link.GONE:
                for node in silent:
                    del self._results[node]
                raise Paused("those that are there already wait for your link", self._link.problem)

    async def _all(self, nodes: Sequence[NodePlan], phase: Phase, work: Work) -> None:
        """Run a phase on all nodes at once; any that is not ok ends the run before a change.

        When none is heard because our own link is gone, it is run again once that is back.

        Raises:
            Stopped: It did not pass on a node, or the run was aborted.
            Paused: Our link did not come back.
        """
        todo = [item.node for item in nodes]
        give_up = time.monotonic() + self._plan.limits.accept_window_seconds
        bad: dict[str, Answer] = {}
        while todo:
            asked = self._asked(todo, phase, work)
            bad |= await self._orders.unless_aborted(asked)
            silent = [node for node in todo if node in bad and bad[node].outcome in _SILENT]
            why = Link.THEIRS
            if silent:
                awaited = self._link.awaited(silent, give_up)
                why = await self._orders.unless_aborted(awaited)
            if why is Link.GONE:
                raise Paused(f"{phase} waits for your link", self._link.problem)
            todo = silent if why is Link.BACK else []
            for node in todo:
                del bad[node]
        for node, answer in bad.items():
            self._results[node] = self._failed(node, phase, answer)
        if bad:
            first = self._results[next(iter(bad))].problem
            raise Stopped(
                f"{phase} did not pass on {', '.join(bad)}; nothing was changed there", first
            )

    async def _asked(self, nodes: Sequence[str], phase: Phase, work: Work) -> dict[str, Answer]:
        """Which nodes do not pass, with what they said."""

        async def one(node: str) -> Answer:
            self._scribe.say(Kind.PHASE, "begins", node=node, phase=phase)
            answer = await work(self._contacts[node])
            if answer.is_ok:
                self._passed(node, phase, "ok")
            return answer

        found = await asyncio.gather(*map(one, nodes))
        return {n: each for n, each in zip(nodes, found, strict=True) if not each.is_ok}

    def _failed(self, node: str, phase: Phase, answer: Answer) -> NodeResult:
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
