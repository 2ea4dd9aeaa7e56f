"""The upgrade, step by step: what `n` will do and how it is undone, and all that happens."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical

from app.commands import (
    ACCEPT,
    FINALIZE,
    HOLD,
    JOURNAL,
    NEXT,
    OPEN,
    ROLL_BACK,
    STOP,
    UPGRADE,
)
from app.picture import Picture
from app.screens.live import LiveScreen, offers
from app.screens.node import NodeScreen
from app.state import Run
from app.view import gate, matrix, next_panel
from app.view.stepper import stepper
from backends.domain.gates import ConditionState, Gate
from widgets.bar import Bar
from widgets.grid import Grid
from widgets.lines import Lines

_FRAME = {True: 1, False: 2}
"""Lines that a panel's frame takes, where there is little room and elsewhere."""


class UpgradeScreen(LiveScreen):
    """Walks through the phases of one upgrade."""

    CSS_PATH = "upgrade.tcss"

    BINDINGS: ClassVar[list[BindingType]] = offers(
        NEXT, HOLD, STOP, UPGRADE, ROLL_BACK, ACCEPT, FINALIZE, OPEN, JOURNAL
    )

    def body(self) -> ComposeResult:
        """Stepper, matrix, gate, what is next, journal."""
        yield Bar(height=1, id="stepper")
        with Container(id="main"):
            with Vertical(id="left"):
                yield Grid(matrix.COLUMNS, id="first", classes="panel")
                yield Lines(id="gate", indent=8, classes="panel")
            yield Lines(id="next", indent=4, classes="panel")
        yield Lines(id="journal", follow=True, indent=4, classes="panel")

    def show_body(self, picture: Picture) -> None:
        """All five."""
        state = picture.state
        run = state.upgrade
        if run is None:
            return
        self.query_one("#stepper", Bar).show([stepper(state, run)])
        grid = self.query_one("#first", Grid)
        rows = matrix.rows(state, run, picture.moment)
        grid.show(rows)
        grid.entitle(_title(run))
        frame = _FRAME[self.has_class("-narrow")]
        self.size_to(grid, min(len(rows) + 1 + frame, self.size.height // 3))
        panel = self.query_one("#next", Lines)
        now = state.run or run
        panel.entitle(next_panel.title(now))
        panel.show(next_panel.lines_of(now))
        found = gate.gate_of(now, picture.readings, state.called)
        before = self.query_one("#gate", Lines)
        before.entitle(gate.title(found))
        before.show(gate.lines_of(found))
        self.reveal(before, found is not None and self._has_room_for(found))
        entries = self.query_one("#journal", Lines)
        entries.entitle("journal, all nodes")
        entries.empty = "nothing has happened yet in this run"
        entries.show(picture.notebook.lines(run.id, *([state.act.id] if state.act else [])))

    def _has_room_for(self, found: Gate) -> bool:
        """Where there is little room a gate is shown when it stays shut without a person."""
        stuck = any(each.state is not ConditionState.WAIT for each in found.blocking)
        return stuck or not self.has_class("-narrow")

    @on(Grid.Opened)
    def _open(self, event: Grid.Opened) -> None:
        event.stop()
        self.app.push_screen(NodeScreen(event.key))

    def action_open_node(self) -> None:
        """Open the node under the cursor."""
        if self.node:
            self.app.push_screen(NodeScreen(self.node))

    @property
    def node(self) -> str:
        """The node under the cursor."""
        grid = self.query_one_optional("#first", Grid)  # keys are asked before it is there
        return grid.cursor or "" if grid is not None else ""


def _title(run: Run) -> str:
    if run.prepared is None:
        return run.kind
    made = run.prepared.plan
    return f"run {made.run}: {made.product} to {made.release_version}"
