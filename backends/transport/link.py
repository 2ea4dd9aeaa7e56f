"""The port: how to run the updater on one node. `ssh`, `local` and simulated nodes answer here.

Bytes only. A channel that ended without an exit status is `None`: unknown, never success.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from backends.domain.problem import Exit, LiftlockError, Problem

MAX_STDERR = 65536
"""Bytes of standard error that are kept of one channel."""


class LinkFailed(LiftlockError):
    """The node could not be reached, or the channel broke; what it was doing is unknown."""

    def __init__(self, problem: Problem, exit_code: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(problem, exit_code)


class Channel(Protocol):
    """One run of the updater.

    Every method raises `LinkFailed`, and nothing else, when the connection fails.
    """

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the node takes more."""
        ...

    async def close_input(self) -> None:
        """Say that nothing more comes."""
        ...

    def lines(self) -> AsyncIterator[bytes]:
        """Lines of standard output, each at most `wire.MAX_LINE` bytes, until it is closed."""
        ...

    async def exit_status(self) -> int | None:
        """The exit status; None when the channel broke: unknown."""
        ...

    def stderr(self) -> str:
        """What was said on standard error, at most `MAX_STDERR` bytes of it."""
        ...


class Link(Protocol):
    """A way to one node."""

    @property
    def node(self) -> str:
        """The node's name."""
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
