"""A channel whose updater stays: the next question needs no start and no upload of its own.

At most one a node is kept. Whoever takes it has it alone; whoever finds none opens one.
"""

import time
from contextlib import AsyncExitStack

from backends.node import wire
from backends.transport.link import Channel

_FRESH_SECONDS = wire.STAY_SECONDS / 2
"""Not used after so long: the updater would go while it is asked."""


class Kept:
    """Keeps the channel between two questions."""

    def __init__(self) -> None:
        self._stack: AsyncExitStack | None = None
        self._channel: Channel | None = None
        self._since = 0.0

    async def take(self, stack: AsyncExitStack) -> Channel | None:
        """The channel, which `stack` closes from now on; None when there is none that is fresh."""
        kept, channel = self._stack, self._channel
        self._stack = self._channel = None
        if kept is None or channel is None:
            return None
        if time.monotonic() - self._since > _FRESH_SECONDS:
            await kept.aclose()
            return None
        await stack.enter_async_context(kept)
        return channel

    async def put(self, stack: AsyncExitStack, channel: Channel) -> None:
        """Keep a channel over which an answer came whole, with all that closes it."""
        before = self._stack  # of another question, which was asked at the same time
        self._stack, self._channel, self._since = stack.pop_all(), channel, time.monotonic()
        if before is not None:
            await before.aclose()

    async def close(self) -> None:
        """Let the updater go."""
        kept, self._stack, self._channel = self._stack, None, None
        if kept is not None:
            await kept.aclose()
