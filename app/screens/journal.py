"""The journal, whole."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from app.commands import NEXT, ROLL_BACK
from app.picture import Picture
from app.screens.live import LiveScreen, offers
from widgets.lines import Lines


class JournalScreen(LiveScreen):
    """What happened, the newest last."""

    BINDINGS: ClassVar[list[BindingType]] = offers(NEXT, ROLL_BACK)

    def body(self) -> ComposeResult:
        """One long text."""
        yield Lines(id="first", follow=True, indent=4, classes="panel")

    def show_body(self, picture: Picture) -> None:
        """All entries of the run."""
        entries = self.query_one("#first", Lines)
        entries.empty = "nothing has happened yet, on this workstation"
        entries.entitle("journal")
        entries.show(picture.notebook.lines())
