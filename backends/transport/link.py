"""The port: how to run the updater on one node. `ssh`, `local` and simulated nodes answer here.

Bytes only. A channel that ended without an exit status is `None`: unknown, never success.
"""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node import wire

MAX_STDERR = 65536
"""Bytes of standard error that are kept of one channel."""

MAX_SAID = 1 << 20
"""Bytes of standard error after which nobody listens any more."""

STDERR = "standard error"


class LinkFailed(LiftlockError):
    """The node could not be reached, or the channel broke; what it was doing is unknown."""

    def __init__(self, problem: Problem, exit_code: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(problem, exit_code)


class Channel(Protocol):
    """One run of the updater.

    Every method raises `LinkFailed`, and nothing else, when the connection fails.
    """

    def awaited(self) -> AbstractContextManager[None]:
        """While somebody waits for it: a connection that died is noticed within seconds.

        Otherwise it may be silent for long; whoever listens then has a heart beat.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the node takes more."""
        ...

    async def close_input(self) -> None:
        """Say that nothing more comes."""
        ...

    async def line(self) -> bytes:
        """The next line of standard output, at most `wire.MAX_LINE` bytes; empty at its end."""
        ...

    async def exit_status(self) -> int | None:
        """The exit status; None when the channel broke: unknown."""
        ...

    def stderr(self) -> str:
        """What was said on standard error, at most `MAX_STDERR` bytes of it."""
        ...

    def forget_stderr(self, through: bytes) -> bool:
        """Drop what was said on standard error up to these bytes: the command did not say it.

        Returns whether these bytes were there; if not, nothing is dropped.
        """
        ...

    async def more_stderr(self, seen: int) -> int:
        """Wait until more than `seen` bytes were said on standard error, or for its end.

        Returns how many bytes there were; not more than `seen` means the end.
        """
        ...


class Link(Protocol):
    """A way to one node."""

    @property
    def node(self) -> str:
        """The node's name."""
        ...

    async def prepare(self) -> None:
        """Get as far as one can without running anything: connected, logged in, privileged.

        Whatever a person has to be asked for is asked here, without a limit of time; the waits
        for the node have theirs. Returns at once when it is done already.

        Raises:
            LinkFailed: The node could not be reached; its problem says why.
        """
        ...

    def open(self, argv: list[str]) -> AbstractAsyncContextManager[Channel]:
        """Run a command on the node; leaving the context ends the channel.

        Raises:
            LinkFailed: The node could not be reached; its problem says why.
        """
        ...

    def fresh(self) -> "Link":
        """The same node over a connection and a login of its own.

        An accept goes this way: it proves that one can still get in.
        """
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


def too_long(node: str) -> LinkFailed:
    """What to raise for a line beyond `wire.MAX_LINE`."""
    return too_much(node, "a line", wire.MAX_LINE)


def too_much(node: str, what: str, most: int) -> LinkFailed:
    """What to raise for something of more than so many bytes."""
    return LinkFailed(
        Problem(
            "output-limit",
            f"{node}: {what} of more than {most} bytes",
            advice="the node says something that is no answer; look at it by hand",
        )
    )
