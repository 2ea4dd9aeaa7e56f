"""Two hundred nodes that talk all the time: the screen is painted as often as before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.between.news import Happened
from backends.domain.states import Phase
from backends.engine.events import Event, Kind
from backends.sim import scenes
from tests.support.screen import counted
from tests.support.stage import Stage, on_stage
from widgets.grid import Grid

NODES, EVENTS = 200, 20
LARGE = (160, 45)


@pytest.fixture
def two_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene of its own."""
    monkeypatch.setitem(scenes.SCENES, "two hundred", lambda clock: scenes.settled(clock, NODES))


def says(stage: Stage, turn: int) -> None:
    """A second of what they all say, at once: 4,000 events."""
    mailbox: Any = stage.app._mailbox
    for number in range(1, NODES + 1):
        for place in range(EVENTS):
            text = f"event {turn}.{place}"
            mailbox.put(Happened(Event(1.0, "r1", f"n{number}", Phase.MONITOR, Kind.RECORD, text)))


@pytest.mark.usefixtures("two_hundred")
async def test_p20_a_second_of_events_of_all_nodes_is_taken_at_once_and_painted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """textual 6457: work for each event, and keys that were answered seconds later."""
    async with on_stage("two hundred", LARGE, tmp_path, monkeypatch) as stage:
        grid = stage.app.screen.query_one(Grid)
        drained, painted = counted(stage.app, "_drain"), counted(grid, "_row")
        one = await _cost(stage, drained, painted, lambda: says_one(stage))
        all_of_them = await _cost(stage, drained, painted, lambda: says(stage, 1))
        assert all_of_them[0] <= one[0] + 1, "4,000 letters are emptied like one"
        assert all_of_them[1] <= 3 * LARGE[1], "what is not on the screen is not painted"


def says_one(stage: Stage) -> None:
    """A single event."""
    mailbox: Any = stage.app._mailbox
    mailbox.put(Happened(Event(1.0, "r1", "n1", Phase.MONITOR, Kind.RECORD, "one")))


async def _cost(
    stage: Stage, drained: list[Any], painted: list[Any], act: Callable[[], None]
) -> tuple[int, int]:
    """How often letters were taken, and how many rows painted, until these were on the screen."""
    drained.clear()
    painted.clear()
    act()
    mailbox: Any = stage.app._mailbox
    await stage.waits(lambda: not mailbox._letters, "an empty mailbox")
    await stage.pilot.pause()
    return len(drained), len(painted)


@pytest.mark.usefixtures("two_hundred")
async def test_p20_a_key_between_two_floods_is_answered_before_the_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """textual 6457: a key waits for one turn of painting, not for all that was said before it."""
    async with on_stage("two hundred", LARGE, tmp_path, monkeypatch) as stage:
        grid = stage.app.screen.query_one(Grid)
        await stage.presses("g")
        before, drained = grid.cursor, counted(stage.app, "_drain")
        for turn in range(3):
            says(stage, turn)
        await stage.pilot.press("down")
        assert grid.cursor != before
        assert len(drained) <= 2
