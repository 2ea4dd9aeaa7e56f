"""Where a tone becomes a style, for every widget in here; the looks are in `tones.tcss`."""

from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from widgets.cells import Cell, Line, Tone, cut, width_of
from widgets.styles import sibling_tcss

TONES: Final = frozenset(f"tone--{each}" for each in Tone)
"""The component classes of a widget that has tones."""


def toned_tcss(module_file: str) -> str:
    """The `DEFAULT_CSS` of a widget that has tones: theirs, then its own."""
    return sibling_tcss(__file__) + sibling_tcss(module_file)


def inert(text: str) -> Content:
    """A text for whatever is not made of cells: Textual would take a `str` for markup."""
    return Content(Cell(text).text)


def entitle(widget: Widget, title: str, subtitle: str = "") -> None:
    """Set what stands in the widget's border."""
    for name, text in (("border_title", title), ("border_subtitle", subtitle)):
        content = inert(text) if text else None
        if getattr(widget, name) != (content and content.markup):
            setattr(widget, name, content)


class Ink:
    """Paints lines for one widget, in its colours of the moment."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._base = Style()
        self._styles: dict[tuple[Tone, str], Style] = {}
        self._fresh = False

    def dry(self) -> None:
        """Forget every style: the widget's styles changed."""
        self._fresh = False

    def refill(self) -> bool:
        """Take the widget's colours as they are now. Were they others before?

        To be asked once per painting: what an ancestor's background changes is announced to
        nobody.
        """
        base = self._widget.rich_style
        if self._fresh and base == self._base:
            return False
        self._base, self._fresh = base, True
        self._styles.clear()
        return True

    def style(self, tone: Tone = Tone.PLAIN, under: str = "") -> Style:
        """A tone's style, above the component class `under` where one is named."""
        style = self._styles.get((tone, under))
        if style is None:
            style = self._styles[tone, under] = self._mixed(tone, under)
        return style

    def _mixed(self, tone: Tone, under: str) -> Style:
        look = self._widget.get_component_rich_style
        below = look(under) if under else self._base
        own = look(f"tone--{tone}", partial=True)
        if below.reverse:  # a colour would become a block behind the text
            return below + own.without_color
        if own.color is not None:  # mixed with the background, as `auto` and alpha ask for
            own += Style(color=look(f"tone--{tone}").color)
        return below + own

    def strip(self, content: Line, width: int, under: str = "") -> Strip:
        """The line in exactly `width` cells."""
        room = width - width_of(content)
        if room < 0:
            content = cut(content, width)
            room = width - width_of(content)  # half of a wide letter may be left
        segments = [Segment(each.text, self.style(each.tone, under)) for each in content]
        if room > 0:
            segments.append(Segment(" " * room, self.style(Tone.PLAIN, under)))
        return Strip(segments, width)

    def blank(self, width: int) -> Strip:
        """An empty line."""
        return Strip.blank(width, self._base)
