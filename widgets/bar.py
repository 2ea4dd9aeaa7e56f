"""A few lines that never scroll: the head of a screen, a stepper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from widgets.cells import Cell, Line, cut, width_of
from widgets.tones import TONES, Ink, entitle, toned_tcss

GAP: Final = 2
"""Blanks between the two parts of a split line, at least."""


@dataclass(frozen=True, slots=True)
class Split:
    """A line with a part at the right edge that stands whole, if it fits at all."""

    left: Line
    right: Line


def joined(content: Line | Split, width: int) -> Line:
    """The line as it stands in `width` cells."""
    if not isinstance(content, Split):
        return cut(content, width)
    right = width_of(content.right)
    room = width - right - GAP if content.left else width - right
    if not right or room < 0 or (content.left and not room):
        return cut(content.left, width)
    left = cut(content.left, room)
    return (*left, Cell(" " * (width - right - width_of(left))), *content.right)


class Bar(Widget):
    """Shows a fixed number of lines, each cut to the width."""

    DEFAULT_CSS = toned_tcss(__file__)
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONES}

    def __init__(
        self, height: int = 1, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.ink = Ink(self)
        self._height = height
        self._lines: tuple[Line | Split, ...] = ()

    def show(self, lines: Sequence[Line | Split]) -> None:
        """Replace what is shown; paint the lines that changed."""
        before, self._lines = self._lines, tuple(lines)
        width = self.size.width
        for y in range(self._height):
            if before[y : y + 1] != self._lines[y : y + 1]:
                self.refresh(Region(0, y, width, 1))

    def entitle(self, title: str, subtitle: str = "") -> None:
        """Set the titles in the border, as text without markup."""
        entitle(self, title, subtitle)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._height

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.ink.dry()

    def render_lines(self, crop: Region) -> list[Strip]:
        self.ink.refill()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        content = joined(self._lines[y], width) if y < len(self._lines) else ()
        return self.ink.strip(content, width)
