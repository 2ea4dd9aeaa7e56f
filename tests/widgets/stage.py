"""An app with nothing but the widgets under test, which notes what they say."""

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import App, ComposeResult
from textual.widget import Widget

from widgets.cells import Cell
from widgets.grid import Column, Grid, Row

COLUMNS = (Column("NODE"), Column("RUNS", rank=1), Column("HEALTH", right=True), Column("NOTE"))


class Stage(App[None]):
    """Shows widgets one below the other."""

    def __init__(self, *shown: Widget, css: str = "") -> None:
        super().__init__()
        self.shown = shown
        self.stylesheet.add_source(css)
        self.said: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield from self.shown

    @on(Grid.Pointed)
    def note_pointed(self, event: Grid.Pointed) -> None:
        self.said.append(("pointed", event.key))

    @on(Grid.Opened)
    def note_opened(self, event: Grid.Opened) -> None:
        self.said.append(("opened", event.key))


def row(key: str, *texts: str, marked: bool = False) -> Row:
    """A row of plain cells; the first is the key."""
    return Row(key, tuple(Cell(each) for each in (key, *texts)), marked)


def rows(count: int, note: str = "") -> list[Row]:
    """Rows `n1` to `n<count>`."""
    return [row(f"n{i}", "2.12.8", f"ok {i} s", note) for i in range(1, count + 1)]


def swapped(values: Sequence[Any], first: int, second: int) -> list[Any]:
    """The values with two in each other's place."""
    found = list(values)
    found[first], found[second] = found[second], found[first]
    return found
