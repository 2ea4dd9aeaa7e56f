"""Clocks that jump in a trial. Only the time since boot counts, and suspended time is time.

The updater runs under libfaketime, which tells it the times that a file says; with an interpreter
whose `sleep` takes no point in time, for libfaketime gets that wrong.
"""

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.beacon import Beacon
from tests.support.interpreters import node_pythons
from tests.support.node import Node, a_node, settled, wait_until

pytestmark = pytest.mark.drill

DAY = 86_400
WALL_ONLY = "FAKETIME_DONT_FAKE_MONOTONIC=1"
WATCHER_SECONDS = 2.0
"""How late the watcher may be; see the notes on reliability, section 6."""


class Clocks:
    """What a node takes the time to be."""

    def __init__(self, top: Path, which: str = "") -> None:
        """All of its clocks, or with `WALL_ONLY` the one that people set."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        if library is None:
            pytest.fail("libfaketime is missing: apt-get install faketime", pytrace=False)
        (python,) = (found for found in node_pythons() if found.minor == "3.8")
        self._file = top / "clocks"
        self.jump(0)
        self.python = top / "python3"
        self.python.write_text(
            f"#!/bin/sh\nexport LD_PRELOAD={library} FAKETIME_NO_CACHE=1 NO_FAKE_STAT=1 {which}\n"
            f"export FAKETIME_TIMESTAMP_FILE={shlex.quote(str(self._file))}\n"
            f'exec {shlex.quote(str(python.path))} "$@"\n'
        )
        self.python.chmod(0o755)

    def jump(self, seconds: int) -> None:
        """Set them so far from the real time, at once."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}\n")
        beside.rename(self._file)


def forget_shared(since: float) -> None:
    """Remove what libfaketime shares between processes that were killed, and so did not."""
    for kind in ("faketime_shm_", "sem.faketime_sem_"):
        for path in Path("/dev/shm").glob(f"{kind}*"):
            with suppress(FileNotFoundError):
                is_alive = Path("/proc", path.name.removeprefix(kind)).exists()
                if path.stat().st_mtime >= since and not is_alive:
                    path.unlink()


@contextmanager
def trial(top: Path, clocks: Clocks, window: float) -> Iterator[Node]:
    """A node with these clocks in trial of 2.0; nobody accepts."""
    began = time.time()
    try:
        with a_node(top / "node") as node:
            node.put_in_place(Beacon("1.0"))
            node.python = str(clocks.python)
            node.document["limits"]["accept_window"] = window
            node.begin(Beacon("2.0"))
            node.wait_for(settled)
            yield node
    finally:
        forget_shared(began - 1.0)


def ends(node: Node) -> dict[str, dict[str, Any]]:
    """The records of a trial that is over, the last of each kind."""
    facts = node.wait_for(lambda facts: facts["transaction"] is None, seconds=40)
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")
    return {record["t"]: record for record in node.records()}


@pytest.mark.parametrize("jump", [DAY, -DAY, 40 * 365 * DAY], ids=["on", "back", "to 2066"])
def test_row_34_a_wall_clock_that_is_set_moves_no_deadline(tmp_path: Path, jump: int) -> None:
    clocks = Clocks(tmp_path, WALL_ONLY)
    with trial(tmp_path, clocks, window=6.0) as node:
        clocks.jump(jump)
        time.sleep(0.5)
        assert node.facts()["transaction"]["driver"] is True
        told = ends(node)
    late = told["ROLLBACK"]["bt"] - told["TRIAL"]["until"]
    assert 0 <= late < WATCHER_SECONDS
    apart = told["ROLLBACK"]["wt"] - told["TRIAL"]["wt"]
    assert abs(apart - jump) < 60, "the wall clock was not set"


def test_row_34_a_person_accepts_in_time_whatever_the_wall_clock_says(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path, WALL_ONLY)
    with trial(tmp_path, clocks, window=60.0) as node:
        clocks.jump(DAY)
        assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"
        assert node.wait_for(lambda facts: facts["state"] == "accepted")["running"] == "2.0"
        numbers = [record["n"] for record in node.records()]
        assert numbers == sorted(numbers)


def test_row_35_time_in_which_the_node_was_suspended_counts(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path)
    with trial(tmp_path, clocks, window=600.0) as node:
        clocks.jump(DAY)
        resumed = time.time() + DAY  # all its clocks count from 1970
        told = ends(node)
    assert 0 <= told["ROLLBACK"]["bt"] - resumed < WATCHER_SECONDS
    assert told["ROLLBACK"]["bt"] > told["TRIAL"]["until"]


def test_row_35_nobody_accepts_what_was_over_while_the_node_was_suspended(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path)
    with trial(tmp_path, clocks, window=600.0) as node:
        (driver,) = node.drivers()
        os.kill(driver, signal.SIGSTOP)
        try:
            clocks.jump(DAY)
            assert node.ask("accept", run="1120-aaa", how="auto").code == "not-acceptable"
        finally:
            os.kill(driver, signal.SIGCONT)
        ends(node)


def test_row_35_the_second_layer_goes_back_for_a_watcher_that_does_not_wake(
    tmp_path: Path,
) -> None:
    clocks = Clocks(tmp_path)
    with trial(tmp_path, clocks, window=600.0) as node:
        (driver,) = node.drivers()
        os.kill(driver, signal.SIGSTOP)
        clocks.jump(DAY)
        assert node.second_layer().returncode == 0
        wait_until(lambda: driver not in node.drivers())
        ends(node)
