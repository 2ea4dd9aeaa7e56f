"""A scrolled text of toned lines: a journal, evidence, a panel.

What was shown before should come as the same `Line` objects: they are then not looked at again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip

from widgets.cells import Line, Tone, line, measure, spans, text_of, width_of, wrapped
from widgets.scrolled import Scrolled
from widgets.tones import TONES, toned_tcss


class Lines(Scrolled):
    """Shows lines, wrapped to its width; may follow them as they come."""

    DEFAULT_CSS = toned_tcss(__file__)
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONES}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False),
        Binding("home,g", "first", "Start", show=False),
        Binding("end,G", "last", "End", show=False),
    ]

    empty: reactive[str] = reactive("")
    """Shown quietly where there is no line."""

    def __init__(
        self,
        *,
        follow: bool = False,
        wrap: bool = True,
        indent: int = 2,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.set_class(not wrap, "-unwrapped")
        self._follow = follow
        self._wrap = wrap
        self._indent = indent
        self._following = follow
        self._lines: tuple[Line, ...] = ()
        self._firsts = [0]
        """The row each line begins at, then the number of rows."""
        self._wrapped_to = 0
        self._widest = 0
        self._painted: dict[int, Strip] = {}
        """By row."""
        self._last: tuple[Line, list[Line]] = ((), [])
        """The line that was wrapped last, and its rows."""

    # --- what is shown --------------------------------------------------------------------------

    def show(self, lines: Sequence[Line]) -> None:
        """Replace what is shown, or go on after it; paint what changed of it."""
        before, after = self._lines, tuple(lines)
        if after == before:
            return
        visible = self._visible()
        self._lines = after
        if before and len(after) > len(before) and after[: len(before)] == before:
            self._measure(after[len(before) :])
            self._resized()
            top = self._firsts[len(before)] - self.scroll_offset.y
            self.repaint_lines(range(max(0, top), self.room.height))
        else:
            self._begin_anew()
            self._resized()
            pairs = zip(visible, self._visible(), strict=True)
            self.repaint_lines(y for y, (old, new) in enumerate(pairs) if old != new)

    def _begin_anew(self) -> None:
        self._firsts = [0]
        self._widest = 0
        self._last = ((), [])
        self._painted.clear()
        self._measure(self._lines)

    def _measure(self, lines: Sequence[Line]) -> None:
        """Count the rows of lines that come after those counted."""
        row = self._firsts[-1]
        width = self._wrapped_to
        for each in lines:
            size = width_of(each)
            self._widest = max(self._widest, size)
            wraps = self._wrap and size > width > 0
            row += len(spans(text_of(each), width, self._indent)) if wraps else 1
            self._firsts.append(row)

    def _resized(self) -> None:
        """The number of rows changed."""
        self.virtual_size = Size(0 if self._wrap else self._widest, self._firsts[-1])
        if self._following and self.size:  # else on the first resize
            self.scroll_now(self.max_scroll_y)

    def _visible(self) -> list[Line]:
        top = self.scroll_offset.y
        return [self._content(top + y) for y in range(self.room.height)]

    def _content(self, row: int) -> Line:
        """What stands in a row of the wrapped text."""
        if row >= self._firsts[-1]:
            return ()
        at = bisect_right(self._firsts, row) - 1
        content, count = self._lines[at], self._firsts[at + 1] - self._firsts[at]
        if count == 1:
            return content
        if self._last[0] is not content:
            self._last = content, wrapped(content, self._wrapped_to, self._indent)
        return self._last[1][row - self._firsts[at]]

    # --- the place in it ------------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = self._follow and round(new_value) >= self.max_scroll_y

    def reflow(self) -> None:
        following, width = self._following, self.room.width
        if self._wrap and width != self._wrapped_to:
            top = bisect_right(self._firsts, self.scroll_offset.y) - 1
            self._wrapped_to = width
            self._begin_anew()
            self.virtual_size = Size(0, self._firsts[-1])
            self.scroll_now(self._firsts[min(top, len(self._lines))])
        self._following = following
        self._resized()

    def _scroll_by(self, rows: int) -> None:
        if not self.max_scroll_y:
            raise SkipAction
        self.scroll_now(self.scroll_offset.y + rows)

    def action_move(self, rows: int) -> None:
        self._scroll_by(rows)

    def action_page(self, pages: float) -> None:
        height = self.room.height
        step = max(1, int(abs(pages) * height - (abs(pages) >= 1)))
        self._scroll_by(step if pages > 0 else -step)

    def action_first(self) -> None:
        self._scroll_by(-self.scroll_offset.y)

    def action_last(self) -> None:
        self._scroll_by(self.max_scroll_y)

    # --- painting -------------------------------------------------------------------------------

    def colours_changed(self) -> None:
        self._painted.clear()

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return max(self._widest, measure(self.empty) if not self._lines else 0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        width -= self.scrollbar_gutter.width
        if not self._lines:
            return len(wrapped(line(self.empty), width))
        if not self._wrap or width == self._wrapped_to:
            return self._firsts[-1]
        return sum(len(wrapped(each, width, self._indent)) for each in self._lines)

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        width, row = self.breadth, y + top
        if not self._lines:
            return self._nothing(row, width)
        if row >= self._firsts[-1]:
            return self.ink.blank(width)
        strip = self._painted.get(row)
        if strip is None:
            content = self._content(row)
            wide = width if self._wrap else max(width, width_of(content))
            strip = self._painted[row] = self.ink.strip(content, wide)
        return strip if self._wrap else strip.crop_extend(left, left + width, self.ink.style())

    def _nothing(self, row: int, width: int) -> Strip:
        rows = wrapped(line((self.empty, Tone.QUIET)), width)
        return self.ink.strip(rows[row] if row < len(rows) else (), width)
