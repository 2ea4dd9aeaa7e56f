"""The cluster: one row a node, live; beside it the node under the cursor."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical

from app.commands import (
    ACCEPT,
    ADOPT,
    CONFLICTS,
    FINALIZE,
    HOLD,
    JOURNAL,
    NEXT,
    OPEN,
    ROLL_BACK,
    SORT,
    UPGRADE,
    VERIFY,
)
from app.picture import Picture
from app.screens.live import LiveScreen, offers
from app.screens.node import NodeScreen
from app.view import cluster_grid, node_panel
from app.view.journal import short
from widgets.grid import Grid
from widgets.lines import Lines

_TAIL = 200
"""Entries of the journal that are looked through for the newest ones of a node."""

_FRAME = 1
"""Lines of a panel's frame, where there is little room."""


class ClusterScreen(LiveScreen):
    """Where everything begins."""

    CSS_PATH = "cluster.tcss"

    BINDINGS: ClassVar[list[BindingType]] = offers(
        NEXT,
        UPGRADE,
        ROLL_BACK,
        FINALIZE,
        HOLD,
        ACCEPT,
        ADOPT,
        VERIFY,
        CONFLICTS,
        OPEN,
        JOURNAL,
        SORT,
    )

    def __init__(self) -> None:
        super().__init__()
        self._worst_first = False
        self._rows = cluster_grid.Rows()

    def body(self) -> ComposeResult:
        """The grid, and the side panel."""
        with Container(id="main"):
            yield Grid(cluster_grid.COLUMNS, id="first", classes="panel")
            with Vertical(id="side"):
                yield Lines(id="facts", classes="panel")
                yield Lines(id="tail", follow=True, classes="panel")

    def show_body(self, picture: Picture) -> None:
        """Grid, facts and the newest entries."""
        grid = self.query_one("#first", Grid)
        rows = self._rows.rows(picture.state, picture.moment, worst_first=self._worst_first)
        grid.show(rows)
        order = "worst first" if self._worst_first else "as in the cluster file"
        grid.entitle("nodes", order)
        narrow = self.has_class("-narrow")
        self.size_to(grid, min(len(rows) + 1 + _FRAME, self.size.height // 2) if narrow else None)
        self._show_node(picture)

    @on(Grid.Pointed)
    def _follow_cursor(self, event: Grid.Pointed) -> None:
        event.stop()
        self._show_node(self.operator.picture())

    @on(Grid.Opened)
    def _open(self, event: Grid.Opened) -> None:
        event.stop()
        self.app.push_screen(NodeScreen(event.key))

    def action_open_node(self) -> None:
        """Open the node under the cursor."""
        if self.node:
            self.app.push_screen(NodeScreen(self.node))

    def action_sort(self) -> None:
        """Change the order of the rows."""
        self._worst_first = not self._worst_first
        self.show(self.operator.picture())

    @property
    def node(self) -> str:
        """The node under the cursor."""
        grid = self.query_one_optional("#first", Grid)  # keys are asked before it is there
        return grid.cursor or "" if grid is not None else ""

    def _show_node(self, picture: Picture) -> None:
        known = picture.state.known.get(self.node)
        facts, tail = self.query_one("#facts", Lines), self.query_one("#tail", Lines)
        if known is None:
            return
        facts.entitle(self.node)
        facts.show(node_panel.lines_of(known, picture.moment))
        newest = [event for event in picture.events[-_TAIL:] if event.node == self.node]
        tail.entitle(f"journal of {self.node}")
        tail.show([short(event, 0) for event in newest])
