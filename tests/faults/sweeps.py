"""The sweeps: something happens at one call, or at two, or at three; then all is judged.

Each takes a bench and every `sample`-th case, and gives back a `Tally`. Numbers and cases are
those of the notes on reliability, section 6.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.node.journal import JournalDamaged
from backends.node.wire import WireError
from tests.faults.bench import Bench, attempt, run
from tests.faults.injector import FullAfterShortWrite, Injector
from tests.faults.oracle import Oracle

if TYPE_CHECKING:
    from tests.machines.ends import Ended

ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EPERM, errno.EXDEV)

_WRITES = 36
"""Writes of an install, plan, journal and records of its steps, that are cut short."""

_SAID = 2000
"""Characters of a child's words that are kept of a bad case."""

PHASES: dict[str, tuple[str, Callable[[Bench], Any]]] = {
    "install": ("staged", lambda bench: bench.install("keep_if_healthy")),
    "install and back": ("staged", lambda bench: bench.install("rollback")),
    "rollback": ("accepted", lambda bench: bench.roll_back()),
    "finalize": ("accepted", lambda bench: bench.finalize()),
}
"""From which state, and what is done."""


@dataclass
class Tally:
    """How many cases were tried, and what was wrong."""

    cases: int = 0
    bad: list[str] = field(default_factory=list)
    ended: "list[Ended]" = field(default_factory=list)
    """How each case ended, where that is shown."""

    def judge(self, name: str, bench: Bench, judged: Callable[[], None]) -> None:
        """One case: bad when the judgement raises."""
        self.cases += 1
        said = bench.log.read_text(errors="replace")[-_SAID:]
        try:
            judged()
        except (AssertionError, OSError, JournalDamaged, WireError) as error:
            self.bad.append(f"{bench.name}, {name}: {error}\n{said}")

    def add(self, other: "Tally") -> None:
        """Count another sweep's cases as one's own."""
        self.cases += other.cases
        self.bad += other.bad
        self.ended += other.ended

    def text(self) -> str:
        """The first few of what went wrong."""
        return "\n".join([f"{len(self.bad)} of {self.cases} are bad", *self.bad[:5]])


def _length(bench: Bench, phase: str, how: str) -> int:
    """At how many calls of a phase something can happen in this way."""
    template, work = PHASES[phase]
    with bench.without_seed():
        bench.reset(template)
        return run(bench, lambda: work(bench), like=how)


def crash(bench: Bench, phase: str, how: str, sample: int = 1, shift: int = 0) -> Tally:
    """Rows 1 to 4: killed, or killed in the middle of a write, at each call of a phase."""
    template, work = PHASES[phase]
    oracle = Oracle(bench)
    tally = Tally()
    for point in range(shift % sample, _length(bench, phase, how), sample):
        bench.reset(template)
        attempt(bench, lambda: work(bench), Injector(point, how))
        tally.judge(f"{phase} {how} {point}", bench, oracle.judge_recovered)
    return tally


def error_once(bench: Bench, number: int, sample: int = 1, shift: int = 0) -> Tally:
    """Rows 16, 19, 20, 21: one call of an install fails, and the same process goes back."""
    oracle = Oracle(bench)
    tally = Tally()

    def judged() -> None:
        oracle.judge()
        oracle.judge_recovered()

    for point in range(shift % sample, _length(bench, "install", "error"), sample):
        bench.reset("staged")
        injector = Injector(point, "error", number)
        attempt(bench, lambda: bench.install("keep_if_healthy"), injector)
        tally.judge(f"{errno.errorcode[number]} once at {point}", bench, judged)
    return tally


def error_for_good(
    bench: Bench, phase: str, number: int, sample: int = 1, shift: int = 0
) -> Tally:
    """Rows 17 and 20: every call fails from one on; a later `recover` makes it good."""
    template, work = PHASES[phase]
    oracle = Oracle(bench)
    tally = Tally()
    for point in range(shift % sample, _length(bench, phase, "error"), sample):
        bench.reset(template)
        attempt(bench, lambda: work(bench), Injector(point, "error", number, for_good=True))
        name = f"{phase} {errno.errorcode[number]} from {point} on"
        tally.judge(name, bench, oracle.judge_recovered)
    return tally


def full_after_short_write(bench: Bench, sample: int = 1, shift: int = 0) -> Tally:
    """Row 22: at each write of an install, and up to 11 calls later the end."""
    oracle = Oracle(bench)
    tally = Tally()
    cases = [(at, later) for at in range(_WRITES) for later in (0, 1, 2, 3, 5, 8, 11)]
    for at, later in cases[shift % sample :: sample]:
        bench.reset("staged")
        injector = FullAfterShortWrite(at, later)
        status = attempt(bench, lambda: bench.install("keep_if_healthy"), injector)
        if not os.WIFSIGNALED(status) and bench.decision() == "ACCEPT":
            continue  # it has fewer writes than that: nothing happened
        tally.judge(f"short write {at}, killed {later} later", bench, oracle.judge_recovered)
    return tally


def twice(bench: Bench, phase: str, how: str, sample: int = 1, shift: int = 0) -> Tally:
    """Row 2: killed in a phase, and the recovery is killed again, at each pair of calls."""
    return _chain(bench, phase, (how, how), sample, shift)


def thrice(bench: Bench, phase: str, sample: int = 1, shift: int = 0) -> Tally:
    """Torn in a phase, killed in the recovery, torn in the next one."""
    return _chain(bench, phase, ("tear", "kill", "tear"), sample, shift)


def _chain(bench: Bench, phase: str, hows: tuple[str, ...], sample: int, shift: int) -> Tally:
    template, work = PHASES[phase]
    oracle = Oracle(bench)
    tally = Tally()
    step = max(1, round(sample ** (1 / len(hows))))

    def judged() -> None:
        run(bench, bench.recover)
        oracle.judge()

    def crashed_at(points: tuple[int, ...]) -> bool:
        """Whether the last of these crashes happened, or was behind the end."""
        bench.reset(template)
        attempt(bench, lambda: work(bench), Injector(points[0], hows[0]))
        status = 0
        for point, how in zip(points[1:], hows[1:], strict=False):
            status = attempt(bench, bench.recover, Injector(point, how))
        return os.WIFSIGNALED(status)

    def go_on(points: tuple[int, ...]) -> None:
        """All ways to crash once more after these crashes."""
        next_one = (shift + sum(points)) % step
        while crashed_at((*points, next_one)):
            if len(points) + 1 == len(hows):
                tally.judge(f"{phase} {hows} at {points} and {next_one}", bench, judged)
            else:
                go_on((*points, next_one))
            next_one += step

    for first in range(shift % step, _length(bench, phase, hows[0]), step):
        go_on((first,))
    return tally
