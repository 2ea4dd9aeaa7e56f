"""Nodes over SSH: one connection a node, and every run of the updater a channel on it.

asyncssh speaks the protocol. Bytes only, no terminal, no forwarding, nothing of our environment.
A connection that broke is made anew by whoever comes next; what a channel was doing is unknown.
"""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import asyncssh

from backends.domain.clean import line
from backends.domain.problem import Problem
from backends.node import wire
from backends.transport.lines import Lines
from backends.transport.link import MAX_SAID, STDERR, Channel, Link, LinkFailed
from backends.transport.said import Said
from backends.transport.ssh_dialer import CALM, Dialer
from backends.transport.way import Way

_OPEN_SECONDS = 5.0
"""How long a node may take to open a channel; then the connection counts as dead."""

_CLOSE_SECONDS = 1.0
_ALERT = (2, 2)
"""Seconds and count of keepalives while somebody waits: a dead connection is noticed after 6 s."""

_END_SECONDS = 5.0
"""How long a command may take to say how it ended, after its output did."""


class SshLink:
    """A link to a node over SSH."""

    def __init__(self, way: Way, dialer: Dialer) -> None:
        self._way = way
        self._dialer = dialer
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._waiting = _Waiting()

    @property
    def node(self) -> str:
        """The node's name."""
        return self._way.node

    def fresh(self) -> Link:
        """The same node over a connection and a login of its own."""
        return SshLink(self._way, self._dialer)

    async def prepare(self) -> None:
        """Connect and log in, unless that is done."""
        await self._connected()

    async def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await connection.wait_closed()
            connection.abort()

    @asynccontextmanager
    async def open(self, argv: list[str]) -> AsyncIterator[Channel]:
        """Run a command on the node. It has no terminal and nothing of our environment."""
        # `exec`: how it ended is told by the command itself, not by a login shell around it.
        channel = await self._opened(f"exec {shlex.join(argv)}")
        try:
            yield channel
        finally:
            await channel.leave()

    async def _connected(self) -> tuple[asyncssh.SSHClientConnection, bool]:
        """The connection, and whether it was there already."""
        async with self._connecting:
            if self._connection is not None and not self._connection.is_closed():
                return self._connection, True
            self._connection = await self._dialer.connect(self._way)
            return self._connection, False

    async def _opened(self, command: str) -> "SshChannel":
        """A channel; over a new connection when the one that was there turns out to be dead.

        Nothing runs twice: the updater does nothing before it has read its request.
        """
        connection, was_there = await self._connected()
        try:
            return await self._session(connection, command)
        except LinkFailed as error:
            if not was_there or error.problem.code != "channel-broken":
                raise
        connection, _ = await self._connected()
        return await self._session(connection, command)

    async def _session(
        self, connection: asyncssh.SSHClientConnection, command: str
    ) -> "SshChannel":
        session = _Session()
        began = time.monotonic()
        # Of its own: asyncssh forgets a channel whose opening is cancelled, and leaves it open.
        opening: _Opening = asyncio.ensure_future(  # noqa: TID251
            connection.create_session(
                lambda: session,
                command,
                encoding=None,
                env=None,
                send_env=None,
                request_pty=False,
                x11_forwarding=False,
            )
        )
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                channel, _ = await asyncio.shield(opening)
        except TimeoutError as error:
            opening.add_done_callback(_close)
            self._give_up(connection)  # it does not even answer
            raise self._lost(f"no channel within {_OPEN_SECONDS:g} s") from error
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            left = _CLOSE_SECONDS - (time.monotonic() - began)
            await asyncio.wait([opening], timeout=max(left, 0.0))
            if not opening.done():
                self._give_up(connection)  # longer than any living node needs
            raise
        except asyncssh.ChannelOpenError as error:
            await asyncio.sleep(0)  # a connection that just broke is closed a turn later
            if connection.is_closed():
                raise self._lost(error.reason) from error
            raise self._refused(error.reason) from error
        except (asyncssh.Error, OSError) as error:
            self._give_up(connection)
            raise self._lost(str(error)) from error
        return SshChannel(self._way.node, partial(self._waiting.on, connection), channel, session)

    def _give_up(self, connection: asyncssh.SSHClientConnection) -> None:
        connection.abort()  # it is closed a turn later, and must not be used until then
        if self._connection is connection:
            self._connection = None

    def _lost(self, why: str) -> LinkFailed:
        return LinkFailed(
            Problem("channel-broken", f"{self._way.node}: the connection is lost", line(why))
        )

    def _refused(self, why: str) -> LinkFailed:
        return LinkFailed(
            Problem(
                "channel-refused",
                f"{self._way.node}: it opens no further session",
                line(why),
                "Its sshd may limit sessions (MaxSessions) or allow no commands.",
            )
        )


