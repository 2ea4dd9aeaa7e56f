"""What the grid and the lines have in common: a scrolled view that paints its own lines."""

from collections.abc import Iterable

from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.tones import Ink, entitle


class Scrolled(ScrollView, can_focus=True):
    """A view that paints only what changed of what is visible."""

    ink: Ink
    """What it paints with."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.ink = Ink(self)
        self.breadth = 0
        """How wide the lines are that are being painted."""

    def entitle(self, title: str, subtitle: str = "") -> None:
        """Set the titles in the border, as text without markup."""
        entitle(self, title, subtitle)

    @property
    def room(self) -> Size:
        """What is free for content. `size` would count the scrollbars in."""
        return self.size - self.scrollbar_gutter.totals

    def reflow(self) -> None:
        """Called when there may be another room for the content."""

    def on_resize(self) -> None:
        self.reflow()

    def watch_show_vertical_scrollbar(self) -> None:
        if self.show_vertical_scrollbar:  # where the view is, it was told only while it was shown
            self.vertical_scrollbar.position = self.scroll_y
        self.call_after_refresh(self.reflow)  # no resize is announced for it

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.ink.dry()

    def render_lines(self, crop: Region) -> list[Strip]:
        self.breadth = self.room.width
        if self.ink.refill():
            self.colours_changed()
        return super().render_lines(crop)

    def colours_changed(self) -> None:
        """Called before painting in other colours than last time: what was painted is stale."""

    def scroll_now(self, top: float) -> None:
        """Show the content from this line on, as far as there is so much."""
        self.scroll_to(y=top, animate=False, force=True)

    def repaint_lines(self, ys: Iterable[int]) -> None:
        """Paint these lines of the view again, or all when that is more than half of them."""
        width, height = self.room
        dirty = sorted({y for y in ys if 0 <= y < height})
        if 2 * len(dirty) > height:
            self.refresh()
        elif dirty:
            self.refresh(*(Region(0, y, width, 1) for y in dirty))
