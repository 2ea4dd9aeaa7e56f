"""What a command said on standard error: its first bytes, and a way to wait for more."""

import asyncio

from backends.transport.link import MAX_STDERR


class Said:
    """Keeps at most `MAX_STDERR` bytes, and counts the rest as said."""

    def __init__(self) -> None:
        self._kept = b""
        self._count = 0
        self._closed = False
        self._news = asyncio.Event()

    def add(self, data: bytes) -> None:
        """More was said."""
        self._kept = (self._kept + data)[:MAX_STDERR]
        self._count += len(data)
        self._news.set()

    def forget(self) -> None:
        """Drop what was kept; it stays counted."""
        self._kept = b""

    def close(self) -> None:
        """Nothing more will be said."""
        self._closed = True
        self._news.set()

    @property
    def text(self) -> str:
        """What was kept, as text."""
        return self._kept.decode("utf-8", "backslashreplace").strip()

    async def more(self, seen: int) -> int:
        """Wait until more than `seen` bytes were said, or until the end; how many there are."""
        while self._count <= seen and not self._closed:
            self._news.clear()
            await self._news.wait()
        return self._count
