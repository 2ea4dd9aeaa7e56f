"""A pair of hands and eyes at the screen: the real program over real nodes, without a terminal."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from app.application import LiftlockApp
from app.between.asking import Asking
from app.between.bridge import Bridge
from app.between.mailbox import Mailbox
from app.session import open_session
from backends.engine.core import Core
from tests.support.cluster import Cluster
from tests.support.screen import text_of

SECONDS = 30.0

_FRAMES = dict.fromkeys(map(ord, "│┃─━╭╮╰╯┏┓┗┛\n"), " ")


class Operator:
    """Presses keys and reads."""

    def __init__(self, app: LiftlockApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> list[str]:
        """What can be read, line by line."""
        return text_of(self.app)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.screen)

    @property
    def words(self) -> str:
        """All of it, with what was wrapped put together again: frames and line ends are blanks."""
        return " ".join(self.text.translate(_FRAMES).split())

    @property
    def strip(self) -> str:
        """The second line: what is next. Empty while screens change."""
        return "".join(self.screen[1:2])

    async def presses(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def types(self, text: str) -> None:
        """Put a text where the cursor is, as a paste in the terminal does."""
        focused = self.app.screen.focused
        assert focused is not None, "nothing takes what is typed"
        focused.post_message(events.Paste(text))
        await self.pilot.pause()

    async def sees(self, *texts: str, within: float = SECONDS) -> None:
        """Wait until all of these can be read."""
        await self.waits(lambda: all(text in self.words for text in texts), str(texts), within)

    async def waits(self, reached: Callable[[], bool], what: str, within: float = SECONDS) -> None:
        """Wait until this holds."""
        give_up = time.monotonic() + within
        while not reached():
            assert time.monotonic() < give_up, f"{what} was not seen:\n{self.text}"
            await self.pilot.pause(0.1)

    async def steps(self, then: str) -> None:
        """Press `n`, and wait until the second line says this."""
        await self.presses("n")
        await self.waits(lambda: then in self.strip, f"second line {then!r}")

    async def chooses(self, release: Path) -> None:
        """Choose a release by its path."""
        await self.presses("u")
        await self.sees("or the path of a release")
        await self.presses("tab")
        await self.types(str(release))
        await self.presses("enter")
        await self.sees("preflight for")


@asynccontextmanager
async def at_the_screen(
    cluster: Cluster, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Operator]:
    """The program on a cluster, until the block ends; whatever runs is left as `q` leaves it."""
    before = dict(os.environ)
    os.environ.update(cluster.environment)
    mailbox = Mailbox()
    asking = Asking(mailbox.put)
    try:
        bridge = Bridge(open_session(str(cluster.file), prompt=asking), mailbox, asking)
        app = LiftlockApp(bridge, mailbox, asking)
        with Core() as core:
            living = bridge.open(core)
            try:
                async with app.run_test(size=size, notifications=True) as pilot:
                    try:
                        yield Operator(app, pilot)
                    finally:
                        app.go()
            finally:
                bridge.leave()
                living.cancel()
                with suppress(asyncio.CancelledError):
                    living.result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `n` and the dialogs' keys act without their second of waiting."""
    monkeypatch.setattr("app.screens.live.DEAD_SECONDS", 0.0)
    monkeypatch.setattr("app.screens.dialogs.DEAD_SECONDS", 0.0)
