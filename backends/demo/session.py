"""One SSH session of a node: a channel, its command, and back pressure between the two."""

import asyncio
import os
import signal as signals
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from backends.demo.child import Child

_SHELL = "/bin/sh"
_LOOK_SECONDS = 0.2
"""How often a channel whose input has to wait is looked at: its end would hide behind that."""

_NO_TERMINAL = b"This node of the demo has no terminal; it reads commands until ctrl+d.\r\n"

SIGNALS = {
    name.removeprefix("SIG"): int(signals.Signals[name])
    for name in (
        "SIGABRT",
        "SIGALRM",
        "SIGFPE",
        "SIGHUP",
        "SIGILL",
        "SIGINT",
        "SIGKILL",
        "SIGPIPE",
        "SIGQUIT",
        "SIGSEGV",
        "SIGTERM",
        "SIGUSR1",
        "SIGUSR2",
    )
}
"""The signals that have a name in SSH (RFC 4254, section 6.10)."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where and how the commands of a node run."""

    home: Path
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""

    children: set[Child] = field(default_factory=set)
    """Those that were not seen to end yet."""


class Session(asyncssh.SSHServerSession[bytes]):
    """A command over SSH as sshd runs it.

    A channel that goes takes the command's pipes with it and nothing else. The exit status is
    told when the command has ended and nobody holds its output any more.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._argv: list[str] = []
        self._asked_for_terminal = False
        self._child: Child | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._fell_silent = False
        self._is_gone = False

    # --- from the operator's side ---------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def pty_requested(self, *_terminal: object) -> bool:
        """There are no terminals; OpenSSH says so and goes on without."""
        self._asked_for_terminal = True
        return False

    def shell_requested(self) -> bool:
        """A login shell, which the leading dash makes of it."""
        self._argv = ["-sh"]
        return True

    def exec_requested(self, command: str) -> bool:
        """A command, read by a shell."""
        self._argv = ["sh", "-c", command]
        return True

    def session_started(self) -> None:
        if self._asked_for_terminal and self._argv == ["-sh"]:
            self._channel.write_stderr(_NO_TERMINAL)
        try:
            self._child = Child(
                self._argv,
                program=_SHELL,
                home=self._account.home,
                environment=self._account.environment,
                listener=self,
            )
        except (OSError, ValueError) as error:
            self._channel.write_stderr(f"{_SHELL}: {error}\n".encode())
            self._channel.exit(1)
            return
        self._account.children.add(self._child)

    def data_received(self, data: bytes, _datatype: int | None) -> None:
        if self._child is not None:
            self._child.feed(data)

    def eof_received(self) -> bool:
        """The command's input ends; its output goes on."""
        if self._child is not None:
            self._child.finish_input()
        return True

    def pause_writing(self) -> None:
        if self._child is not None:
            self._child.hold_output()

    def resume_writing(self) -> None:
        if self._child is not None:
            self._child.release_output()

    def signal_received(self, signal: str) -> None:
        """A signal for the command's process group; an unknown one is not passed on."""
        if signal in SIGNALS and self._child is not None and self._child.is_alive:
            with suppress(ProcessLookupError):  # it ended in between
                os.killpg(self._child.pid, SIGNALS[signal])

    def connection_lost(self, _exc: Exception | None) -> None:
        self._is_gone = True
        self._stop_looking()
        if self._child is not None:
            self._child.let_go()

    # --- from the command -----------------------------------------------------------------------

    def said(self, data: bytes, *, is_error: bool) -> None:
        if self._channel.is_closing():
            self._let_it_end()
        elif is_error:
            self._channel.write_stderr(data)
        else:
            self._channel.write(data)

    def fell_silent(self) -> None:
        if not self._channel.is_closing():
            self._channel.write_eof()
            self._fell_silent = True

    def wants_no_more(self) -> None:
        if not self._is_gone:
            self._channel.pause_reading()
            self._look_later()

    def wants_more(self) -> None:
        self._stop_looking()
        if not self._is_gone:
            self._channel.resume_reading()

    def ended(self, status: int) -> None:
        if self._child is not None:
            self._account.children.discard(self._child)
        if status >= 0:
            self._channel.exit(status)
        else:
            self._channel.exit_with_signal(_name_of(-status))

    # --- an end that asyncssh keeps to itself ---------------------------------------------------

    def _look_later(self) -> None:
        self._waiting = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _stop_looking(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _look(self) -> None:
        """Whether the operator's side closed the channel while its input has to wait here.

        asyncssh says `connection_lost` only when all input was taken, which a command that reads
        nothing would put off for ever. After our own end of file a channel always seems to be
        closing, so then the end of the connection decides.
        """
        if self._channel.is_closing() and not self._fell_silent:
            self._let_it_end()
        else:
            self._look_later()

    def _let_it_end(self) -> None:
        """Take what is left of the input, at most a window of 2 MiB: `connection_lost` follows."""
        self._is_gone = True
        self._stop_looking()
        self._channel.resume_reading()


def _name_of(number: int) -> str:
    """A signal's name in SSH; one without is called as sshd calls it."""
    names = {value: name for name, value in SIGNALS.items()}
    return names.get(number, "SIG@openssh.com")
