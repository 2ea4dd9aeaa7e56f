"""Leaving in the middle: what each way to leave means, before one is taken."""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from widgets.cells import Tone, line
from widgets.lines import Lines


class Leave(StrEnum):
    """How to leave."""

    STAY = "stay"
    WHEN_DECIDED = "when_decided"
    NOW = "now"


class LeaveScreen(ModalScreen[Leave | None]):
    """The cursor is on staying."""

    CSS_PATH = "leave.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "stay", "stay")]

    AUTO_FOCUS = "#ways"

    def __init__(self, alone: Sequence[str], changing: bool) -> None:
        """`alone` says what the nodes do without us; `changing`, whether one changes now."""
        super().__init__()
        self._alone = alone
        self._changing = changing

    def compose(self) -> ComposeResult:
        """What the nodes do alone, and the ways to leave."""
        options = [Option("stay", id=Leave.STAY)]
        if self._changing:
            words = "leave once the node that changes now has decided; no further one is begun"
            options.append(Option(words, id=Leave.WHEN_DECIDED))
        options.append(Option("leave now", id=Leave.NOW))
        with Vertical(id="box") as box:
            box.border_title = "a run is under way"
            yield Lines(id="alone", indent=2)
            yield OptionList(*options, id="ways", markup=False)

    def on_mount(self) -> None:
        """Say it."""
        self.query_one("#alone", Lines).can_focus = False
        self.say(self._alone)

    def say(self, alone: Sequence[str]) -> None:
        """What the nodes do without us, as it is now."""
        text = self.query_one_optional("#alone", Lines)
        if text is not None:
            lines = (line(("If you leave now:", Tone.STRONG)), *(line(each) for each in alone))
            text.show(lines)

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(Leave(event.option.id or Leave.STAY))

    def action_stay(self) -> None:
        """Nothing is left."""
        self.dismiss(Leave.STAY)
