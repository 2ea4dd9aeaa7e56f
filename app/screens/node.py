"""One node: every fact, and its journal."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from app.commands import ACCEPT, CONFLICTS, HOLD, JOURNAL, NEXT, ROLL_BACK, VERIFY
from app.picture import Picture
from app.screens.live import LiveScreen, offers
from app.view import node_panel
from app.view.journal import journal
from widgets.lines import Lines


class NodeScreen(LiveScreen):
    """All about one node."""

    CSS_PATH = "node.tcss"

    BINDINGS: ClassVar[list[BindingType]] = offers(
        NEXT, ROLL_BACK, HOLD, ACCEPT, VERIFY, CONFLICTS, JOURNAL
    )

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def body(self) -> ComposeResult:
        """Facts, and the journal of this node."""
        with Container(id="main"):
            yield Lines(id="first", classes="panel")
            yield Lines(id="journal", follow=True, classes="panel")

    def show_body(self, picture: Picture) -> None:
        """Everything that is known of it."""
        facts, entries = self.query_one("#first", Lines), self.query_one("#journal", Lines)
        known = picture.state.known.get(self._node)
        if known is not None:
            facts.show(node_panel.lines_of(known, picture.moment))
        facts.entitle(f"node {self._node}")
        entries.entitle(f"journal of {self._node}")
        found = picture.notebook.of_node(self._node)
        entries.show(journal(found, picture.name_width, self._node))

    def on_mount(self) -> None:
        """Its own journal is asked for: it knows more than what was followed from here."""
        self.operator.bridge.looks.journal(self._node)

    @property
    def node(self) -> str:
        """The node that this is about."""
        return self._node
