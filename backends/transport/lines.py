"""Bytes that come in, lines that go out: a bounded buffer between a connection and its reader."""

import asyncio
from collections.abc import Callable

from backends.node import wire
from backends.transport.link import too_long, too_much

_ENOUGH = 2 * wire.MAX_LINE
"""From so many waiting bytes on, the sender has to wait; below half of it, it may go on."""


class Lines:
    """Keeps what was received until somebody reads it, line by line."""

    def __init__(self, pause: Callable[[bool], None]) -> None:
        """`pause(True)` asks the connection to send no more for now, `pause(False)` to go on."""
        self._pause = pause
        self._kept = bytearray()
        self._searched = 0
        """So far there is no end of a line."""

        self._paused = False
        self._closed = False
        self._excess: tuple[str, int] | None = None
        self._news = asyncio.Event()

    def add(self, data: bytes) -> None:
        """Take what was received."""
        self._kept += data
        if not self._paused and len(self._kept) > _ENOUGH:
            self._paused = True
            self._pause(True)
        self._news.set()

    def close(self) -> None:
        """Nothing more is received."""
        self._closed = True
        self._news.set()

    def refuse(self, what: str, most: int) -> None:
        """Give out nothing any more: something had more bytes than anybody listens to."""
        self._excess = what, most
        self._news.set()

    async def next(self, node: str) -> bytes:
        """The next line with its newline; what is left at the end; then empty.

        Raises:
            LinkFailed: `output-limit`, a line of more than `wire.MAX_LINE` bytes, or a refusal.
        """
        while (end := self._end_of_line(node)) < 0:
            if self._closed:
                rest = bytes(self._kept)
                self._kept.clear()
                self._searched = 0
                return rest
            self._news.clear()
            await self._news.wait()
        found = bytes(self._kept[:end])
        del self._kept[:end]
        self._searched = 0
        if self._paused and len(self._kept) <= _ENOUGH // 2:
            self._paused = False
            self._pause(False)
        return found

    def _end_of_line(self, node: str) -> int:
        """How long the next line is; negative while it is not there."""
        if self._excess is not None:
            raise too_much(node, *self._excess)
        end = self._kept.find(b"\n", self._searched) + 1
        self._searched = len(self._kept)
        if (end or len(self._kept)) > wire.MAX_LINE:
            raise too_long(node)
        return end or -1
