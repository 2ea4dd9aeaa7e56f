"""The journal as the screen keeps it: every event once, and its lines by run."""

from collections.abc import Iterable, Sequence

from app.view.journal import lines_of
from backends.engine.events import Event
from widgets.cells import Line


class Notebook:
    """Only grows. What has a key is the same record, however often and by whomever it is told."""

    def __init__(self, width: int) -> None:
        """`width` is that of the longest node name."""
        self._width = width
        self._keys: set[str] = set()
        self._lines: dict[str, list[Line]] = {}
        self.events: list[Event] = []

    def note(self, events: Iterable[Event]) -> None:
        """Write down what is new."""
        for event in events:
            if event.key and event.key in self._keys:
                continue
            self._keys.add(event.key)
            self.events.append(event)
            self._lines.setdefault(event.run, []).extend(lines_of(event, self._width))

    def lines(self, *runs: str) -> Sequence[Line]:
        """What was told about these runs, one run after the other; of all when none is named."""
        wanted = dict.fromkeys(runs or self._lines)
        return [text for run in wanted for text in self._lines.get(run, ())]

    def of_node(self, node: str) -> list[Event]:
        """What was told about a node, in the order of its times."""
        return sorted((each for each in self.events if each.node == node), key=_time)


def _time(event: Event) -> float:
    return event.time
