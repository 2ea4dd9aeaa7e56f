"""One node as the engine speaks to it: a question in, an answer out, and never a guess.

An answer without its `end` line is unknown: neither success nor failure. Every wait has a limit.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

from backends.domain.clean import line
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.policy import Limits
from backends.domain.problem import Problem
from backends.domain.staging import PUSHED, Staging
from backends.domain.states import Outcome, Unreachable
from backends.engine import reading, watching
from backends.engine.answer import Answer, Subject, cause_of, no_end_of, no_word_from
from backends.engine.asked import new_request, told
from backends.engine.flow import Flow, Journal, Watch, Whole
from backends.engine.kept import Kept
from backends.engine.listening import Listener
from backends.engine.rate import UNLIMITED, Rate
from backends.engine.upload import STALL_SECONDS, Blobs, Message, Upload
from backends.node import wire
from backends.releases.read import Release
from backends.transport.link import Channel, Link, LinkFailed
from backends.transport.payload import Payload

_CHECKS_SECONDS = 86_400.0
"""All rows of a check together; what hangs is found out long before, by its silence."""


class Contact:
    """Speaks with the updater on one node."""

    def __init__(
        self, subject: Subject, link: Link, payload: Payload, limits: Limits, operator: str
    ) -> None:
        self.subject = subject
        self._link = link
        self._payload = payload
        self._limits = limits
        self._operator = operator
        self._kept = Kept()
        self._listener = Listener(subject.node, lambda text: self.on_recovery(subject.node, text))
        self.on_recovery: Callable[[str, str], None] = lambda node, text: None
        """Told when the node first had to be brought back to rest: node, what happened."""

    @property
    def node(self) -> str:
        """The node's name."""
        return self.subject.node

    async def prepare(self) -> Problem | None:
        """Get to the node and ask whatever a person has to be asked; why that failed, or None."""
        try:
            await self._link.prepare()
        except LinkFailed as error:
            return error.problem
        return None

    async def read(self) -> NodeReading:
        """Read all facts; a node that cannot be read is a reading, too, and says why."""
        if (problem := await self.prepare()) is not None:
            return self._unread(problem)
        answer = await self.ask("status", seconds=self._status_seconds())
        found = answer.all("facts")
        if answer.is_ok and found:
            return self._reading(found[-1])
        return self._unread(answer.problem)

    async def watch(self, observe: Callable[[NodeReading], None]) -> None:
        """Tell every reading of this node for as long as this runs.

        What a silent or lost node said last is no longer told: its reading is unreachable.
        """
        way = watching.Way(
            node=self.node,
            prepare=self.prepare,
            open=lambda: self._open(self._link),
            talk=self._talk_watch,
            read=self._reading,
            unread=self._unread,
            first_seconds=self._status_seconds(),
        )
        await watching.watch(way, self._limits, observe)

    async def _talk_watch(
        self,
        channel: Channel,
        args: Mapping[str, object],
        silence: watching.Silence,
        see: Callable[[Message], None],
    ) -> Answer:
        """Ask for a watch and listen. No limit of time stands around it: each step has its own."""

        async def hear(channel: Channel, message: Message) -> None:
            see(message)

        try:
            async with asyncio.timeout(silence()):
                await channel.write(self._payload.opening(self._request("watch", args)))
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT, no_word_from(self.node, silence()), ())
        except LinkFailed:
            return await self._listener.without_end(channel, ())
        return await self._listener.listen(channel, silence, hear, Watch())

    def _reading(self, message: Message) -> NodeReading:
        try:
            facts = reading.node_facts(self.node, message)
        except reading.NO_SENSE as error:
            why = line(f"{type(error).__name__}: {error}")
            problem = Problem("bad-answer", f"{self.node}: the facts make no sense", why)
            return self._unread(problem)
        return self._placed(facts=facts, age_seconds=0.0)

    def _unread(self, problem: Problem | None) -> NodeReading:
        found = problem or Problem("no-end", f"{self.node}: the answer broke off")
        return self._placed(unreachable=cause_of(found), problem=found)

    def _placed(
        self,
        facts: NodeFacts | None = None,
        age_seconds: float | None = None,
        unreachable: Unreachable | None = None,
        problem: Problem | None = None,
    ) -> NodeReading:
        return NodeReading(
            name=self.node,
            role=self.subject.role,
            address=self.subject.address,
            facts=facts,
            age_seconds=age_seconds,
            unreachable=unreachable,
            problem=problem,
            excluded=self.subject.excluded,
            pinned=self.subject.pinned,
        )

    async def ask(self, command: str, *, seconds: float | None = None, **args: object) -> Answer:
        """Ask one question and wait for its whole answer."""
        limit = seconds or self._limits.install_step_seconds
        return await self._converse(self._link, command, args, limit, lambda _: None)

    async def rows(self, scope: str, observe: Callable[[Message], None], **args: object) -> Answer:
        """Run checks on the node; each row is shown as it comes."""
        return await self._rows("check", observe, scope=scope, now=time.time(), **args)

    async def verify(self, observe: Callable[[Message], None]) -> Answer:
        """Hold what runs against what was recorded of it; each row is shown as it comes."""
        return await self._rows("verify", observe)

    async def _rows(
        self, command: str, observe: Callable[[Message], None], **args: object
    ) -> Answer:
        def see(message: Message) -> None:
            if message["t"] == "row":
                observe(message)

        # Each row has its time: a directory of checks of the operator's own may be long.
        check = self.subject.document["check"]
        own = float(check["timeout"]) if isinstance(check, dict) else 0.0
        silence = self._limits.install_step_seconds + own
        return await self._converse(
            self._link, command, args, _CHECKS_SECONDS, see, silence=silence
        )

    async def accept(self, run: str, how: str, reason: str = "") -> Answer:
        """Accept over a connection and a login of its own: it proves that one can still get in."""
        link = self._link.fresh()
        try:
            args = {"run": run, "how": how, "reason": reason}
            return await self._converse(
                link, "accept", args, self._limits.operator_request_seconds, lambda _: None
            )
        finally:
            await link.close()

    async def extend(self, run: str, seconds: float, reason: str) -> Answer:
        """Have a trial end no earlier than so many seconds from now."""
        limit = self._limits.operator_request_seconds
        args = {"run": run, "seconds": seconds, "reason": reason}
        return await self._converse(self._link, "extend", args, limit, lambda _: None)

    async def follow(
        self,
        run: str | None,
        offset: int,
        observe: Callable[[Message], None],
        seconds: float,
        has_said_all: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Follow the node's journal from a byte offset until it comes to rest.

        The node beats meanwhile: a link that died is noticed long before any deadline of the node.
        With each beat it `has_said_all` that stands in its journal by then.
        """

        beat = self._limits.heart_beat_upgrade_seconds
        silence = max(self._limits.stale_beats * beat, self._limits.node_request_seconds)
        args = {"run": run, "offset": offset, "follow": True, "beat": beat}
        return await self._records(args, observe, seconds, silence, has_said_all)

    async def journal(self, run: str, observe: Callable[[Message], None]) -> Answer:
        """Read what a node's journal has by now; each record is told, and none kept."""
        args = {"run": run, "offset": 0, "follow": False}
        return await self._records(args, observe, self._limits.install_step_seconds)

    async def _records(
        self,
        args: Mapping[str, object],
        observe: Callable[[Message], None],
        seconds: float,
        silence: float | None = None,
        has_said_all: Callable[[], None] = lambda: None,
    ) -> Answer:
        def see(message: Message) -> None:
            if message["t"] == "record":
                observe(message)
            elif message["t"] == "beat":
                has_said_all()

        flow = Journal(self.node)
        return await self._converse(
            self._link, "journal", args, seconds, see, silence=silence, flow=flow
        )

    async def journal_end(self, run: str) -> int:
        """Bytes of a node's journal that are there already; 0 when it cannot be read."""
        newest = 0

        def see(message: Message) -> None:
            nonlocal newest
            newest = int(message["offset"])

        answer = await self.journal(run, see)
        return newest if answer.is_ok else 0

    async def stage(
        self,
        release: Release,
        run: str,
        plan: Mapping[str, object],
        blobs: Blobs,
        progress: Callable[[int, int], None],
        *,
        staging: Staging = PUSHED,
        rate: Rate = UNLIMITED,
    ) -> Answer:
        """Have a release come to the node; `progress(there, of)` in bytes."""
        upload = Upload(release, blobs, staging, rate, progress)
        request = self._request("stage", upload.announced(run, plan))
        return await self._told(request, self._stage(request, upload))

    async def _stage(self, request: dict[str, object], upload: Upload) -> Answer:
        try:
            async with self._open(self._link) as channel:
                seconds = self._limits.install_step_seconds
                opening = self._payload.opening(request)
                return await self._talk(
                    channel, opening, seconds, upload.on_message, Whole(self.node)
                )
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT, no_end_of(self.node, "stage", STALL_SECONDS), ())
        except LinkFailed as error:
            return Answer(Outcome.UNREACHABLE, error.problem, ())

    async def close(self) -> None:
        """Give the connection back."""
        await self._kept.close()
        await self._link.close()

    async def _converse(
        self,
        link: Link,
        command: str,
        args: Mapping[str, object],
        seconds: float,
        observe: Callable[[Message], None],
        *,
        silence: float | None = None,
        flow: Flow | None = None,
    ) -> Answer:
        """Ask, and hand on every message; who is silent for `silence` seconds counts as lost."""

        heard = False

        async def see(channel: Channel, message: Message) -> None:
            nonlocal heard
            heard = True
            observe(message)

        request = self._request(command, args)
        talk = partial(
            self._talk,
            silence_seconds=silence or seconds,
            observe=see,
            flow=flow or Whole(self.node),
        )
        work = self._exchange(link, request, seconds, talk, lambda: heard)
        return await self._told(request, work)

    async def _exchange(
        self,
        link: Link,
        request: dict[str, object],
        seconds: float,
        talk: Callable[[Channel, bytes], Awaitable[Answer]],
        heard: Callable[[], bool],
    ) -> Answer:
        command = str(request["command"])
        try:
            async with asyncio.timeout(seconds):
                if link is self._link and command in wire.STAYING:
                    return await self._ask_again({**request, "stay": True}, talk, heard)
                async with self._open(link) as channel:
                    return await talk(channel, self._payload.opening(request))
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT, no_end_of(self.node, command, seconds), ())
        except LinkFailed as error:
            return Answer(Outcome.UNREACHABLE, error.problem, ())

    async def _ask_again(
        self,
        request: dict[str, object],
        talk: Callable[[Channel, bytes], Awaitable[Answer]],
        heard: Callable[[], bool],
    ) -> Answer:
        """Ask the updater that stayed for this, where there is one; else one that will stay."""
        async with AsyncExitStack() as stack:
            channel = await self._kept.take(stack)
            if channel is not None:
                try:
                    answer = await talk(channel, wire.encode(request))
                except LinkFailed:
                    if heard():
                        raise
                else:
                    if answer.has_end:
                        await self._kept.put(stack, channel)
                    if answer.has_end or heard():
                        return answer
        # It had gone, or the connection had, and nothing was heard: it may be asked once more.
        async with AsyncExitStack() as stack:
            channel = await stack.enter_async_context(self._open(self._link))
            answer = await talk(channel, self._payload.opening(request))
            if answer.has_end:
                await self._kept.put(stack, channel)
            return answer

    def _open(self, link: Link) -> AbstractAsyncContextManager[Channel]:
        return link.open(self._payload.start(self.subject.python))

    def _request(self, command: str, args: Mapping[str, object]) -> dict[str, object]:
        return {
            "protocol": wire.PROTOCOL,
            "command": command,
            "product": dict(self.subject.document),
            "state_dir": self.subject.state_dir,
            "args": {"operator": self._operator, "request": new_request(), **args},
        }

    async def _told(self, request: dict[str, object], work: Awaitable[Answer]) -> Answer:
        said = wire.request_of(request["args"])
        return await told(self.node, str(request["command"]), said["request"], work)

    async def _talk(
        self,
        channel: Channel,
        opening: bytes,
        silence_seconds: float,
        observe: Callable[[Channel, Message], Awaitable[None]],
        flow: Flow,
    ) -> Answer:
        """Ask, and listen. An updater that ends before it read all says why."""
        with channel.awaited():
            try:
                await channel.write(opening)
            except LinkFailed:
                return await self._listener.without_end(channel, ())
            return await self._listener.listen(channel, lambda: silence_seconds, observe, flow)

    def _status_seconds(self) -> float:
        """Longer than all that the node may take: the inner, more specific limit wins."""
        checks = self.subject.document["health"]
        seconds = self._limits.operator_request_seconds + 2 * self._limits.node_request_seconds
        if isinstance(checks, list):
            seconds += sum(float(check["timeout"]) for check in checks)
        return seconds
