"""What every screen has: the three lines that say where we stand, and the keys at the bottom."""

import time
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

from app.commands import BACK, HELP, PANEL, QUIT, STOP, ZOOM, Command
from app.picture import Picture
from app.view.banner import banner
from app.view.next_step import NextStep
from widgets.bar import Bar
from widgets.keys import Keys

if TYPE_CHECKING:
    from app.application import LiftlockApp

DEAD_SECONDS = 1.0
"""For so long `n` does nothing after what it would do has changed (design.md, section 8)."""


def offers(*commands: Command) -> list[BindingType]:
    """The bindings of a screen: its own commands first, then those that all screens have."""
    # What the second line names must work wherever that line is: `x` too.
    everywhere = (STOP, PANEL, ZOOM, BACK, HELP, QUIT)
    return [command.binding() for command in dict.fromkeys((*commands, *everywhere))]


class LiveScreen(Screen[None]):
    """A screen that is shown again whenever something has changed."""

    AUTO_FOCUS = "#first"

    def __init__(self) -> None:
        super().__init__()
        self._target: object = None
        self._target_since = 0.0
        self._is_whole = False
        self._hidden: list[Widget] = []
        """What is hidden while one panel has the whole screen."""

    @property
    def operator(self) -> "LiftlockApp":
        """The app, as what it is."""
        return cast("LiftlockApp", self.app)

    def compose(self) -> ComposeResult:
        """The banner, what the screen is about, the keys."""
        yield Bar(height=3, id="banner")
        yield from self.body()
        yield Keys()

    def body(self) -> ComposeResult:
        """What the screen is about."""
        yield Widget()

    def on_mount(self) -> None:
        """Show what is known already: from here on every panel is there."""
        self._is_whole = True
        self.show(self.operator.picture())

    def on_screen_resume(self) -> None:
        """It can be seen again: `n` waits until a person could have read what it does."""
        self._target_since = time.monotonic()
        self.show(self.operator.picture())

    def show(self, picture: Picture) -> None:
        """Show this; only what has changed is painted."""
        if not self._is_whole or self.operator.is_over:
            return  # not composed yet, or being taken down
        step = self.step(picture)
        if step.target != self._target:
            self._target = step.target
            self._target_since = time.monotonic()
        narrow = self.has_class("-narrow")
        lines = banner(picture.state, picture.verdict, step, picture.moment, narrow=narrow)
        self.query_one("#banner", Bar).show(lines)
        self.show_body(picture)
        self.refresh_bindings()

    def show_body(self, picture: Picture) -> None:
        """Show what the screen is about."""

    def step(self, picture: Picture) -> NextStep:
        """What `n` does on this screen."""
        return picture.step

    @property
    def is_armed(self) -> bool:
        """Whether what `n` does has been on the screen for long enough."""
        return time.monotonic() - self._target_since >= DEAD_SECONDS

    @property
    def node(self) -> str:
        """The node under the cursor, where there is one."""
        return ""

    @property
    def is_zoomed(self) -> bool:
        """Whether one panel has the whole screen."""
        return bool(self._hidden)

    def action_zoom(self) -> None:
        """Give the focused panel the screen below the banner, or give it back."""
        if self._hidden:
            self._give_back()
            return
        widget: DOMNode | None = self.focused
        while widget is not None and widget is not self and widget.parent is not None:
            for other in widget.parent.children:
                if other is not widget and other.display and not isinstance(other, Bar | Keys):
                    other.display = False
                    self._hidden.append(other)
            if isinstance(widget, Widget):
                widget.styles.height = None
                widget.add_class("-zoomed")
            widget = widget.parent

    def _give_back(self) -> None:
        for widget in self._hidden:
            widget.display = True
        for widget in self.query(".-zoomed").results(Widget):
            widget.remove_class("-zoomed")
        self._hidden.clear()
        self.show(self.operator.picture())

    def size_to(self, widget: Widget, height: int | None) -> None:
        """Make a panel as high as what it shows, unless it has the whole screen."""
        if not self.is_zoomed:
            widget.styles.height = height

    def reveal(self, widget: Widget, shown: bool) -> None:
        """Show or hide a panel, unless another one has the whole screen."""
        if not self.is_zoomed:
            widget.display = shown
