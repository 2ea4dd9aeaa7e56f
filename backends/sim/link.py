"""The link to a simulated node: what opens at the port is the simulated updater.

A node that is unreachable, silent or cut off behaves as the network does then: it refuses, it
swallows, or the channel breaks. What was begun on the node goes on without anybody.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from backends.domain.problem import Problem
from backends.node import wire
from backends.sim.node import SimNode
from backends.sim.updater import Updater
from backends.transport.link import Link, LinkFailed
from backends.transport.payload import NO_PYTHON
from backends.transport.said import Said


class SimLink:
    """A link to one simulated node."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self._login: int | None = None
        """How often the node had been cut off when one logged in; None: one is not in."""

    @property
    def node(self) -> str:
        """The node's name."""
        return self._node.name

    async def prepare(self) -> None:
        """Log in, which fails for as long as the node is unreachable."""
        if self._login == self._node.cuts and self._node.unreachable is None:
            return
        self._login = None
        if self._node.silent:
            await self._node.audible()  # whoever waits has a limit of its own
        if self._node.unreachable is not None:
            raise LinkFailed(self._node.unreachable)
        self._node.logins += 1
        self._login = self._node.cuts

    def fresh(self) -> Link:
        """The same node with a login of its own."""
        return SimLink(self._node)

    async def close(self) -> None:
        """Log out."""
        self._login = None

    @asynccontextmanager
    async def open(self, argv: list[str]) -> AsyncIterator["SimChannel"]:
        """Run the updater, whatever the command says that starts it."""
        await self.prepare()
        channel = SimChannel(self._node)
        try:
            yield channel
        finally:
            channel.end()


class SimChannel:
    """One run of the simulated updater."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self._updater = Updater(node, self._hear, self._overhear, self._over)
        self._lines: deque[bytes] = deque()
        self._held: list[bytes | None] = []
        """What was written while the node was silent; None is the end of the input."""

        self._said = Said()
        self._news = asyncio.Event()
        self._status: int | None = None
        self._is_over = False
        self._is_broken = False
        node.channels.append(self)
        if not node.has_python:
            self._overhear(b"liftlock: no python3\n")
            self._over(NO_PYTHON)

    def awaited(self) -> AbstractContextManager[None]:
        """A connection that breaks is noticed at once."""
        return nullcontext()

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the node takes more."""
        self._refuse_broken()
        if self._is_over:
            return  # it lies in the pipe, as what is written to one that just ends does
        if self._node.silent:
            self._held.append(bytes(data))
            return
        rate = self._node.durations.bytes_per_second
        if rate is not None:
            await self._node.clock.sleep(len(data) / rate)
            self._refuse_broken()
        self._updater.feed(data)

    async def close_input(self) -> None:
        """Say that nothing more comes."""
        if self._node.silent:
            self._held.append(None)
        elif not self._is_over and not self._is_broken:
            self._updater.end_input()

    async def line(self) -> bytes:
        """The next line; empty at the end. While the node is silent, nothing comes."""
        while True:
            self._refuse_broken()
            if not self._node.silent:
                if self._lines:
                    return self._lines.popleft()
                if self._is_over:
                    return b""
            await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        """Where time stands still, a sign of life comes in real time: it is the node's time that
        stands, and not the link."""
        self._news.clear()
        beat = self._updater.beat if self._node.clock.stands_still else None
        try:
            async with asyncio.timeout(beat.seconds() if beat else None):
                await self._news.wait()
        except TimeoutError:
            if beat is not None and not self._node.silent and not self._is_broken:
                beat.say()

    async def exit_status(self) -> int | None:
        """The exit status; None when the channel broke, or it did not end."""
        return self._status if self._is_over and not self._is_broken else None

    def stderr(self) -> str:
        """What was said on standard error."""
        return self._said.text

    def forget_stderr(self, through: bytes) -> bool:
        """Drop what was said up to these bytes."""
        return self._said.forget(through)

    async def more_stderr(self, seen: int) -> int:
        """Wait for more on standard error."""
        return await self._said.more(seen)

    # --- the node's side --------------------------------------------------------------------

    def cut(self) -> None:
        """The connection broke."""
        if not self._is_broken:
            self._is_broken = True
            self._updater.hang_up()
            self._said.close()
            self._news.set()

    def release(self) -> None:
        """The node is no longer silent: what was held arrives, on both sides."""
        held, self._held = self._held, []
        for data in held:
            if self._is_over or self._is_broken:
                break
            if data is None:
                self._updater.end_input()
            else:
                self._updater.feed(data)
        self._news.set()

    def end(self) -> None:
        """Nobody is here any more."""
        if self in self._node.channels:
            self._node.channels.remove(self)
        if not self._is_over and not self._is_broken:
            self._updater.hang_up()
        self._is_broken = True
        self._said.close()

    def _hear(self, line: bytes) -> None:
        if len(line) > wire.MAX_LINE:
            raise AssertionError("no line of ours is longer than the wire takes")
        self._lines.append(line)
        self._news.set()

    def _overhear(self, data: bytes) -> None:
        self._said.add(data)

    def _over(self, status: int) -> None:
        self._is_over = True
        self._status = status
        self._said.close()
        self._news.set()

    def _refuse_broken(self) -> None:
        if self._is_broken:
            raise self._lost("the connection broke")

    def _lost(self, why: str) -> LinkFailed:
        return LinkFailed(Problem("channel-broken", f"{self._node.name}: {why}", self.stderr()))
