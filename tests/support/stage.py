"""A stage for pictures: the whole program over simulated nodes, at a time that stands still."""

import asyncio
import functools
import getpass
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from textual.widgets import Input

import app.clock
import app.runs.keeping
import app.runs.upgrading
from app.application import LiftlockApp
from app.between.asking import Asking
from app.between.bridge import Bridge
from app.between.mailbox import Mailbox
from app.session import open_session
from backends.engine.core import Core
from backends.releases.read import open_release
from backends.releases.signing import sign
from backends.sim import scenes
from backends.sim.clock import SimClock
from backends.sim.cluster import SimCluster
from backends.sim.node import Durations
from tests.support.screen_operator import Operator, at_once
from tests.support.signing import fixed_key, public

RUN = "1017-k7f"
AT_ONCE = Durations(prepare=0, stop=0, switch=0, start=0, undo=0, finalize=0)


class Stage(Operator):
    """An operator before a scene, who also moves its clock."""

    def __init__(self, app: LiftlockApp, pilot: object, cluster: SimCluster, core: Core) -> None:
        super().__init__(app, pilot)  # type: ignore[arg-type]
        self.cluster = cluster
        self._core = core

    async def moves(self, seconds: float) -> None:
        """Let so much time pass on every node, and here."""
        moving = self._core.submit(self.cluster.clock.advance(seconds))
        await asyncio.to_thread(moving.result)

    async def passes(self, seconds: float) -> None:
        """Let so much time pass, and see what has come of it.

        What a node said before and nobody had read yet counts as said now: its next beat, which
        comes within a second of real time, puts that right.
        """
        await self.moves(seconds)
        await self.pilot.pause(1.2)
        await self.settles()

    def cut_links(self) -> None:
        """Break every channel to every node."""

        async def cut() -> None:
            for node in self.cluster.nodes.values():
                node.cut()

        self._core.submit(cut()).result()

    async def settles(self) -> None:
        """Wait until nothing changes on the screen any more."""
        seen, still = "", 0
        while still < 3:
            await self.pilot.pause(0.1)
            self.app.redraw()
            await self.pilot.pause()
            still = still + 1 if self.text == seen else 0
            seen = self.text


@asynccontextmanager
async def on_stage(
    name: str, size: tuple[int, int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """The program before a scene of `backends.sim`; nothing of this machine is in the picture."""
    clock = SimClock()
    cluster = scenes.scene(name, clock)
    for node in cluster.nodes.values():
        node.durations = AT_ONCE
    _settle_the_world(clock, folder, monkeypatch)
    file = cluster.write(folder)
    releases = [cluster.release(each).build(folder) for each in (scenes.NEW, scenes.SICK)]
    _require_signatures(file, releases)
    mailbox = Mailbox()
    asking = Asking(mailbox.put)
    session = open_session(file.stem, prompt=asking, links=cluster.link)
    bridge = Bridge(session, mailbox, asking)
    screen = LiftlockApp(bridge, mailbox, asking)
    with Core() as core:
        living = bridge.open(core)
        try:
            async with screen.run_test(size=size) as pilot:
                stage = Stage(screen, pilot, cluster, core)
                try:
                    await stage.settles()
                    yield stage
                finally:
                    screen.go()
        finally:
            bridge.leave()
            living.cancel()
            with suppress(asyncio.CancelledError):
                living.result()


def _require_signatures(file: Path, releases: list[Path]) -> None:
    key = fixed_key(file.with_name("key"))
    for tarball in releases:
        sign(open_release(tarball), key)
    file.with_name("signers").write_text(f"release@harbor {public(key)}\n")
    text = file.read_text()
    required = 'signatures = "required"\nallowed_signers = "signers"'
    file.write_text(text.replace('signatures = "optional"', required))


def _settle_the_world(clock: SimClock, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One time, one operator, one run id, one updater, one folder: the same on every machine."""
    begun = clock.now()
    at_once(monkeypatch)
    monkeypatch.setattr(time, "time", clock.now)
    monkeypatch.setattr(app.clock, "monotonic", lambda: 1000.0 + clock.now() - begun)
    # A cursor that blinks would be in every other picture of a slow machine.
    monkeypatch.setattr(Input, "_toggle_cursor", lambda field: None)
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    monkeypatch.setattr(socket, "gethostname", lambda: "jump")
    monkeypatch.setattr(app.runs.keeping, "new_run", lambda today, taken: RUN)
    # A plan's id follows from the updater, too, which changes more often than any picture.
    plan = functools.partial(app.runs.upgrading.make_plan)
    monkeypatch.setattr(
        app.runs.upgrading, "make_plan", lambda **about: plan(**{**about, "updater": "5f" * 32})
    )
    monkeypatch.setenv("LIFTLOCK_STATE_DIR", str(folder / "operator"))
    monkeypatch.setenv("LIFTLOCK_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(begun) - 86400))
    monkeypatch.chdir(folder)
