"""This machine as a node: the updater as a child process, spoken to exactly as over SSH."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress

from backends.domain.problem import Problem
from backends.node import wire
from backends.transport.link import MAX_SAID, STDERR, Channel, Link, LinkFailed, too_long, too_much
from backends.transport.said import Said

_END_SECONDS = 5.0
"""How long a child may take to end after its input and output are closed."""


class LocalLink:
    """A link to this machine."""

    def __init__(self, node: str) -> None:
        self._node = node

    @property
    def node(self) -> str:
        """The node's name."""
        return self._node

    def fresh(self) -> Link:
        """There is no login to prove on the machine one is on."""
        return LocalLink(self._node)

    async def prepare(self) -> None:
        """One is there already."""

    async def close(self) -> None:
        """Nothing is kept open."""

    @asynccontextmanager
    async def open(self, argv: list[str]) -> AsyncIterator[Channel]:
        """Run a command as a child process in a session of its own."""
        try:
            process = await _start(argv)
        except OSError as error:
            raise LinkFailed(
                Problem("cannot-start", f"{self._node}: cannot run {argv[0]}", str(error))
            ) from error
        channel = LocalChannel(self._node, process)
        # Awaited in `finally`: a task group would wrap what the caller's body raises.
        reading = asyncio.ensure_future(channel.read_stderr())  # noqa: TID251
        try:
            yield channel
        finally:
            await _end(process)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


class LocalChannel:
    """A child process that is the updater."""

    def __init__(self, node: str, process: asyncio.subprocess.Process) -> None:
        self._node = node
        self._process = process
        self._said = Said()

    def awaited(self) -> AbstractContextManager[None]:
        """There is no connection that could die."""
        return nullcontext()

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the child takes more."""
        stdin = self._process.stdin
        if stdin is None:
            raise AssertionError("opened with a pipe")
        try:
            for start in range(0, len(data), wire.CHUNK):
                stdin.write(data[start : start + wire.CHUNK])
                await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._lost() from error

    async def close_input(self) -> None:
        """Say that nothing more comes."""
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
            with suppress(BrokenPipeError, ConnectionResetError):
                await stdin.wait_closed()

    async def line(self) -> bytes:
        """The next line of standard output; empty at its end."""
        stdout = self._process.stdout
        if stdout is None:
            raise AssertionError("opened with a pipe")
        try:
            return await stdout.readline()
        except ValueError as error:
            raise too_long(self._node) from error

    async def exit_status(self) -> int | None:
        """The exit status; None when it did not end or was killed."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            return None
        return status if status >= 0 else None

    def stderr(self) -> str:
        """What was said on standard error."""
        return self._said.text

    def forget_stderr(self, through: bytes) -> bool:
        """Drop what was said up to these bytes."""
        return self._said.forget(through)

    async def more_stderr(self, seen: int) -> int:
        """Wait for more on standard error."""
        return await self._said.more(seen)

    async def read_stderr(self) -> None:
        """Keep the first bytes of standard error, and drain the rest, up to its limit."""
        stderr, stdout = self._process.stderr, self._process.stdout
        if stderr is None or stdout is None:
            raise AssertionError("opened with pipes")
        while piece := await stderr.read(wire.CHUNK):
            self._said.add(piece)
            if self._said.is_too_much:
                stdout.set_exception(too_much(self._node, STDERR, MAX_SAID))
                _close(self._process, 2)
                break
        self._said.close()

    def _lost(self) -> LinkFailed:
        return LinkFailed(
            Problem("channel-broken", f"{self._node}: the updater ended", self.stderr())
        )


async def _start(argv: list[str]) -> asyncio.subprocess.Process:
    """Start the child. Whoever is cancelled meanwhile leaves none behind."""
    starting = asyncio.ensure_future(  # noqa: TID251 - it must be finished also when we are not
        asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=wire.MAX_LINE + 1,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _kill(await starting)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close both ends; a child that does not end by itself is killed. A driver lives on."""
    if process.stdin is not None:
        process.stdin.close()
    _close(process, 1)  # `watch` and `journal` end when nobody reads
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        await _kill(process)
    except asyncio.CancelledError:
        await _kill(process)
        raise


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the child and what it started in its session; a driver has a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()  # first: it is not waited for while a full pipe has no reader
    await process.wait()


def _close(process: asyncio.subprocess.Process, fd: int) -> None:
    """Read nothing more from a pipe: who writes into it is told."""
    transport = getattr(process, "_transport", None)
    pipe = transport.get_pipe_transport(fd) if transport is not None else None
    if pipe is not None:
        pipe.close()
