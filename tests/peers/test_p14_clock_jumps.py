"""The clock that people set jumps by an hour while a trial is watched: no window moves."""

import time
from pathlib import Path
from typing import Any

import pytest

from backends.node import clock, monitor
from tests.faults.bench import Bench
from tests.faults.planting import before, watched
from tests.node.test_clock_jumps import WALL_ONLY, Clocks, ends, trial

HOUR = 3600


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_p14_a_trial_lasts_as_long_as_it_was_to_last(flat: Bench, jump: int) -> None:
    """Clocks of nodes that were set during an update ended its window, or made it endless."""
    window = 0.4
    flat.document["limits"]["accept_window"] = window

    def plant() -> None:
        real = time.time

        def set_the_clock(*_: Any) -> None:
            time.time = lambda: real() + jump  # type: ignore[assignment]

        before(monitor, "Trial", set_the_clock)()

    began = clock.wall()
    assert "ROLLBACK" in watched(flat, plant)
    records = {each["t"]: each for each in _records(flat)}
    late = records["ROLLBACK"]["bt"] - records["TRIAL"]["until"]
    assert 0 <= late < HOUR / 2, "neither at once nor an hour later"
    apart = records["ROLLBACK"]["wt"] - records["TRIAL"]["wt"]
    assert abs(apart - jump) < HOUR / 2, "the clock was not set"
    assert clock.wall() - began < HOUR / 2


def _records(bench: Bench) -> list[dict[str, Any]]:
    from backends.node.journal import Journal

    (path,) = Path(bench.places.done).glob("*/journal")
    book = Journal(str(path))
    book.close()
    return book.records


@pytest.mark.drill
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_p14_the_same_on_a_real_node(tmp_path: Path, jump: int) -> None:
    """The same with a whole updater, whose clock is set while it watches."""
    clocks = Clocks(tmp_path, WALL_ONLY)
    with trial(tmp_path, clocks, window=6.0) as node:
        clocks.jump(jump)
        told = ends(node)
    assert told["ROLLBACK"]["bt"] >= told["TRIAL"]["until"]
    assert "nobody accepted within 6 s" in told["ROLLBACK"]["why"]