_Opening = asyncio.Future[
    tuple["asyncssh.SSHClientChannel[Any]", "asyncssh.SSHClientSession[Any]"]
]


def _close(opening: _Opening) -> None:
    """Close a channel that nobody waited for, now that it is open."""
    if not opening.cancelled() and opening.exception() is None:
        channel, _ = opening.result()
        channel.abort()


class _Waiting:
    """Whoever waits for something of a node, through any channel."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def on(self, connection: asyncssh.SSHClientConnection) -> Iterator[None]:
        """While somebody waits, ask often whether the node is still there."""
        self._count += 1
        if not connection.is_closed():
            connection.set_keepalive(*_ALERT)
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0 and not connection.is_closed():
                connection.set_keepalive(*CALM)


class SshChannel:
    """A command that runs on the node."""

    def __init__(
        self,
        node: str,
        waiting: Callable[[], AbstractContextManager[None]],
        channel: asyncssh.SSHClientChannel[bytes],
        session: "_Session",
    ) -> None:
        self._node = node
        self._waiting = waiting
        self._channel = channel
        self._session = session

    def awaited(self) -> AbstractContextManager[None]:
        """While somebody waits for it."""
        return self._waiting()

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the node takes more."""
        session = self._session
        for start in range(0, len(data), wire.CHUNK):
            if session.closed.is_set() or self._channel.is_closing():
                raise self._broken()
            self._channel.write(data[start : start + wire.CHUNK])
            # Waiting yields only when the window is full; other nodes want their turn, too.
            await asyncio.sleep(0)
            await session.writable.wait()
        if session.closed.is_set():
            raise self._broken()

    async def close_input(self) -> None:
        """Say that nothing more comes."""
        if not self._channel.is_closing():
            self._channel.write_eof()

    async def line(self) -> bytes:
        """The next line of standard output; empty at its end."""
        return await self._session.lines.next(self._node)

    async def exit_status(self) -> int | None:
        """The exit status; None when the channel broke or the command was killed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._session.closed.wait()
        return self._session.status

    def stderr(self) -> str:
        """What was said on standard error; after a broken connection, why it broke."""
        return " ".join(filter(None, (self._session.said.text, self._session.broken)))

    def forget_stderr(self, through: bytes) -> bool:
        """Drop what was said up to these bytes."""
        return self._session.said.forget(through)

    async def more_stderr(self, seen: int) -> int:
        """Wait for more on standard error."""
        return await self._session.said.more(seen)

    async def leave(self) -> None:
        """Close the channel: the command finds its input and output closed."""
        self._channel.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._channel.wait_closed()

    def _broken(self) -> LinkFailed:
        return LinkFailed(
            Problem("channel-broken", f"{self._node}: the updater ended", self.stderr())
        )


class _Session(asyncssh.SSHClientSession[bytes]):
    """What asyncssh tells about one channel."""

    def __init__(self) -> None:
        self.lines = Lines(self._pause)
        self.said = Said()
        self.status: int | None = None
        self.broken = ""
        self.closed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.said.add(data)
            if self.said.is_too_much:
                self.lines.refuse(STDERR, MAX_SAID)
        else:
            self.lines.add(data)

    def eof_received(self) -> bool:
        self.lines.close()
        self.said.close()
        return True  # only its side has ended: we may still be sending

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.broken = line(f"connection lost: {exc}")
        self.lines.close()
        self.said.close()
        self.writable.set()
        self.closed.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _pause(self, paused: bool) -> None:
        if self._channel is not None:
            if paused:
                self._channel.pause_reading()
            else:
                self._channel.resume_reading()
