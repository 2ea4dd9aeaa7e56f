"""What must hold, in numbers: the table of the notes on reliability, section 6.

A goal is split into units that can run side by side; each makes a bench of its own. The sweeps
fork for each case, which takes the longer the more is loaded: what needs the whole program is
loaded when it is done.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import journals, power, readers, seeds, shipped, sweeps
from tests.faults.bench import AGAIN, BENCHES, CONFIGURED, LAYOUTS, Bench
from tests.faults.sweeps import ERRNOS, PHASES, Tally
from tests.support.interpreters import node_pythons

PYTHONS = ("3.6", "3.8", "3.11", "3.13")
"""What nodes have: the oldest, the newest, and two between."""

_SHARES = 4
"""Sites on which the runs end to end are done, each with machines of its own."""

_KILLED_SHARES = 2
"""Clusters on which an upgrade is killed at its events."""

_RUNS_ON_A_SITE = 5
"""A site is not made for fewer."""

Unit = Callable[[Path, int], Tally]
"""Does its part below a directory of its own; every n-th case."""


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    name: str
    units: tuple[Unit, ...]
    required: int = 0
    """Cases when nothing is left out; a sample has its share of them."""

    waits: bool = False
    """Whether its units mostly wait: they go on beside those that compute."""

    alone: bool = False
    """Whether it needs the machine for itself."""

    whole: bool = False
    """Whether a sample does all of its cases, too."""

    def falls_short(self, tally: Tally, sample: int) -> bool:
        """Whether something was bad, or too little was tried to say so."""
        share = 1 if self.whole else sample
        return bool(tally.bad) or tally.cases < max(1, self.required * 8 // 10 // share)


def goals() -> Iterator[Goal]:
    """All of them, the short ones first."""
    yield _whole(
        "1,000 files: switch 1 s, back 3 s",
        _of("tests.faults.timings", "switches"),
        20,
        alone=True,
    )
    yield Goal(
        "a node talks without end: 16 MiB, 100 ms",
        (_of("tests.hostile.flood", "floods"),),
        15,
        alone=True,
    )
    yield Goal("journal: bytes changed in every way", (_mutations,), 100_000)
    yield Goal("decisions: four at once, one is killed", (_races,), 2_000)
    yield Goal("readers during 60 cycles", _each(_readers, ("overlay", "versions")), 8_000)
    yield Goal(
        "sensitivity: faults seeded into the protocol",
        tuple(partial(_seed, seed) for seed in seeds.SEEDS),
        # Not a sample: a fault that is not tried is not caught.
        0,
    )
    yield Goal(
        "an enemy's archives: refused by name",
        (_of("tests.hostile.archives", "refusals"),),
        40,
        whole=True,
    )
    yield Goal(
        "an enemy's texts in each widget", (_of("tests.hostile.painted", "every_text"),), 5_000
    )
    yield Goal("killed at each call", _crashes("kill", *AGAIN, *CONFIGURED), 4_000)
    yield Goal("torn at each write, then killed", _crashes("tear"), 900)
    yield Goal(
        "an error once, at each call",
        tuple(
            partial(_error_once, layout, number, shift)
            for layout in BENCHES
            for shift, number in enumerate(ERRNOS)
        ),
        1_700,
    )
    yield Goal(
        "errors from each call on",
        tuple(
            partial(_error_for_good, layout, phase, number, shift)
            for layout in BENCHES
            for phase in PHASES
            for shift, number in enumerate(ERRNOS)
        ),
        1_300,
    )
    yield Goal(
        "power cut at each call: ext4, xfs, btrfs",
        tuple(
            partial(_power, layout, system, phase, shift)
            for layout in BENCHES
            for system in power.FILE_SYSTEMS
            for shift, phase in enumerate(power.PHASES)
            if layout in LAYOUTS or system.name != "xfs"  # the slowest, and never the strictest
        ),
        1_800,
    )
    yield Goal(
        "power cut in the recovery from one",
        tuple(
            partial(_power_twice, layout, system, shift)
            for layout in LAYOUTS
            for shift, system in enumerate(power.FILE_SYSTEMS)
        ),
        500,
    )
    yield Goal(
        "strace kills the file on 3.6 3.8 3.11 3.13",
        tuple(
            partial(_shipped, layout, minor, phase, shift)
            for shift, (layout, minor) in enumerate(
                (*(("overlay", minor) for minor in PYTHONS), ("versions", "3.6"), ("swap", "3.6"))
            )
            for phase in shipped.PHASES
        ),
        700,
    )
    yield Goal("a short write, then a full disk", _each(_short_write, BENCHES), 700)
    yield Goal(
        "torn, killed, torn",
        tuple(partial(_thrice, layout) for layout in BENCHES),
        700,
    )
    yield Goal(
        "killed twice, at each pair of calls",
        tuple(
            partial(_twice, layout, phase)
            for layout in BENCHES
            for phase in ("install", "rollback", "finalize")
        ),
        25_000,
    )

    yield _whole(
        "deadline to the way back: watcher 2 s", _of("tests.faults.timings", "watchers"), 5
    )
    yield _whole(
        "killed watcher to the way back: tick 65 s", _of("tests.faults.timings", "ticks"), 3
    )
    yield _whole("dead link to unknown: 5 s", _of("tests.faults.timings", "links"), 3)
    yield Goal(
        "a node says an enemy's texts everywhere",
        (_of("tests.hostile.program", "whole_program"),),
        80,
        waits=True,
    )
    yield _whole(
        "secrets: typed, used, found nowhere", _of("tests.hostile.secrets", "nowhere"), 100
    )
    yield Goal(
        "operator killed at each event, then resumed",
        (
            *(partial(_killed, "upgrades", "local", 1, share) for share in range(_KILLED_SHARES)),
            # Every fourth over SSH, and of a rollback.
            partial(_killed, "upgrades", "ssh", 4, None),
            partial(_killed, "rollbacks", "local", 4, None),
        ),
        250,
        waits=True,
    )
    yield Goal(
        "end to end: 8 faults at 20 moments",
        tuple(partial(_ends, share) for share in range(_SHARES)),
        150,
        waits=True,
    )


def _whole(name: str, unit: Unit, required: int, *, alone: bool = False) -> Goal:
    return Goal(name, (unit,), required, waits=not alone, alone=alone, whole=True)


def _of(module: str, name: str) -> Unit:
    return partial(_loaded, module, name)


def _loaded(module: str, name: str, top: Path, sample: int) -> Tally:
    unit: Unit = getattr(importlib.import_module(module), name)
    return unit(top, sample)


def _each(unit: Callable[[str, Path, int], Tally], layouts: tuple[str, ...]) -> tuple[Unit, ...]:
    return tuple(partial(unit, layout) for layout in layouts)


def _crashes(how: str, *more: str) -> tuple[Unit, ...]:
    benches = (*BENCHES, *more)
    return tuple(partial(_crash, layout, phase, how) for layout in benches for phase in PHASES)


def _mutations(top: Path, sample: int) -> Tally:
    return journals.mutations(sample, seed=1)


def _races(top: Path, sample: int) -> Tally:
    folder = top / "races"
    folder.mkdir(parents=True)
    return journals.races(folder, 2_000 // sample, seed=1)


def _readers(layout: str, top: Path, sample: int) -> Tally:
    # Never fewer cycles: a reader that looks for a moment only proves nothing.
    return readers.cycles(Bench(top, layout), 60)


def _seed(seed: seeds.Seed, top: Path, sample: int) -> Tally:
    if seed.needs_power:
        with power.power_bench(top, seed.layout, power.FILE_SYSTEMS[-1]) as bench:
            caught = seeds.caught(bench, seed)
    else:
        caught = seeds.caught(Bench(top, seed.layout, small=True), seed)
    return Tally(1, [] if caught else [f"not caught by {seed.harness}: {seed.name}"])


def _power(
    layout: str, system: power.FileSystem, phase: str, shift: int, top: Path, sample: int
) -> Tally:
    # Each call on ext4, and on one of the others; of first installs, which do the same with less,
    # half of that.
    share = 1 if layout in LAYOUTS and system.name == "ext4" else 2
    with power.power_bench(top, layout, system) as bench:
        return power.cuts(bench, phase, share * sample, shift + (system.name == "btrfs"))


def _shipped(layout: str, minor: str, phase: str, shift: int, top: Path, sample: int) -> Tally:
    found = [python.path for python in node_pythons() if python.minor == minor]
    if not found:
        return Tally(0, [f"there is no Python {minor} here"])
    with shipped.shipped_bench(top, layout, found[0]) as bench:
        # Every third call on each Python, and other ones on the next; a share on other layouts.
        return shipped.kills(bench, phase, (3 if layout == "overlay" else 6) * sample, shift)


def _power_twice(
    layout: str, system: power.FileSystem, shift: int, top: Path, sample: int
) -> Tally:
    # All pairs would be 50,000 boots: every 100th is twice the 500 that are asked for.
    with power.power_bench(top, layout, system) as bench:
        return power.cuts_in_recovery(bench, 100 * sample, shift)


def _crash(layout: str, phase: str, how: str, top: Path, sample: int) -> Tally:
    return sweeps.crash(Bench(top, layout), phase, how, sample)


def _error_once(layout: str, number: int, shift: int, top: Path, sample: int) -> Tally:
    # Each call sees two of the errors, its neighbours the others.
    return sweeps.error_once(Bench(top, layout), number, 3 * sample, shift)


def _error_for_good(
    layout: str, phase: str, number: int, shift: int, top: Path, sample: int
) -> Tally:
    # Each call of one phase or of another sees one of the errors, its neighbours the others.
    shift = 2 * shift + [*PHASES].index(phase) % 2
    return sweeps.error_for_good(Bench(top, layout, small=True), phase, number, 12 * sample, shift)


def _short_write(layout: str, top: Path, sample: int) -> Tally:
    return sweeps.full_after_short_write(Bench(top, layout, small=True), sample)


def _thrice(layout: str, top: Path, sample: int) -> Tally:
    # All triples would be millions: every 100th is far more than the 700 that are asked for.
    return sweeps.thrice(Bench(top, layout, small=True), "install", 100 * sample)


def _twice(layout: str, phase: str, top: Path, sample: int) -> Tally:
    # All pairs on each layout; of first installs, which are the same with less, a share.
    share = 1 if layout in LAYOUTS else 16
    return sweeps.twice(Bench(top, layout, small=True), phase, "kill", share * sample)


def _killed(
    what: str, ground: str, every: int, share: int | None, top: Path, sample: int
) -> Tally:
    unit = importlib.import_module("tests.faults.killed_operators")
    of_all = {} if share is None else {"share": share, "shares": _KILLED_SHARES}
    found: Tally = getattr(unit, what)(ground, top, every * sample, **of_all)
    return found


def _ends(share: int, top: Path, sample: int) -> Tally:
    from tests.machines import ends

    cases = ends.mixed()[::sample]
    sites = max(1, min(_SHARES, len(cases) // _RUNS_ON_A_SITE))
    ended = list(ends.all_ended(top, cases[share::sites] if share < sites else []))
    return Tally(len(ended), [one.line() for one in ended if one.bad], ended)
