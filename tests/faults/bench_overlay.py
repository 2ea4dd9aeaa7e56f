"""What a switch of 1,000 files costs, beside a plain copy: `python -m tests.faults.bench_overlay`.

The overlay layout replaces 1,000 files in 50 directories, on the disk of the temporary directory.
Measured are the parts of an install between its records, and how often each asks the disk to make
something durable. Beside it, in the same run: the same tree copied by `shutil.copytree`, which
promises nothing, and copied with each file synced. Rounds alternate; the median counts.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from backends.node import transaction
from tests.faults.bench import Bench, run
from tests.faults.trees import Release, Tree, live, text

FILES, FOLDERS, ROUNDS = 1_000, 50, 5
SYNCS = ("fsync", "fdatasync")

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
        bench = Bench(top / "bench", "overlay", content=_content())
        parts: list[dict[str, Any]] = []
        plain: list[float] = []
        synced: list[float] = []
        for _ in range(ROUNDS):
            bench.reset("staged")
            parts.append(_install(bench))
            back = time.perf_counter()
            run(bench, bench.roll_back)
            parts[-1]["back"] = time.perf_counter() - back
            plain.append(_copy(bench, sync=False))
            synced.append(_copy(bench, sync=True))
        _print(parts, statistics.median(plain), statistics.median(synced))
    finally:
        shutil.rmtree(top)
    return 0


def _content() -> tuple[Release, Release, Tree]:
    trees = [
        {
            f"d{number % FOLDERS:02}/file{number:04}": text(f"{version} {number}\n" * 400)
            for number in range(FILES)
        }
        for version in ("1.0", "2.0")
    ]
    old, new = (
        Release(version, {**tree, "VERSION": text(f"{version}\n")})
        for version, tree in zip(("1.0", "2.0"), trees, strict=True)
    )
    return old, new, live(old, own=False)


def _install(bench: Bench) -> dict[str, Any]:
    """Install, and tell at each record how much time and how many syncs it took so far."""
    report = bench.top / "report.json"

    def measured() -> Any:
        marks: dict[str, tuple[float, int]] = {}
        syncs = [0]
        for name in SYNCS:
            _count(name, syncs)
        plain = transaction.Transaction.log
        start = time.perf_counter()

        def log(self: Any, kind: str, durable: bool = True, **fields: Any) -> Any:
            record = plain(self, kind, durable, **fields)
            marks[kind] = (time.perf_counter() - start, syncs[0])
            return record

        transaction.Transaction.log = log  # type: ignore[method-assign]
        outcome = bench.install("keep_if_healthy")
        report.write_text(json.dumps(marks))
        return outcome

    run(bench, measured)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _count(name: str, syncs: list[int]) -> None:
    real = getattr(os, name)

    def call(fd: int) -> None:
        syncs[0] += 1
        real(fd)

    setattr(os, name, call)


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


def _print(parts: list[dict[str, Any]], plain: float, synced: float) -> None:
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
    back = statistics.median(each["back"] for each in parts)
    print(f"{'the way back, proven':42} {back:8.3f} {'':6} {back / plain:15.2f}x")
    print(f"{'plain copy':42} {plain:8.3f} {0:6} {1:15.2f}x")
    print(f"{'copy with each file synced':42} {synced:8.3f} {FILES:6} {synced / plain:15.2f}x")


if __name__ == "__main__":
    sys.exit(main())
