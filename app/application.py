"""The program on the screen: folds news into state, shows it, and sends commands to the engine."""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from app import clock, palette
from app.allowed import acceptable, changing, may
from app.between.asking import Asking
from app.between.bridge import Bridge
from app.between.mailbox import Mailbox
from app.between.news import (
    AskedSecret,
    AskedToAdopt,
    AskedToGoOn,
    Conflicting,
    Happened,
    News,
    Over,
    Ready,
    Recalled,
    Refused,
    Told,
)
from app.commands import ALL
from app.notebook import Notebook
from app.picture import Judge, Picture
from app.requests import Requests
from app.runs.looking import unread
from app.screens import questions
from app.screens.cluster import ClusterScreen
from app.screens.dialogs import Asked, Confirm, ProblemScreen, PromptScreen, TextScreen
from app.screens.journal import JournalScreen
from app.screens.leave import Leave, LeaveScreen
from app.screens.live import LiveScreen
from app.screens.node import NodeScreen
from app.screens.releases import ReleasesScreen
from app.screens.rollback import RollbackScreen
from app.screens.upgrade import UpgradeScreen
from app.state import Known, Stage, State, fold
from app.theme import dress
from app.view import conflicts
from app.view.help import help_lines
from app.view.leaving import sentences
from app.view.next_step import NOTHING, Does, NextStep

REPAINT_SECONDS = 0.1
"""At most ten repaints a second, whatever comes in."""

_TICK_SECONDS = 1.0
"""How often ages and countdowns are told anew."""


