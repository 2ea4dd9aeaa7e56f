"""How long what must not take long takes, in seconds: each case is held against its limit.

The limits are those of the notes on reliability, section 6.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults import measured
from tests.faults.bench import Bench
from tests.faults.sweeps import Tally
from tests.machines.site import STATE, Site, a_site
from tests.support.beacon import Beacon
from tests.support.node import a_node, wait_until

SWITCH_SECONDS = 1.0
POINTER_SECONDS = 0.005
BACK_SECONDS = 3.0
WATCHER_SECONDS = 2.0
TICK_SECONDS = 65.0
LINK_SECONDS = 5.0

_MORE_SYNCS = 4
"""What a switch may sync besides the directories whose names it changes."""

_TOUCHED = 2 * measured.FOLDERS + 6
"""Live and staged directories of 1,000 files, both tops, the store, our state, the unit's."""


def switches(top: Path, sample: int) -> Tally:
    """1,000 files there and back, and the pointer of a versions layout."""
    tally = Tally()
    flat = Bench(top / "flat", "overlay", content=measured.thousand())
    for _ in range(5):
        flat.reset("staged")
        marks = measured.install(flat)
        hold(tally, "switch of 1,000 files", marks["TARGET"][0] - marks["DATA"][0], SWITCH_SECONDS)
        syncs = marks["TARGET"][1] - marks["DATA"][1]
        hold(tally, "syncs in it", syncs, _TOUCHED + _MORE_SYNCS, "")
        hold(tally, "way back of 1,000 files", measured.back(flat), BACK_SECONDS)
    versions = Bench(top / "versions", "versions")
    for _ in range(5):
        versions.reset("staged")
        hold(tally, "switch of a pointer", measured.pointer(versions), POINTER_SECONDS)
    return tally


def watchers(top: Path, sample: int) -> Tally:
    """From the end of an accept window to the decision to go back."""
    tally = Tally()
    with a_node(top / "node") as node:
        node.put_in_place(Beacon("1.0"))
        node.document["limits"]["accept_window"] = 1.0
        for number in range(5):
            node.begin(Beacon("2.0"), f"1120-aa{number}")
            node.wait_for(lambda facts: facts["transaction"] is None)
            records = {record["t"]: record for record in node.records()}
            late = records["ROLLBACK"]["bt"] - records["TRIAL"]["until"]
            hold(tally, "deadline to the way back", late, WATCHER_SECONDS)
    return tally


def ticks(top: Path, sample: int) -> Tally:
    """From the end of a killed watcher to the decision of the second layer to go back."""
    tally = Tally()
    with _in_trial(top) as site:
        killed = {}
        for name in site.names:
            killed[name] = time.monotonic()
            site[name].ask("kill", "-9", str(site.driver(name)))
        while killed and time.monotonic() < max(killed.values()) + TICK_SECONDS:
            time.sleep(0.05)
            for name in [name for name in killed if _goes_back(site, name)]:
                late = time.monotonic() - killed.pop(name)
                hold(tally, f"{name}: killed watcher to the way back", late, TICK_SECONDS)
        for name in killed:
            hold(tally, f"{name}: killed watcher to the way back", float("inf"), TICK_SECONDS)
    return tally


def links(top: Path, sample: int) -> Tally:
    """From the cut of a link to the word that nothing is known of the node any more."""
    tally = Tally()
    with _in_trial(top) as site, _watched(site) as problems:
        for name in site.names:
            # The first status is read before the watch begins, which is not seen from outside.
            time.sleep(10.0)
            wait_until(lambda name=name: problems.get(name, "") is None, seconds=60)
            site.cut_link(name)
            cut = time.monotonic()
            wait_until(lambda name=name: problems[name] is not None, seconds=60)
            hold(tally, f"{name}: dead link to unknown", time.monotonic() - cut, LINK_SECONDS)
            site.mend_link(name)
    return tally


def hold(tally: Tally, what: str, found: float, limit: float, unit: str = " s") -> None:
    """One case."""
    tally.cases += 1
    if found > limit:
        tally.bad.append(f"{what}: {found:.3g}{unit}, {limit:g}{unit} at most")


@contextmanager
def _in_trial(top: Path) -> Iterator[Site]:
    """A site of three machines in trial at once; nobody accepts for minutes."""
    top.mkdir(parents=True)
    with a_site(top, 3, accept="manual", accept_window="300s") as site:
        site.settle()
        site.release("2.0")
        begun = site.start(
            *("upgrade", str(site.file), str(site.releases["2.0"]), "--yes", "--batch", "3")
        )
        site.wait_for(
            lambda status: all(
                (node["state"], node["health"]) == ("monitoring", "healthy")
                for node in status["nodes"]
            )
        )
        begun.kill()
        begun.communicate()
        yield site


def _goes_back(site: Site, name: str) -> bool:
    home = site[name].path(f"{STATE}/beacon")
    found = [home / "active" / "journal", *(home / "done").glob("*/journal")]
    return any(path.exists() and b'"t":"ROLLBACK"' in path.read_bytes() for path in found)


@contextmanager
def _watched(site: Site) -> Iterator[dict[str, Any]]:
    """The newest word of `status --watch` about each node: None, or why it is not known."""
    problems: dict[str, Any] = {}
    process = site.start("status", str(site.file), "--watch", "--json")

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            problems.update((node["name"], node["problem"]) for node in json.loads(line)["nodes"])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield problems
    finally:
        process.kill()
        process.wait()
        reader.join()
