"""Interrupted before any call that changes something, the node always recovers.

Some points of each sweep, on every layout; `make faults` does all of them.
"""

import errno
from pathlib import Path

import pytest

from backends.node import transaction
from backends.node.keeping import OURS
from tests.faults import journals, readers, seeds, sweeps
from tests.faults.bench import AGAIN, CONFIGURED, LAYOUTS, Bench, attempt, run
from tests.faults.goals import Goal, goals
from tests.faults.injector import Injector
from tests.faults.oracle import same
from tests.faults.sweeps import PHASES, Tally

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module", params=LAYOUTS)
def bench(request: pytest.FixtureRequest, fast_for_all: Path) -> Bench:
    """A node with 1.0 running and 2.0 staged."""
    return Bench(fast_for_all / str(request.param), request.param)


def hold(tally: Tally, at_least: int) -> None:
    """Nothing is bad, and something was tried."""
    assert not tally.bad, tally.text()
    assert tally.cases >= at_least


@pytest.mark.parametrize("phase", PHASES)
def test_p1_p2_killed_at_some_points_the_node_recovers(bench: Bench, phase: str) -> None:
    hold(sweeps.crash(bench, phase, "kill", 41), 1)


@pytest.mark.parametrize("layout", [*AGAIN, *CONFIGURED])
@pytest.mark.parametrize("phase", PHASES)
def test_killed_at_some_points_the_same_version_again_leaves_what_was_there_or_what_was_released(
    fast_for_all: Path, layout: str, phase: str
) -> None:
    bench = Bench(fast_for_all / f"{layout} {phase}", layout, small=True)
    hold(sweeps.crash(bench, phase, "kill", 11), 1)


def test_row_4_torn_at_some_writes_the_node_recovers(bench: Bench) -> None:
    hold(sweeps.crash(bench, "install and back", "tear", 31, shift=5), 2)


def test_row_16_an_error_at_some_points_is_undone_by_the_same_process(bench: Bench) -> None:
    hold(sweeps.error_once(bench, errno.ENOSPC, 37), 2)


def test_row_17_errors_from_some_point_on_are_recovered_from_later(bench: Bench) -> None:
    hold(sweeps.error_for_good(bench, "install and back", errno.EIO, 47), 1)


def test_row_2_killed_twice_at_some_points_the_node_recovers(bench: Bench) -> None:
    hold(sweeps.twice(bench, "rollback", "kill", 2500), 1)


def test_row_22_a_short_write_on_a_full_disk_is_recovered_from(bench: Bench) -> None:
    hold(sweeps.full_after_short_write(bench, 97), 2)


def test_p3_before_backups_are_durable_nothing_of_the_product_changes(bench: Bench) -> None:
    bench.reset("staged")
    before = bench.product()
    total = run(bench, lambda: bench.install("keep_if_healthy"))
    for point in range(0, total, 3):
        bench.reset("staged")
        attempt(bench, lambda: bench.install("keep_if_healthy"), Injector(point, "kill"))
        opened = transaction.load(bench.places)
        records = [] if opened is None else [record["t"] for record in opened.records]
        if opened is not None:
            opened.close()
        if "BACKUPS" in records:
            return
        # A definition is prepared beside its place, under a name of ours.
        theirs = {name: about for name, about in bench.product().items() if OURS not in name}
        same(theirs, before)
        assert bench.running() == "1.0"
    raise AssertionError("no point with BACKUPS")


@pytest.fixture(scope="module")
def overlay(fast_for_all: Path) -> Bench:
    """A node whose files are replaced one by one."""
    return Bench(fast_for_all / "small overlay", "overlay", small=True)


def test_p8_names_never_vanish(overlay: Bench) -> None:
    hold(readers.cycles(overlay, 6), 100)


def test_row_57_decisions_race_and_one_wins(tmp_path_factory: pytest.TempPathFactory) -> None:
    hold(journals.races(tmp_path_factory.mktemp("races"), 40, seed=3), 40)


def test_row_32_no_change_of_the_bytes_invents_a_record() -> None:
    hold(journals.mutations(40, seed=3), 2_000)


# --- the harness itself -------------------------------------------------------------------------


def test_a_seeded_fault_is_caught(overlay: Bench) -> None:
    (seed,) = (seed for seed in seeds.SEEDS if seed.name == "old file unlinked first")
    assert seeds.caught(overlay, seed)


def test_at_least_20_faults_are_seeded_and_each_names_its_harness() -> None:
    assert len({seed.name for seed in seeds.SEEDS}) == len(seeds.SEEDS) >= 20
    assert {seed.harness for seed in seeds.SEEDS} == {*seeds.HARNESSES, *seeds.POWER_HARNESSES}


def test_a_goal_falls_short_when_a_case_is_bad_or_too_few_were_tried() -> None:
    goal = Goal("one", (), required=1600)
    assert not goal.falls_short(Tally(1600), 1)
    assert not goal.falls_short(Tally(100), 16)
    assert goal.falls_short(Tally(1600, ["bad"]), 1)
    assert goal.falls_short(Tally(100), 1)
    assert goal.falls_short(Tally(0), 1600)


def test_each_goal_has_a_name_of_its_own() -> None:
    names = [goal.name for goal in goals()]
    assert len({*names}) == len(names)
    assert all(len(name) <= 44 for name in names)
