"""How much one node may say, and how fast: what it says beyond that hurts nobody but itself.

Whoever listens to one node gives way to the others after each message. Source: notes on
reliability, promise P11 and row 67.
"""

import asyncio
import time
from typing import Protocol

from backends.transport.link import too_much

WHOLE_BYTES = 4 << 20
"""The longest whole answer. The journal of an upgrade of 10,000 files has about 2 MiB."""

STREAM_BYTES_PER_SECOND = 64 << 10
BURST_BYTES = 512 << 10
"""A stream says what is there already at once, and news at the rate. Twenty events a second, more
than any node of ours has to say, are 30 KiB."""

_LEAST_BYTES = 512
"""As much work as this a message is, however short."""


class Flow(Protocol):
    """What is heard on one channel."""

    async def take(self, size: int) -> None:
        """Take a message of so many bytes, when it is its turn.

        Raises:
            LinkFailed: `output-limit`, it was too much.
        """
        ...


class Whole:
    """An answer that is kept until it is complete: there is an end to its size."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._left = WHOLE_BYTES

    async def take(self, size: int) -> None:
        """Refuse what cannot be kept."""
        self._left -= size
        if self._left < 0:
            raise too_much(self._node, "an answer", WHOLE_BYTES)
        await asyncio.sleep(0)


class Stream:
    """Messages of which none is kept, for as long as the channel lives: there is a rate."""

    def __init__(self) -> None:
        self._left = float(BURST_BYTES)
        self._at = time.monotonic()

    async def take(self, size: int) -> None:
        """Wait for as long as it came too early; the connection has the sender wait meanwhile."""
        now = time.monotonic()
        refilled = self._left + (now - self._at) * STREAM_BYTES_PER_SECOND
        self._left = min(refilled, BURST_BYTES) - max(size, _LEAST_BYTES)
        self._at = now
        await asyncio.sleep(max(0.0, -self._left / STREAM_BYTES_PER_SECOND))