class LiftlockApp(App[int]):
    """One cluster on the screen."""

    TITLE = "Liftlock"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual declares it
        (0, "-narrow"),
        (110, "-wide"),
    ]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", "quit", show=False, priority=True),
        Binding("colon,ctrl+p", "command_palette", "commands", show=False),
    ]

    class Arrived(Message):
        """There is news in the mailbox."""

    def __init__(self, bridge: Bridge, mailbox: Mailbox, asking: Asking) -> None:
        super().__init__()
        dress(self)
        session = bridge.session
        self.bridge = bridge
        self._mailbox = mailbox
        self._asking = asking
        self._drained_at = 0.0
        self._is_due = False
        self._leaves_when_decided = self.is_over = False
        self.farewell: tuple[str, ...] = ()
        """What the nodes do alone, for the terminal after the screen; empty: nothing was left."""

        now = clock.monotonic()
        self._state = State(
            called=session.name,
            cluster=session.cluster.name,
            environment=session.cluster.environment,
            product=session.profile.name,
            known={reading.name: Known(reading, now, now) for reading in unread(session)},
        )
        self._notebook = Notebook(max(map(len, self._state.known), default=1))
        self._judge = Judge()
        self._picture = self._drawn()
        self.requests = Requests(self, bridge, self.picture)

    # --- what is shown ------------------------------------------------------------------------

    def on_mount(self) -> None:
        """The first screen; from now on news are heard."""
        self.push_screen(ClusterScreen())
        self.set_interval(_TICK_SECONDS, self.redraw)
        self._mailbox.when_filled(self._ring)

    def _ring(self) -> None:
        """Called from the engine's thread; posting a message is what may be done from there."""
        self.post_message(self.Arrived())

    def on_liftlock_app_arrived(self) -> None:
        """Take the news at once, or when the last repaint is a tenth of a second ago."""
        if self._is_due:
            return
        wait = self._drained_at + REPAINT_SECONDS - time.monotonic()
        if wait <= 0:
            self._drain()
        else:
            self._is_due = True
            self.set_timer(wait, self._drain)

    def picture(self) -> Picture:
        """What is shown now."""
        return self._picture

    def redraw(self) -> None:
        """Show everything as it is at this moment, until the screens are taken down."""
        self._picture = self._drawn()
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen):
                screen.show(self._picture)
            elif isinstance(screen, LeaveScreen):
                screen.say(self._alone())

    def _drawn(self) -> Picture:
        return Picture(self._state, clock.moment(), self._notebook, self._judge)

    def _drain(self) -> None:
        self._is_due = False
        self._drained_at = time.monotonic()
        news = self._mailbox.empty()
        for item in news:
            self._write_down(item)
        self._state = fold(self._state, news)
        self.redraw()
        for item in news:
            self._answer(item)
        if self._leaves_when_decided and not self._changing():
            self.go()

    def _write_down(self, item: News) -> None:
        match item:
            case Recalled() | Told():
                self._notebook.note(item.events)
            case Happened():
                self._notebook.note([item.event])

    def _answer(self, item: News) -> None:
        """What news ask of the screen beside being shown."""
        match item:
            case Ready():
                self._show_upgrade()
            case Over() if self._state.upgrade is not None and self._state.upgrade.failed:
                if isinstance(self.screen, UpgradeScreen) and item.kind == "upgrade":
                    self.push_screen(RollbackScreen())
            case Conflicting():
                shown = conflicts.lines_of(item.found, item.unread)
                self.push_screen(TextScreen("configuration", shown))
            case Refused():
                self.push_screen(ProblemScreen(item.what, item.problem))
            case AskedSecret():
                answer = partial(self._asking.answer, item.number)
                self.push_screen(PromptScreen(item.question), answer)
            case AskedToGoOn():
                asked = questions.go_on(item.last, item.rest, item.sick)
                self._confirm(asked, item.number)
            case AskedToAdopt():
                self._confirm(questions.adopt(item.previews), item.number)

    def _confirm(self, asked: Asked, number: int) -> None:
        self.push_screen(
            Confirm(asked), lambda said: self._asking.answer(number, said is not None)
        )

    def _show_upgrade(self) -> None:
        if isinstance(self.screen, ReleasesScreen):
            self.switch_screen(UpgradeScreen())
        elif not isinstance(self.screen, UpgradeScreen):
            self.push_screen(UpgradeScreen())

    # --- what can be asked for ----------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey what cannot be done now; hide what is about something that is not there."""
        if action == "roll_back" and isinstance(self.screen, RollbackScreen):
            return False
        if action == "journal" and isinstance(self.screen, JournalScreen):
            return False
        if action == "next":
            return True if self._step().does else None
        return may(action, self._picture, self._node())

    def action_next(self) -> None:
        """Do the next step, if a person could have read what it is."""
        screen = self.screen
        if not isinstance(screen, LiveScreen):
            return
        if not screen.is_armed:
            self.notify("n is dead for a second after a change: read the second line, press again")
            return
        match self._step().does:
            case Does.BEGIN:
                self._show_upgrade()
                self._begin()
            case Does.GO:
                self._show_upgrade()
                self.bridge.go()
            case Does.CHOOSE:
                self._choose()
            case Does.FINALIZE:
                self.action_finalize()
            case Does.ROLL_BACK:
                self.action_roll_back()
            case Does.ADOPT:
                self.action_adopt()
            case Does.VERIFY:
                self.bridge.verify(self._picture.verdict.drifted)
            case Does.DOWNGRADE | Does.REINSTALL as does:
                self.requests.plan_as_meant(does)
            case Does.NOTHING:
                pass

    def _begin(self) -> None:
        """Begin what is planned; a second press finds it begun."""
        run = self._state.upgrade
        if run is not None and run.prepared is not None:
            self.bridge.upgrade(run.prepared)
            self._drain()

    def action_upgrade(self) -> None:
        """The upgrade that is planned or under way, else the choice of a release."""
        run = self._state.upgrade
        is_seen = isinstance(self.screen, UpgradeScreen)
        if run is None or run.stage is Stage.OVER or (is_seen and run.stage is Stage.READY):
            self._choose()
        else:
            self._show_upgrade()

    def _choose(self) -> None:
        self.bridge.looks.releases()
        if not isinstance(self.screen, ReleasesScreen):
            self.push_screen(ReleasesScreen())

    def action_hold(self) -> None:
        """Wait before the next node, or go on by itself."""
        run = self._state.upgrade
        if run is not None:
            self.bridge.hold(not run.held)

    def action_stop_run(self) -> None:
        """End the run where it waits; put away a plan of which nothing was begun."""
        run, act = self._state.upgrade, self._state.act
        if act is not None and act.settling:
            self.bridge.stop_waiting()
            return
        if run is None or run.prepared is None:
            return
        if run.stage is Stage.READY:
            self._state = replace(self._state, upgrade=None)
            if isinstance(self.screen, UpgradeScreen):
                self.go_back()
            self.redraw()
            return

        self.requests.stop(run)

    def action_roll_back(self) -> None:
        """What failed, and the choice of what to roll back."""
        if not isinstance(self.screen, RollbackScreen):
            self.push_screen(RollbackScreen())

    def action_accept(self) -> None:
        """Keep the new version on the node under the cursor."""
        if acceptable(self._state, self._node()):
            self.requests.accept(self._node())

    def action_finalize(self) -> None:
        """Make what is accepted final."""
        self.requests.finalize()

    def action_adopt(self) -> None:
        """Record what runs as finalized; it is shown first."""
        self.bridge.adopt()

    def action_verify(self) -> None:
        """Verify the node that is open, else all of them."""
        screen = self.screen
        nodes = [screen.node] if isinstance(screen, NodeScreen) else list(self._state.known)
        self.bridge.verify(nodes)

    def action_conflicts(self) -> None:
        """Ask the nodes; what they say is shown when it is there."""
        self.bridge.looks.conflicts()

    def action_journal(self) -> None:
        """The whole journal."""
        self.push_screen(JournalScreen())

    def action_help(self) -> None:
        """Keys, letters and words."""
        self.push_screen(TextScreen("help", help_lines(ALL)))

    async def action_back(self) -> None:
        """Leave this view; what is under way goes on."""
        self.go_back()

    def go_back(self) -> None:
        """Leave this view, unless it is the first one."""
        if len(self.screen_stack) > 2:
            self.pop_screen()

    async def action_quit(self) -> None:
        """Textual's own way to quit is ours."""
        self.action_leave()

    def action_leave(self) -> None:
        """Leave; in the middle of something, say first what each way to leave means."""
        if isinstance(self.screen, LeaveScreen):
            return
        if not self._state.is_busy:
            self.go()
            return
        self.push_screen(LeaveScreen(self._alone(), bool(self._changing())), self._left)

    def _left(self, how: Leave | None) -> None:
        match how:
            case Leave.NOW:
                self.go()
            case Leave.WHEN_DECIDED:
                self._leaves_when_decided = True
                self.bridge.hold(True)
                self.notify("leaves when the node that changes now has decided")
            case _:
                pass

    def go(self) -> None:
        """Leave now; the farewell says what goes on without us."""
        self.farewell = self._alone()
        self.is_over = True
        self.exit(0)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette lists."""
        return palette.commands(self, lambda action: self.check_action(action, ()))

    def _node(self) -> str:
        """The node under the cursor, on the screen that can be seen."""
        screen = self.screen_stack[-1] if self.screen_stack else None
        return screen.node if isinstance(screen, LiveScreen) else ""

    def _step(self) -> NextStep:
        """What `n` does on the screen that can be seen."""
        screen = self.screen_stack[-1] if self.screen_stack else None
        return screen.step(self._picture) if isinstance(screen, LiveScreen) else NOTHING

    def _changing(self) -> tuple[str, ...]:
        return changing(self._state, self.bridge.begun)

    def _alone(self) -> tuple[str, ...]:
        return sentences(self._state, self._picture.readings, self.bridge.begun)
