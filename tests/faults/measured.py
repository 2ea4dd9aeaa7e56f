"""An upgrade of 1,000 files whose parts are timed, and each call that makes something durable."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

from backends.node import steps, transaction
from tests.faults.bench import Bench, run
from tests.faults.trees import Release, Tree, live, text

FILES, FOLDERS = 1_000, 50
SYNCS = ("fsync", "fdatasync")

Marks = dict[str, tuple[float, int]]
"""Record -> seconds since the start, and syncs so far, when it was written."""


def thousand() -> tuple[Release, Release, Tree]:
    """Two releases of 1,000 files in 50 directories, all different, and the old one in place."""
    trees = [
        {
            f"d{number % FOLDERS:02}/file{number:04}": text(f"{version} {number}\n" * 400)
            for number in range(FILES)
        }
        for version in ("1.0", "2.0")
    ]
    old, new = (
        Release(
            version,
            {**tree, "VERSION": text(f"{version}\n"), "unit": text(f"unit {version[0]}\n")},
        )
        for version, tree in zip(("1.0", "2.0"), trees, strict=True)
    )
    return old, new, live(old, own=False)


def install(bench: Bench) -> Marks:
    """Install, and tell at each record how much time and how many syncs it took so far."""

    def measured(marks: Marks) -> str:
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
        return bench.install("keep_if_healthy")

    return _told(bench, measured)


def pointer(bench: Bench) -> float:
    """Install, and tell how many seconds the last step took, by which the next start runs 2.0."""

    def measured(took: dict[str, float]) -> str:
        plain = steps.apply

        def apply(step: steps.Step) -> None:
            start = time.perf_counter()
            plain(step)
            took["last"] = time.perf_counter() - start

        steps.apply = apply
        return bench.install("keep_if_healthy")

    return float(_told(bench, measured)["last"])


def back(bench: Bench) -> float:
    """Go back, and tell how many seconds that took, with its proof."""
    start = time.perf_counter()
    run(bench, bench.roll_back)
    return time.perf_counter() - start


def _told(bench: Bench, measured: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """What something finds in a child, in which it may patch whatever it likes."""
    report = bench.top / "report.json"

    def told() -> str:
        found: dict[str, Any] = {}
        outcome = measured(found)
        report.write_text(json.dumps(found))
        return outcome

    run(bench, told)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _count(name: str, syncs: list[int]) -> None:
    real = getattr(os, name)

    def call(fd: int) -> None:
        syncs[0] += 1
        real(fd)

    setattr(os, name, call)
