"""Where the engine's thread leaves news for the screen, which takes them many at a time."""

from collections import deque
from collections.abc import Callable

from app.between.news import News


class Mailbox:
    """Filled by one thread, emptied by the other; the first letter rings, the next ones do not."""

    def __init__(self) -> None:
        self._letters: deque[News] = deque()
        self._ring: Callable[[], None] | None = None
        self._has_rung = False

    def when_filled(self, ring: Callable[[], None]) -> None:
        """Have this called, in the filling thread, when there is something after there was not."""
        self._ring = ring
        if self._letters:
            self._has_rung = True
            ring()

    def put(self, letter: News) -> None:
        """Leave one; from any thread."""
        self._letters.append(letter)
        if not self._has_rung and self._ring is not None:
            self._has_rung = True
            self._ring()

    def empty(self) -> list[News]:
        """Take all that are there, in their order."""
        self._has_rung = False  # before they are taken: what comes from now on rings again
        found: list[News] = []
        while self._letters:
            found.append(self._letters.popleft())
        return found
