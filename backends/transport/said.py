"""What a command said on standard error: its first bytes, and a way to wait for more."""

import asyncio

from backends.transport.link import MAX_SAID, MAX_STDERR

_MARGIN = 16384
"""Kept beyond the limit, so that forgetting a beginning does not cost an end."""


class Said:
    """Keeps at most `MAX_STDERR` bytes, and counts the rest as said."""

    def __init__(self) -> None:
        self._kept = b""
        self._count = 0
        self._closed = False
        self._news = asyncio.Event()

    def add(self, data: bytes) -> None:
        """More was said."""
        self._kept = (self._kept + data)[: MAX_STDERR + _MARGIN]
        self._count += len(data)
        self._news.set()

    def forget(self, through: bytes) -> bool:
        """Drop what was kept up to these bytes, and them; whether they were there."""
        _, found, rest = self._kept.partition(through)
        if found:
            self._kept = rest
        return bool(found)

    def close(self) -> None:
        """Nothing more will be said."""
        self._closed = True
        self._news.set()

    @property
    def is_too_much(self) -> bool:
        """Whether more was said than anybody listens to."""
        return self._count > MAX_SAID

    @property
    def text(self) -> str:
        """What was kept, as text."""
        return self._kept[:MAX_STDERR].decode("utf-8", "backslashreplace").strip()

    async def more(self, seen: int) -> int:
        """Wait until more than `seen` bytes were said, or until the end; how many there are."""
        while self._count <= seen and not self._closed:
            self._news.clear()
            await self._news.wait()
        return self._count
