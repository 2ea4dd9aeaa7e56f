"""One node as the engine speaks to it: a question in, an answer out, and never a guess.

An answer without its `end` line is unknown: neither success nor failure. Every wait has a limit.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from backends.domain.clean import line
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.policy import Limits
from backends.domain.problem import Problem
from backends.domain.states import Outcome, Unreachable
from backends.engine import reading, watching
from backends.engine.answer import Answer, Subject, cause_of, no_end_of, no_word_from
from backends.engine.flow import Flow, Journal, Watch, Whole
from backends.engine.upload import STALL_SECONDS, Blobs, Message, Upload
from backends.node import wire
from backends.releases.read import Release
from backends.transport.link import Channel, Link, LinkFailed
from backends.transport.payload import NO_PYTHON, Payload


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
            open=lambda: self._open(self._link, resident=True),
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
            return await self._without_end(channel, ())
        return await self._listen(channel, silence, hear, Watch())

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
        )

    async def ask(self, command: str, *, seconds: float | None = None, **args: object) -> Answer:
        """Ask one question and wait for its whole answer."""
        limit = seconds or self._limits.install_step_seconds
        return await self._converse(self._link, command, args, limit, lambda _: None)

    async def rows(self, scope: str, observe: Callable[[Message], None], **args: object) -> Answer:
        """Run checks on the node; each row is shown as it comes."""

        def see(message: Message) -> None:
            if message["t"] == "row":
                observe(message)

        seconds = self._limits.install_step_seconds
        return await self._converse(
            self._link, "check", {"scope": scope, "now": time.time(), **args}, seconds, see
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

    async def follow(
        self, run: str | None, offset: int, observe: Callable[[Message], None], seconds: float
    ) -> Answer:
        """Follow the node's journal from a byte offset until it comes to rest.

        The node beats meanwhile: a link that died is noticed long before any deadline of the node.
        """

        beat = self._limits.heart_beat_upgrade_seconds
        silence = max(self._limits.stale_beats * beat, self._limits.node_request_seconds)
        args = {"run": run, "offset": offset, "follow": True, "beat": beat}
        return await self._records(args, observe, seconds, silence)

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
    ) -> Answer:
        def see(message: Message) -> None:
            if message["t"] == "record":
                observe(message)

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
    ) -> Answer:
        """Send what the node lacks of a release; `progress(sent, of)` in bytes."""
        upload = Upload(release, blobs, progress)
        try:
            async with self._open(self._link) as channel:
                seconds = self._limits.install_step_seconds
                request = self._request("stage", upload.announced(run, plan))
                return await self._talk(channel, request, seconds, upload.on_message)
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT, no_end_of(self.node, "stage", STALL_SECONDS), ())
        except LinkFailed as error:
            return Answer(Outcome.UNREACHABLE, error.problem, ())

    async def close(self) -> None:
        """Give the connection back."""
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

        async def see(channel: Channel, message: Message) -> None:
            observe(message)

        try:
            async with asyncio.timeout(seconds), self._open(link) as channel:
                request = self._request(command, args)
                return await self._talk(channel, request, silence or seconds, see, flow)
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT, no_end_of(self.node, command, seconds), ())
        except LinkFailed as error:
            return Answer(Outcome.UNREACHABLE, error.problem, ())

    def _open(self, link: Link, *, resident: bool = False) -> AbstractAsyncContextManager[Channel]:
        return link.open(self._payload.start(self.subject.python), resident=resident)

    def _request(self, command: str, args: Mapping[str, object]) -> dict[str, object]:
        return {
            "protocol": wire.PROTOCOL,
            "command": command,
            "product": dict(self.subject.document),
            "state_dir": self.subject.state_dir,
            "args": {"operator": self._operator, **args},
        }

    async def _talk(
        self,
        channel: Channel,
        request: dict[str, object],
        silence_seconds: float,
        observe: Callable[[Channel, Message], Awaitable[None]],
        flow: Flow | None = None,
    ) -> Answer:
        """Start the updater, ask, and listen. One that ends before it read all says why."""
        try:
            await channel.write(self._payload.opening(request))
        except LinkFailed:
            return await self._without_end(channel, ())
        return await self._listen(
            channel, lambda: silence_seconds, observe, flow or Whole(self.node)
        )

    async def _listen(
        self,
        channel: Channel,
        silence: watching.Silence,
        observe: Callable[[Channel, Message], Awaitable[None]],
        flow: Flow,
    ) -> Answer:
        """Read messages until `end`; the answer has them all, if the flow keeps them."""
        messages: list[Message] = []
        while True:
            silence_seconds = silence()
            try:
                async with asyncio.timeout(silence_seconds):
                    raw = await channel.line()
            except TimeoutError:
                problem = no_word_from(self.node, silence_seconds)
                return Answer(Outcome.TIMED_OUT, problem, tuple(messages))
            if not raw:
                return await self._without_end(channel, tuple(messages))
            await flow.take(len(raw))
            try:
                message = wire.decode(raw)
                kind = message["t"]
            except (wire.WireError, KeyError) as error:
                what = f"{error}: {raw[:200]!r}"
                return self._nonsense("what it says is no answer", what, messages)
            if kind == "end":
                return self._ended(message, tuple(messages))
            if kind == "hello" and message.get("protocol") != wire.PROTOCOL:
                problem = Problem(
                    "protocol-mismatch",
                    f"{self.node}: its updater speaks protocol {message.get('protocol')}",
                    advice="use the version of this program that began the upgrade there",
                )
                return Answer(Outcome.UNREACHABLE, problem, tuple(messages))
            if flow.keeps or not messages:
                messages.append(message)
            if recovery := reading.recovery(message):
                self.on_recovery(self.node, recovery)
            try:
                await observe(channel, message)
            except reading.NO_SENSE as error:
                what = f"{type(error).__name__}: {error}; {raw[:200]!r}"
                return self._nonsense("what it says makes no sense", what, messages)

    def _ended(self, message: Message, messages: tuple[Message, ...]) -> Answer:
        try:
            outcome = Outcome(message["outcome"])
            problem = reading.problem(message["problem"])
        except reading.NO_SENSE as error:
            return self._nonsense("a bad end", str(error), messages)
        return Answer(outcome, problem, messages)

    def _nonsense(self, what: str, evidence: str, messages: Sequence[Message]) -> Answer:
        problem = Problem(
            "protocol-mismatch",
            f"{self.node}: {what}",
            line(evidence),
            "look at what its login shell prints",
        )
        return Answer(Outcome.UNREACHABLE, problem, tuple(messages))

    async def _without_end(self, channel: Channel, messages: tuple[Message, ...]) -> Answer:
        status = await channel.exit_status()
        if status == NO_PYTHON and not messages:
            problem = Problem(
                "no-python",
                f"{self.node} has no Python 3 that was found",
                line(channel.stderr()),
                "install Python 3.6 or newer there, or name it: python = in the cluster file",
            )
        else:
            problem = Problem(
                "no-end",
                f"{self.node}: the answer broke off; what happened is unknown",
                line(f"exit {'unknown' if status is None else status}: {channel.stderr()}"),
                "ask again: the node's journal knows",
            )
        return Answer(Outcome.UNREACHABLE, problem, messages)

    def _status_seconds(self) -> float:
        """Longer than all that the node may take: the inner, more specific limit wins."""
        checks = self.subject.document["health"]
        seconds = self._limits.operator_request_seconds + 2 * self._limits.node_request_seconds
        if isinstance(checks, list):
            seconds += sum(float(check["timeout"]) for check in checks)
        return seconds


async def read_all(contacts: Iterable[Contact]) -> list[NodeReading]:
    """Read nodes all at once; each reading is as old as it is when the last one has come."""

    async def one(contact: Contact) -> tuple[NodeReading, float]:
        return await contact.read(), time.monotonic()

    found = await asyncio.gather(*(one(contact) for contact in contacts))
    return [aged(reading, at) for reading, at in found]


def aged(reading: NodeReading, read_at: float) -> NodeReading:
    """A reading as old as it is now, when it came at `read_at` of the monotonic clock."""
    if reading.age_seconds is None:
        return reading
    return replace(reading, age_seconds=reading.age_seconds + time.monotonic() - read_at)
