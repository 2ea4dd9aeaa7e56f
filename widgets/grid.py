"""A grid of rows with a cursor, drawn line by line: a thousand rows cost what a hundred do.

A row that did not change should be the same `Row` object as before: it is then not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import is_not
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from widgets.cells import Cell, Tone, line, measure, wrapped
from widgets.columns import (
    GUTTER,
    Column,
    Fit,
    beside,
    fitted,
    gutter,
    natural_width,
    titles,
)
from widgets.scrolled import Scrolled
from widgets.tones import TONES, toned_tcss

__all__ = ["Column", "Grid", "Row"]

HEADER: Final = 1
"""Lines above the first row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a grid: a cell for each column, under a key that no other row has."""

    key: str
    cells: tuple[Cell, ...]
    marked: bool = False


class Grid(Scrolled):
    """Shows rows below a header that stays; says which row the person points at and opens."""

    DEFAULT_CSS = toned_tcss(__file__)
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONES, "grid--header", "grid--cursor"}
    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    empty: reactive[str] = reactive("")
    """Shown quietly where there is no row."""

    @dataclass
    class Pointed(Message):
        """The cursor is on another row: moved there, or its row is gone."""

        grid: "Grid"
        key: str

        @property
        def control(self) -> "Grid":
            return self.grid

    @dataclass
    class Opened(Message):
        """The person opened the row under the cursor."""

        grid: "Grid"
        key: str

        @property
        def control(self) -> "Grid":
            return self.grid

    def __init__(
        self, columns: Sequence[Column], *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._rows: tuple[Row, ...] = ()
        self._places: dict[str, int] = {}
        self._at = 0
        self._held = True  # the cursor is kept in view, until the view is scrolled away from it
        self._widest = [0] * len(self._columns)
        self._fits: tuple[Fit, ...] = ()
        self._fitted_to = -1
        self._painted: dict[str, tuple[Row, bool, Strip]] = {}
        self._header: Strip | None = None

    # --- what is shown --------------------------------------------------------------------------

    def show(self, rows: Sequence[Row]) -> None:
        """Replace what is shown; paint what changed of it.

        The cursor stays on its key, or on its place when the key is gone. What was in view stays
        in view.
        """
        before, key, at = self._rows, self.cursor, self._at
        self._rows = after = tuple(rows)
        if len(after) == len(before):
            changed = list(compress(range(len(after)), map(is_not, after, before)))
        else:
            changed = list(range(len(after)))
        if not changed and len(after) == len(before):
            return
        self._index(changed)
        if key is None or key not in self._places:
            self._at = max(0, min(at, len(after) - 1))
        else:
            self._at = self._places[key]
        self.virtual_size = Size(0, HEADER + len(after))
        if self._held:
            self._hold()
        if not self._fit():
            top, end = self.scroll_offset.y, self.scroll_offset.y + self._rows_seen()
            seen = [i for i in changed if top <= i < end]
            stale = [i for i in seen if i >= len(before) or before[i] != after[i]]
            moved = [at, self._at] if at != self._at or not before else []
            self._repaint(stale + moved)
        self._point_out(key)

    def _index(self, changed: list[int]) -> None:
        """Bring up to date where each key is, and what each column has to show."""
        rows, places, columns = self._rows, self._places, range(len(self._columns))
        if any(places.get(rows[i].key) != i for i in changed) or len(places) != len(rows):
            self._places = {row.key: i for i, row in enumerate(rows)}
            if self._places.keys() != places.keys():  # others than before: measured anew
                self._painted.clear()
                self._widest = [0] * len(self._columns)
                changed = list(range(len(rows)))
        widest = self._widest
        for i in changed:  # thousands of cells: no call for most of them
            for place, cell in zip(columns, rows[i].cells, strict=False):
                size = len(text) if (text := cell.text).isascii() else measure(text)
                if size > widest[place]:
                    widest[place] = size

    def _fit(self) -> bool:
        """Fit the columns into the width. Are they others than before?"""
        width = self.room.width
        fits = fitted(self._columns, self._widest, max(0, width - GUTTER))
        if fits == self._fits and width == self._fitted_to:
            return False
        self._fits, self._fitted_to = fits, width
        self.colours_changed()
        self.refresh()
        return True

    # --- the cursor -----------------------------------------------------------------------------

    @property
    def cursor(self) -> str | None:
        """The key of the row under the cursor."""
        return self._rows[self._at].key if self._rows else None

    def point_at(self, key: str) -> None:
        """Put the cursor on a row and bring that into view. A key that is not shown is ignored."""
        if key in self._places:
            self._move_to(self._places[key])

    def _move_to(self, at: int) -> None:
        if not self._rows:
            return
        key, before = self.cursor, self._at
        self._at = max(0, min(at, len(self._rows) - 1))
        self._hold()
        self._repaint([before, self._at])
        self._point_out(key)

    def _point_out(self, before: str | None) -> None:
        key = self.cursor
        if key is not None and key != before:
            self.post_message(self.Pointed(self, key))

    def _rows_seen(self) -> int:
        """How many rows the view has room for."""
        return max(1, self.room.height - HEADER)

    def _hold(self) -> None:
        """Scroll as little as brings the cursor into view."""
        self._held = True
        if not self.size:  # not laid out: done on the first resize
            return
        top = self.scroll_offset.y
        wanted = min(max(top, self._at - self._rows_seen() + 1), self._at)
        if wanted != top:
            self.scroll_now(wanted)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._held = 0 <= self._at - round(new_value) < self._rows_seen()

    def action_move(self, rows: int) -> None:
        self._move_to(self._at + rows)

    def action_page(self, pages: float) -> None:
        step = max(1, int(abs(pages) * self._rows_seen() - (abs(pages) >= 1)))
        self._move_to(self._at + (step if pages > 0 else -step))

    def action_first(self) -> None:
        self._move_to(0)

    def action_last(self) -> None:
        self._move_to(len(self._rows) - 1)

    def action_open(self) -> None:
        if self.cursor is not None:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < HEADER:
            return
        at = offset.y - HEADER + self.scroll_offset.y
        if at >= len(self._rows):
            return
        event.stop()
        if at == self._at:
            self.action_open()
        else:
            self._move_to(at)

    # --- painting -------------------------------------------------------------------------------

    def _repaint(self, places: list[int]) -> None:
        top = self.scroll_offset.y
        self.repaint_lines(HEADER + at - top for at in places if at >= top)

    def colours_changed(self) -> None:
        self._painted.clear()
        self._header = None

    def reflow(self) -> None:
        self._fit()
        if self._held:
            self._hold()

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return GUTTER + natural_width(self._columns, self._widest)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return HEADER + max(1, len(self._rows))

    def render_line(self, y: int) -> Strip:
        width = self.breadth
        if y < HEADER:
            if self._header is None:
                content = line(" " * GUTTER, *titles(self._columns, self._fits))
                self._header = self.ink.strip(content, width, "grid--header")
            return self._header
        at = y - HEADER + self.scroll_offset.y
        if at < len(self._rows):
            return self._row(at, width)
        return self._nothing(at, width) if not self._rows else self.ink.blank(width)

    def _row(self, at: int, width: int) -> Strip:
        row, pointed = self._rows[at], at == self._at
        known = self._painted.get(row.key)
        if known and known[0] is row and known[1] == pointed:
            return known[2]
        cells = beside(self._columns, self._fits, row.cells)
        content = (*gutter(pointed, row.marked), *cells)
        strip = self.ink.strip(content, width, "grid--cursor" if pointed else "")
        self._painted[row.key] = (row, pointed, strip)
        return strip

    def _nothing(self, at: int, width: int) -> Strip:
        rows = wrapped(line((self.empty, Tone.QUIET)), width - GUTTER)
        content = line(" " * GUTTER, *rows[at]) if at < len(rows) else ()
        return self.ink.strip(content, width)
