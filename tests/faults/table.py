"""`make faults`: break the updater in every way, and print one table.

    goal                                        cases  bad  seconds

Exit 1 when a case is bad or a goal had fewer cases than it needs.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from concurrent.futures import Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path

from tests.faults.goals import Goal, Unit, goals
from tests.faults.sweeps import Tally
from tests.support.interpreters import put_this_python_first

_LONG_SECONDS = 300.0


def main() -> int:
    """Do what was asked; the exit code."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--sample", type=int, default=1, help="every n-th case")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="goals whose name holds this text")
    asked = parser.parse_args()
    chosen = [goal for goal in goals() if asked.only in goal.name]
    if not chosen:
        parser.error(f"no goal's name holds {asked.only!r}")
    put_this_python_first()
    top = Path(tempfile.mkdtemp(prefix="liftlock-faults-", dir=fast_place()))
    try:
        return _run(chosen, asked.sample, asked.workers, top)
    finally:
        shutil.rmtree(top)


def fast_place() -> str | None:
    """Memory, where there is such a file system: kills and errors are the same there."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _run(chosen: list[Goal], sample: int, workers: int, top: Path) -> int:
    said = "" if sample == 1 else f"  every {sample}th case"
    print(
        f"{'goal':44}  {'cases':>7}  {'bad':>4}  {'seconds':>7}{said}",
        flush=True,
    )
    # Forked children fork again: each unit has a process with one thread, and little loaded.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as computing,
        ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as waiting,
    ):
        try:
            short = _show(chosen, sample, top, {False: computing, True: waiting})
        except BaseException:
            for pool in (computing, waiting):
                pool.shutdown(cancel_futures=True)
            raise
    print(f"{len(chosen) - short} of {len(chosen)} goals hold")
    return 1 if short else 0


def _show(
    chosen: list[Goal], sample: int, top: Path, pools: dict[bool, ProcessPoolExecutor]
) -> int:
    """Do it, and print what came of each goal; how many fall short."""
    short = 0
    begun: list[tuple[Goal, list[Future[tuple[Tally, float]]]]] = []
    for goal in sorted(chosen, key=lambda goal: not goal.alone):
        units = [_begin(pools[goal.waits], unit, top, sample) for unit in goal.units]
        for unit in units:
            unit.add_done_callback(partial(_tell, goal.name))
        begun.append((goal, units))
        if goal.alone:
            wait(units)
    for goal, units in begun:
        tally, seconds = _sum(units)
        print(f"{goal.name:44}  {tally.cases:7}  {len(tally.bad):4}  {seconds:7.1f}", flush=True)
        if goal.falls_short(tally, sample):
            short += 1
            print(f"SHORT  {goal.name}: {tally.text()}\n", flush=True)
        if tally.ended:
            from tests.machines import ends

            print("", *ends.table(tally.ended), "", sep="\n", flush=True)
    return short


def _begin(
    pool: ProcessPoolExecutor, unit: Unit, top: Path, sample: int
) -> "Future[tuple[Tally, float]]":
    return pool.submit(_work, unit, Path(tempfile.mkdtemp(dir=top)), sample)


def _work(unit: Unit, top: Path, sample: int) -> tuple[Tally, float]:
    started = time.monotonic()
    os.umask(0o022)
    try:
        return unit(top / "bench", sample), time.monotonic() - started
    except Exception:  # it could not be tried: that is as bad as a bad case
        return Tally(0, [traceback.format_exc()]), time.monotonic() - started
    finally:
        shutil.rmtree(top)


def _tell(name: str, unit: "Future[tuple[Tally, float]]") -> None:
    """Say at once what a part took minutes to find out: the line of its goal may be hours away."""
    if unit.cancelled() or unit.exception() is not None:
        return  # the table says so
    tally, took = unit.result()
    if took > _LONG_SECONDS:
        found = f"{tally.cases} cases, {len(tally.bad)} bad, {took:.0f} s"
        print(f"  a part of {name}: {found}", file=sys.stderr, flush=True)


def _sum(units: "list[Future[tuple[Tally, float]]]") -> tuple[Tally, float]:
    whole, seconds = Tally(), 0.0
    for unit in units:
        tally, took = unit.result()
        whole.add(tally)
        seconds += took
    return whole, seconds
