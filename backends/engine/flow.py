"""How much one node may say, and how fast: what it says beyond that hurts nobody but itself.

Whoever listens to one node gives way to the others after each message. Source: notes on
reliability, promise P11 and row 67.
"""

import asyncio
import time
from typing import Protocol

from backends.transport.link import too_much

WHOLE_BYTES = 4 << 20
"""The longest answer that is kept whole: facts, rows of checks, what an act came to."""

WATCH_BYTES_PER_SECOND, WATCH_BURST_BYTES = 64 << 10, 128 << 10
"""Twenty events a second, more than any node of ours has to say, are 30 KiB.

What comes at once is read at once, and delays the other nodes: 512 KiB of facts made their
readings take some 17 % longer, 128 KiB some 8 %.
"""

JOURNAL_BYTES_PER_SECOND, JOURNAL_BURST_BYTES = 512 << 10, 8 << 20
"""1,000 files that were installed and went back are 0.7 MiB of journal: ten times that at once."""

JOURNAL_BYTES = 64 << 20
"""The longest journal that is read: no other is one of ours."""

_LEAST_BYTES = 512
"""As much work as this a message is, however short."""


class Flow(Protocol):
    """What is heard on one channel."""

    keeps: bool
    """Whether the messages are kept until the answer is complete."""

    async def take(self, size: int) -> None:
        """Take a message of so many bytes, when it is its turn.

        Raises:
            LinkFailed: `output-limit`, it was too much.
        """
        ...


class Whole:
    """An answer that is kept until it is complete: there is an end to its size."""

    keeps = True

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
    """Messages of which the answer keeps none: there is a rate."""

    keeps = False

    def __init__(self, per_second: int, burst: int) -> None:
        """Bytes; the burst is what may come at once, after as long a pause as it takes to fill."""
        self._per_second = per_second
        self._burst = float(burst)
        self._left = float(burst)
        self._at = time.monotonic()

    async def take(self, size: int) -> None:
        """Wait for as long as it came too early; the connection has the sender wait meanwhile."""
        now = time.monotonic()
        refilled = self._left + (now - self._at) * self._per_second
        self._left = min(refilled, self._burst) - max(size, _LEAST_BYTES)
        self._at = now
        await asyncio.sleep(max(0.0, -self._left / self._per_second))


class Journal(Stream):
    """A node's journal, which may come fast and still has an end to its size."""

    def __init__(self, node: str) -> None:
        super().__init__(JOURNAL_BYTES_PER_SECOND, JOURNAL_BURST_BYTES)
        self._node = node
        self._most = JOURNAL_BYTES

    async def take(self, size: int) -> None:
        """Refuse what is no journal."""
        self._most -= size
        if self._most < 0:
            raise too_much(self._node, "a journal", JOURNAL_BYTES)
        await super().take(size)


class Watch(Stream):
    """What a resident process says of its node, for as long as it lives."""

    def __init__(self) -> None:
        super().__init__(WATCH_BYTES_PER_SECOND, WATCH_BURST_BYTES)
