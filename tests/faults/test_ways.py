"""Ways that an upgrade takes when something other than the disk says no; each ends at rest.

What goes wrong is planted in the child that does the phase, see `Bench.seed`.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    install,
    monitor,
    places,
    steps,
    transaction,
)
from backends.node.journal import JournalDamaged
from tests.faults.bench import Bench, run
from tests.faults.ledger import Ledger
from tests.faults.oracle import same
from tests.faults.table import fast_place

pytestmark = pytest.mark.faults


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory, where there is such a file system."""
    top = Path(tempfile.mkdtemp(prefix="liftlock-faults-", dir=fast_place()))
    yield top
    shutil.rmtree(top)


@pytest.fixture
def flat(fast: Path) -> Bench:
    """Files that are replaced one by one."""
    return Bench(fast / "flat", "overlay", small=True)


@pytest.fixture
def versions(fast: Path) -> Bench:
    """Versions beside each other, with a definition of the service and data."""
    return Bench(fast / "versions", "versions", small=True)


def why(bench: Bench) -> str:
    """Why the last transaction went back."""
    return str((places.read_json(bench.places.last) or {"why": ""})["why"])


def goes_back(bench: Bench, plant: Callable[[], Any]) -> str:
    """An install in which something is planted ends with the old version; why."""
    before = bench.product()
    bench.seed = plant
    run(bench, lambda: bench.install("keep_if_healthy"))
    bench.seed = None
    same(bench.product(), before)
    assert bench.running() == bench.before
    return why(bench)


def before(module: Any, name: str, act: Callable[..., Any]) -> Callable[[], None]:
    """Plants something that happens each time before a function is called, with its arguments."""

    def plant() -> None:
        real = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            act(*args, **kwargs)
            return real(*args, **kwargs)

        setattr(module, name, call)

    return plant


def instead(module: Any, name: str, act: Callable[..., Any]) -> Callable[[], None]:
    """Plants something that is called instead of a function."""
    return lambda: setattr(module, name, act)


def says_no(error: BaseException) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise error

    return call


# --- the way forward ----------------------------------------------------------------------------


def test_a_defect_of_ours_goes_back_and_is_called_one(flat: Bench) -> None:
    plant = instead(install.living_on, "keep", says_no(ZeroDivisionError("of ours")))
    assert goes_back(flat, plant) == "a defect in the updater: ZeroDivisionError: of ours"


def test_an_order_to_go_back_is_heeded_before_the_stop_and_before_the_start(flat: Bench) -> None:
    def order(*_: Any) -> None:
        opened = flat.opened()
        opened.decide("ROLLBACK", why="by order", by="ann@jump")
        opened.close()

    for module, name in ((steps, "back_up"), (install, "_check_target")):
        flat.reset("staged")
        assert goes_back(flat, before(module, name, order)) == "by order"


def test_what_is_not_in_the_release_is_no_definition(versions: Bench) -> None:
    versions.document["service"]["definition"] = "nothing/here"
    assert "has no file nothing/here" in goes_back(versions, lambda: None)


def test_a_directory_is_no_place_for_a_definition(versions: Bench) -> None:
    versions.unit.unlink()
    versions.unit.mkdir()
    assert "is a dir, no definition of a service" in goes_back(versions, lambda: None)


def test_a_journal_that_was_damaged_on_the_way_forward(flat: Bench) -> None:
    def damage(opened: transaction.Transaction) -> None:
        opened.journal.refresh = says_no(JournalDamaged("flipped"))  # type: ignore[method-assign]

    assert goes_back(flat, before(install, "_was_stopped_by_order", damage)) == "flipped"


def test_a_version_that_was_stopped_is_not_stopped_and_comes_back_stopped(flat: Bench) -> None:
    flat.book.write_text("")
    flat.before = ""
    goes_back(flat, instead(install, "_check_target", says_no(install.StepFailed("drill"))))
    flat.reset("staged")
    flat.book.write_text("")
    run(flat, lambda: flat.install("keep_if_healthy"))
    assert flat.running() == "2.0"


def test_a_service_that_cannot_be_enabled_is_no_success(fast: Path) -> None:
    bench = Bench(fast / "versions", "versions from nothing", small=True)
    plant = instead(Ledger, "set_enabled", lambda self, enabled: "no tool for it")
    assert goes_back(bench, plant) == "the service cannot be enabled: no tool for it"


def test_what_was_not_enabled_by_us_is_left_as_it_is(fast: Path) -> None:
    bench = Bench(fast / "versions", "versions from nothing", small=True)
    Path(f"{bench.unit}.enabled").touch()
    run(bench, lambda: bench.install("keep_if_healthy"))
    run(bench, bench.roll_back)
    assert Path(f"{bench.unit}.enabled").exists()


def test_p6_what_is_in_place_is_read_again_before_it_is_called_so(flat: Bench) -> None:
    live = Path(flat.places.directory)

    def edited(*_: Any) -> None:
        (live / "VERSION").write_text("2.0 or so\n")

    def manifest(*_: Any) -> None:
        os.unlink(flat.places.manifest("2.0"))

    def elsewhere(*_: Any) -> None:
        Path(flat.places.selected).write_text("../evil\n")

    def back_again(*_: Any) -> None:
        (live / "lib").mkdir(exist_ok=True)
        (live / "lib" / "gone").write_text("again\n")

    for act, said in (
        (edited, "not what was staged: "),
        (elsewhere, "names '../evil', no version"),
    ):
        flat.reset("staged")
        plant = before(install, "_check_target", act)
        # What was put there by nobody is kept; the old version is back.
        flat.seed = plant
        run(flat, lambda: flat.install("keep_if_healthy"))
        flat.seed = None
        assert said in why(flat)
        assert flat.running() == "1.0"


def test_a_definition_that_somebody_changed_is_not_the_release_s(versions: Bench) -> None:
    def change(*_: Any) -> None:
        versions.unit.write_text("of somebody\n")

    versions.seed = before(install, "_check_target", change)
    run(versions, lambda: versions.install("keep_if_healthy"))
    assert "is not the definition of the release" in why(versions)
    assert versions.unit.read_text() == "unit 1\n"


# --- the trial ----------------------------------------------------------------------------------


def decided(bench: Bench, kind: str) -> Callable[..., None]:
    """What another process of ours does: append a decision."""

    def decide(*_: Any) -> None:
        opened = bench.opened()
        opened.decide(kind, lambda records: None, by="ann@jump", how="manual", why="by order")
        opened.close()

    return decide


@pytest.mark.parametrize("moment", ["_fail", "_end_of_window"])
def test_p4_what_a_person_accepted_the_watcher_never_takes_back(flat: Bench, moment: str) -> None:
    """Accepted while the watcher looks: its look may take seconds, and ends with a bad word."""

    def plant() -> None:
        before(monitor, moment, decided(flat, "ACCEPT"))()
        if moment == "_fail":
            monitor._look = lambda opened, trial: "it answers no more"

    flat.seed = plant
    run(flat, lambda: flat.install("rollback"))
    assert (flat.decision(), flat.running()) == ("ACCEPT", "2.0")
    assert "ROLLBACK" not in [record["t"] for record in flat.opened().records]
