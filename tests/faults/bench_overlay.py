"""What a switch of 1,000 files costs, beside a plain copy: `python -m tests.faults.bench_overlay`.

The overlay layout replaces 1,000 files in 50 directories, on the disk of the temporary directory.
Measured are the parts of an install between its records, and how often each asks the disk to make
something durable. Beside it, in the same run: the same tree copied by `shutil.copytree`, which
promises nothing, and copied with each file synced. Rounds alternate; the median counts.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import measured
from tests.faults.bench import Bench
from tests.faults.measured import FILES, FOLDERS, Marks

ROUNDS = 5

PARTS = (
    ("INTENTS", "before-images taken, durable"),
    ("BACKUPS", "1,000 backups, durable"),
    ("QUIET", "service stopped"),
    ("EFFECT", "1,000 renames"),
    ("TARGET", "50 directories synced, all read again"),
)
"""Record that ends a part, and what the part is."""


def main() -> int:
    """Print the table."""
    top = Path(tempfile.mkdtemp(prefix="liftlock-bench-"))
    try:
        bench = Bench(top / "bench", "overlay", content=measured.thousand())
        parts: list[Marks] = []
        back: list[float] = []
        plain: list[float] = []
        synced: list[float] = []
        for _ in range(ROUNDS):
            bench.reset("staged")
            parts.append(measured.install(bench))
            back.append(measured.back(bench))
            plain.append(_copy(bench, sync=False))
            synced.append(_copy(bench, sync=True))
        _print(parts, *(statistics.median(each) for each in (back, plain, synced)))
    finally:
        shutil.rmtree(top)
    return 0


def _copy(bench: Bench, sync: bool) -> float:
    source = Path(bench.places.directory)
    goal = bench.top / "copy"
    start = time.perf_counter()
    shutil.copytree(source, goal, symlinks=True, ignore=lambda _, names: {".liftlock"} & {*names})
    for path in goal.rglob("*") if sync else ():
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    took = time.perf_counter() - start
    shutil.rmtree(goal)
    return took


def _print(parts: list[Marks], back: float, plain: float, synced: float) -> None:
    print(f"{FILES} files in {FOLDERS} directories, median of {ROUNDS}")
    print(f"{'part':42} {'seconds':>8} {'syncs':>6} {'of a plain copy':>16}")
    last = "HOOK"
    for kind, what in PARTS:
        seconds = statistics.median(each[kind][0] - each[last][0] for each in parts)
        syncs = parts[0][kind][1] - parts[0][last][1]
        print(f"{what:42} {seconds:8.3f} {syncs:6} {seconds / plain:15.2f}x")
        last = kind
    switch = statistics.median(each["TARGET"][0] - each["QUIET"][0] for each in parts)
    print(f"{'old to new: from QUIET to TARGET':42} {switch:8.3f} {'':6} {switch / plain:15.2f}x")
    print(f"{'the way back, proven':42} {back:8.3f} {'':6} {back / plain:15.2f}x")
    print(f"{'plain copy':42} {plain:8.3f} {0:6} {1:15.2f}x")
    print(f"{'copy with each file synced':42} {synced:8.3f} {FILES:6} {synced / plain:15.2f}x")


if __name__ == "__main__":
    sys.exit(main())
