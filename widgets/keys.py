"""The line of keys at the bottom of a screen: what can be pressed here, now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.dom import DOMNode
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from widgets.cells import Cell, Line, Tone, measure
from widgets.tones import TONES, Ink, toned_tcss

GAP: Final = 2
"""Blanks between two keys."""

KEPT: Final = ("question_mark", "q")
"""Help and quit: they stand at the end, and are never dropped."""


@dataclass(frozen=True)
class Entry:
    """A key that is shown."""

    key: str
    """As Textual names it."""
    display: str
    label: str
    enabled: bool
    action: str
    namespace: DOMNode

    @property
    def cells(self) -> Line:
        """How it reads."""
        quiet = not self.enabled
        key = Cell(self.display, Tone.QUIET if quiet else Tone.KEY)
        label = Cell(f" {self.label}", Tone.QUIET if quiet else Tone.PLAIN)
        return (key, label) if self.label else (key,)

    @property
    def width(self) -> int:
        """In terminal cells."""
        return sum(measure(each.text) for each in self.cells)


def fitting(entries: Sequence[Entry], width: int) -> list[Entry]:
    """The entries that fit, in their order; help and quit come last and go last."""
    kept = sorted((each for each in entries if each.key in KEPT), key=_place_kept)
    found = [each for each in entries if each.key not in KEPT]
    while found and _total([*found, *kept]) > width:
        found.pop()
    return [*found, *kept]


def _place_kept(entry: Entry) -> int:
    return KEPT.index(entry.key)


def _total(entries: Sequence[Entry]) -> int:
    return sum(each.width for each in entries) + GAP * (len(entries) - 1)


class Keys(Widget):
    """Shows the keys that are bound and meant to be shown; a click does what the key does."""

    DEFAULT_CSS = toned_tcss(__file__)
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONES}
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.ink = Ink(self)
        self._entries: tuple[Entry, ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._read)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _read(self, screen: Screen[object]) -> None:
        """Take over the bindings of the moment. One action is shown once, by its first key."""
        if not self.is_attached or screen is not self.screen or not screen.app.app_focus:
            return
        found: dict[tuple[DOMNode, str], Entry] = {}
        for namespace, binding, enabled, _tooltip in screen.active_bindings.values():
            if binding.show:
                display, label = self.app.get_key_display(binding), binding.description
                entry = Entry(binding.key, display, label, enabled, binding.action, namespace)
                found.setdefault((namespace, binding.action), entry)
        entries = tuple(found.values())
        if entries != self._entries:
            self._entries = entries
            self.refresh()

    async def on_click(self, event: events.Click) -> None:
        event.stop()
        offset = event.get_content_offset(self)
        if offset is None:
            return
        left = 0
        for each in fitting(self._entries, self.size.width):
            if left <= offset.x < left + each.width:
                if each.enabled:
                    await self.app.run_action(each.action, each.namespace)
                else:
                    self.app.bell()
                return
            left += each.width + GAP

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.ink.dry()

    def render_lines(self, crop: Region) -> list[Strip]:
        self.ink.refill()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width, content = self.size.width, list[Cell]()
        if y == 0:
            for each in fitting(self._entries, width):
                content += ([Cell(" " * GAP)] if content else []) + [*each.cells]
        return self.ink.strip(tuple(content), width)
