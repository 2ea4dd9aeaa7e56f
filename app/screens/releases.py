"""Which release: those in the cluster's folder, or one that is named by its path."""

import os
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from app.picture import Picture
from app.screens.live import LiveScreen, offers
from app.view import releases
from widgets.field import Field
from widgets.grid import Grid


class ReleasesScreen(LiveScreen):
    """Enter plans the upgrade to the release under the cursor; nothing is changed by it."""

    CSS_PATH = "releases.tcss"

    BINDINGS: ClassVar[list[BindingType]] = offers()

    def body(self) -> ComposeResult:
        """The list, and a line for a path."""
        yield Grid(releases.COLUMNS, id="first", classes="panel")
        path = Field(placeholder="or the path of a release: NAME-VERSION.tar.gz", id="path")
        path.border_title = "path"
        yield path

    def show_body(self, picture: Picture) -> None:
        """What lies in the folder."""
        grid = self.query_one("#first", Grid)
        found = picture.state.releases
        grid.empty = "looking …" if found is None else f"no release in {found.folder}"
        title = "releases" if found is None else f"releases in {found.folder}"
        grid.entitle(f"{title}: Enter plans the upgrade, nothing is changed yet")
        is_first = grid.cursor is None
        grid.show(releases.rows(picture.state) if found is not None else [])
        if is_first and found is not None:
            grid.point_at(releases.likely(picture.state, picture.verdict))

    @on(Grid.Opened)
    def _take(self, event: Grid.Opened) -> None:
        event.stop()
        self.operator.requests.plan(Path(event.key))

    @on(Input.Submitted)
    def _take_path(self, event: Input.Submitted) -> None:
        event.stop()
        if text := event.value.strip():
            # Not `Path.expanduser`, which raises where nobody has that name.
            self.operator.requests.plan(Path(os.path.expanduser(text)))
