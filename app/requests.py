"""What a person asks for that leads to a change: what it means is shown, and agreed to, first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from app.allowed import finalizable
from app.between.bridge import Bridge
from app.picture import Picture
from app.screens import questions
from app.screens.dialogs import Asked, Confirm
from app.state import Run
from app.view.failure import Choice
from app.view.next_step import Does, to_be_repaired
from backends.engine.accepted import open_contents


class Requests:
    """The way from a key to the engine, with the question between them."""

    def __init__(self, app: App[Any], bridge: Bridge, picture: Callable[[], Picture]) -> None:
        self._app = app
        self._bridge = bridge
        self._picture = picture

    def _ask(self, asked: Asked, then: Callable[[str], None]) -> None:
        """Ask; what is agreed to is done, with the reason where one was asked for."""

        def answered(said: str | None) -> None:
            if said is not None:
                then(said)

        self._app.push_screen(Confirm(asked), answered)

    def plan(self, path: Path) -> None:
        """Plan the upgrade to a release; it is shown when the nodes were read."""
        self._bridge.prepare(path.absolute())

    def try_again(self) -> None:
        """Plan the upgrade that failed once more."""
        run = self._picture().state.upgrade
        if run is not None and run.prepared is not None:
            made = run.prepared.plan
            self._bridge.prepare(
                run.prepared.release.tarball,
                [item.node for item in made.nodes],
                downgrade=made.policy.downgrade,
                reinstall=made.policy.reinstall,
            )

    def plan_as_meant(self, does: Does) -> None:
        """Ask why an older version, or the same one again, is wanted, and plan it so."""
        picture = self._picture()
        run = picture.state.upgrade
        if run is None or run.prepared is None:
            return
        path, version = run.prepared.release.tarball, run.prepared.plan.release_version
        if does is Does.DOWNGRADE:
            self._ask(
                questions.downgrade(version),
                lambda why: self._bridge.prepare(path, downgrade=why),
            )
            return
        nodes = to_be_repaired(picture.state, picture.verdict)
        self._ask(
            questions.reinstall(version, nodes),
            lambda why: self._bridge.prepare(path, nodes, reinstall=why),
        )

    def stop(self, run: Run) -> None:
        """End a run where it waits."""
        self._ask(questions.stop_run(run), lambda _: self._bridge.pause())

    def roll_back(self, choice: Choice) -> None:
        """Take back what was chosen."""
        self._ask(
            questions.roll_back(choice.nodes, choice.consequences),
            lambda why: self._bridge.roll_back(choice.nodes, why, choice.data or None),
        )

    def accept(self, node: str) -> None:
        """Keep the new version on a node."""
        reading = self._picture().state.reading(node)
        self._ask(questions.accept(node, reading), lambda why: self._bridge.accept(node, why))

    def finalize(self) -> None:
        """Show what becomes final and what is given up; the name has to be typed."""
        picture = self._picture()
        version = finalizable(picture)
        if version:
            shown = open_contents(picture.state.as_read)
            self._ask(
                questions.finalize(version, picture.verdict, picture.state),
                lambda _: self._bridge.finalize(version, shown),
            )
