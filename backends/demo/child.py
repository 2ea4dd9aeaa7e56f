"""A command and its three pipes on the event loop: bytes both ways, and nobody is ever killed.

Callbacks instead of streams, so that whoever is slow is waited for, on either side, and a lost
reader costs the command its pipes and nothing else.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

_PIECE = 65536
"""Bytes that are read or written at once."""

_ENOUGH = 65536
"""Bytes of input that may wait for the command before the sender has to."""

_FIRST_LOOK_SECONDS = 0.001
_LATER_LOOK_SECONDS = 0.1


class Listener(Protocol):
    """Who is told what a command does."""

    def said(self, data: bytes, *, is_error: bool) -> None:
        """It wrote something to standard output, or to standard error."""
        ...

    def fell_silent(self) -> None:
        """Nobody can write to either of the two any more."""
        ...

    def wants_no_more(self) -> None:
        """More input is waiting for the command than is good: do not `feed` for now."""
        ...

    def wants_more(self) -> None:
        """All of the input is with the command."""
        ...

    def ended(self, status: int) -> None:
        """It ended, and its output has been told; negative for a signal."""
        ...


class Child:
    """One command in a session of its own.

    Raises OSError or ValueError when it cannot be started. As with sshd, the end is told when the
    command has ended and nobody holds its output any more.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        program: str,
        home: Path,
        environment: Mapping[str, str],
        listener: Listener,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._pending = bytearray()
        self._is_full = False
        self._input_ends = False
        self._process = subprocess.Popen(
            argv,
            executable=program,
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            umask=0o022,
        )
        self._input, out, err = _pipes(self._process)
        self._outputs = {out: False, err: True}
        for pipe in (self._input, out, err):
            os.set_blocking(pipe.fileno(), False)
        self._listen()

    @property
    def pid(self) -> int:
        """The command's process id, and that of its session and process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it was not seen to end yet."""
        return self._process.poll() is None

    def feed(self, data: bytes) -> None:
        """Hand over input; what the command does not want to read any more is dropped."""
        if not self._input.closed:
            self._pending += data
            self._write()

    def finish_input(self) -> None:
        """The input ends, after what is still waiting."""
        self._input_ends = True
        if not self._input.closed and not self._pending:
            self._close_input()

    def hold_output(self) -> None:
        """Read nothing for now: a full pipe makes the command wait."""
        for pipe in self._outputs:
            self._loop.remove_reader(pipe.fileno())

    def release_output(self) -> None:
        """Read on."""
        self._listen()

    def let_go(self) -> None:
        """Nobody listens any more: the pipes are closed, the command is left alone.

        It gets the input that has arrived, then its end; writing is an EPIPE from now on.
        """
        self.finish_input()
        if self._outputs:
            for pipe in [*self._outputs]:
                self._close_output(pipe)
            self._look_for_end(_FIRST_LOOK_SECONDS)

    def kill(self) -> None:
        """End this one process at once, nothing that it started."""
        self._process.kill()

    def _listen(self) -> None:
        for pipe, is_error in self._outputs.items():
            self._loop.add_reader(pipe.fileno(), self._read, pipe, is_error)

    def _read(self, pipe: IO[bytes], is_error: bool) -> None:
        try:
            data = os.read(pipe.fileno(), _PIECE)
        except BlockingIOError:
            return
        if data:
            self._listener.said(data, is_error=is_error)
            return
        self._close_output(pipe)
        if not self._outputs:
            self._listener.fell_silent()
            self._look_for_end(_FIRST_LOOK_SECONDS)

    def _close_output(self, pipe: IO[bytes]) -> None:
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        del self._outputs[pipe]

    def _write(self) -> None:
        fd = self._input.fileno()
        try:
            # A memoryview that is alive forbids to shorten what it looks at.
            with memoryview(self._pending) as view, view[:_PIECE] as piece:
                written = os.write(fd, piece)
        except BlockingIOError:
            written = 0
        except BrokenPipeError:
            self._close_input()
            return
        del self._pending[:written]
        if self._pending:
            self._loop.add_writer(fd, self._write)
            if len(self._pending) >= _ENOUGH:
                self._tell_full(True)
        elif self._input_ends:
            self._close_input()
        else:
            self._loop.remove_writer(fd)
            self._tell_full(False)

    def _tell_full(self, is_full: bool) -> None:
        if is_full == self._is_full:
            return
        self._is_full = is_full
        if is_full:
            self._listener.wants_no_more()
        else:
            self._listener.wants_more()

    def _close_input(self) -> None:
        self._loop.remove_writer(self._input.fileno())
        self._input.close()
        self._pending.clear()
        self._tell_full(False)

    def _look_for_end(self, seconds: float) -> None:
        """Ask again and again, at first at once: a command usually ends with its output.

        Asking needs neither threads nor signals, and no event loop of a certain kind.
        """
        status = self._process.poll()
        if status is None:
            later = min(2 * seconds, _LATER_LOOK_SECONDS)
            self._loop.call_later(seconds, self._look_for_end, later)
            return
        if not self._input.closed:
            self._close_input()
        self._listener.ended(status)


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("opened with pipes")
    return process.stdin, process.stdout, process.stderr
