"""Hears what an updater answers, line by line, until it says how it ended.

An answer without its `end` line is unknown: neither success nor failure. Every wait has a limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from backends.domain.clean import line
from backends.domain.problem import Problem
from backends.domain.states import Outcome
from backends.engine import reading
from backends.engine.answer import Answer, no_word_from
from backends.engine.flow import Flow
from backends.engine.upload import Message
from backends.engine.watching import Silence
from backends.node import wire
from backends.transport.link import Channel, LinkFailed
from backends.transport.payload import NO_PYTHON


class Listener:
    """Listens to one node."""

    def __init__(self, node: str, on_recovery: Callable[[str], None]) -> None:
        """`on_recovery` is told when the node first had to be brought back to rest."""
        self._node = node
        self._on_recovery = on_recovery

    async def listen(
        self,
        channel: Channel,
        silence: Silence,
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
                problem = no_word_from(self._node, silence_seconds)
                return Answer(Outcome.TIMED_OUT, problem, tuple(messages))
            if not raw:
                return await self.without_end(channel, tuple(messages))
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
                    f"{self._node}: its updater speaks protocol {message.get('protocol')}",
                    advice="use the version of this program that began the upgrade there",
                )
                return Answer(Outcome.UNREACHABLE, problem, tuple(messages))
            if flow.keeps or not messages:
                messages.append(message)
            if recovery := reading.recovery(message):
                self._on_recovery(recovery)
            try:
                await observe(channel, message)
            except LinkFailed:
                continue  # it takes no more of us: its end, or that there is none, says why
            except reading.NO_SENSE as error:
                what = f"{type(error).__name__}: {error}; {raw[:200]!r}"
                return self._nonsense("what it says makes no sense", what, messages)

    def _ended(self, message: Message, messages: tuple[Message, ...]) -> Answer:
        try:
            outcome = Outcome(message["outcome"])
            problem = reading.problem(message["problem"])
        except reading.NO_SENSE as error:
            return self._nonsense("a bad end", str(error), messages)
        return Answer(outcome, problem, messages, has_end=True)

    def _nonsense(self, what: str, evidence: str, messages: Sequence[Message]) -> Answer:
        problem = Problem(
            "protocol-mismatch",
            f"{self._node}: {what}",
            line(evidence),
            "look at what its login shell prints",
        )
        return Answer(Outcome.UNREACHABLE, problem, tuple(messages))

    async def without_end(self, channel: Channel, messages: tuple[Message, ...]) -> Answer:
        """What an answer comes to that has no `end`: nobody knows."""
        status = await channel.exit_status()
        if status == NO_PYTHON and not messages:
            problem = Problem(
                "no-python",
                f"{self._node} has no Python 3 that was found",
                line(channel.stderr()),
                "install Python 3.6 or newer there, or name it: python = in the cluster file",
            )
        else:
            problem = Problem(
                "no-end",
                f"{self._node}: the answer broke off; what happened is unknown",
                line(f"exit {'unknown' if status is None else status}: {channel.stderr()}"),
                "ask again: the node's journal knows",
            )
        return Answer(Outcome.UNREACHABLE, problem, messages)
