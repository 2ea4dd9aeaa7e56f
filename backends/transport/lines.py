"""Bytes that come in, lines that go out: a bounded buffer between a connection and its reader."""

import asyncio
from collections import deque
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
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._waiting = 0
        self._paused = False
        self._closed = False
        self._excess: tuple[str, int] | None = None
        self._news = asyncio.Event()

    def add(self, data: bytes) -> None:
        """Take what was received."""
        first, *more = data.split(b"\n")
        self._rest += first
        for piece in more:
            self._lines.append(bytes(self._rest) + b"\n")
            self._rest = bytearray(piece)
        self._waiting += len(data)
        if not self._paused and self._waiting > _ENOUGH:
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
        if self._excess is not None:
            raise too_much(node, *self._excess)
        while not self._lines:
            if len(self._rest) > wire.MAX_LINE:
                raise too_long(node)
            if self._closed:
                rest, self._rest = bytes(self._rest), bytearray()
                return rest
            self._news.clear()
            await self._news.wait()
            if self._excess is not None:
                raise too_much(node, *self._excess)
        found = self._lines.popleft()
        if len(found) > wire.MAX_LINE:
            raise too_long(node)
        self._waiting -= len(found)
        if self._paused and self._waiting <= _ENOUGH // 2:
            self._paused = False
            self._pause(False)
        return found
