"""Commands that only look are told together: a node is asked for its status again and again."""

from dataclasses import replace

from backends.engine.asked import Asked
from backends.node import wire

Told = tuple[Asked, int]
"""A command with the id of the last time, the seconds of all together, and how many times."""


class Looks:
    """What was looked at and is not told yet. Nothing is left out: it is counted."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Told] = {}

    def before(self, asked: Asked) -> list[Told]:
        """What is to be told now that this was asked, it among them unless it only looks.

        One that acts comes after all looks at its node; one that came to something else than
        those before it comes after them.
        """
        place = asked.node, asked.command
        if asked.command not in wire.READ_ONLY:
            return [*self._of(asked.node), (asked, 1)]
        known, times = self._waiting.pop(place, (None, 0))
        if known is None or (known.outcome, known.code) != (asked.outcome, asked.code):
            self._waiting[place] = asked, 1
            return [(known, times)] if known is not None else []
        seconds = known.seconds + asked.seconds
        self._waiting[place] = replace(asked, began=known.began, seconds=seconds), times + 1
        return []

    def rest(self) -> list[Told]:
        """All that is not told yet."""
        found = [*self._waiting.values()]
        self._waiting.clear()
        return found

    def _of(self, node: str) -> list[Told]:
        places = [place for place in self._waiting if place[0] == node]
        return [self._waiting.pop(place) for place in places]
