"""The way forward when something other than the disk says no; each ends at rest."""

from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    configuration,
    data,
    install,
    steps,
    transaction,
)
from backends.node.journal import JournalDamaged
from backends.node.layout import PointerUnreadable
from tests.faults.bench import Bench, run
from tests.faults.ledger import Ledger
from tests.faults.oracle import same
from tests.faults.planting import accepted, before, goes_back, instead, unproven, why
from tests.support.raising import says

pytestmark = pytest.mark.faults


def test_a_defect_of_ours_goes_back_and_is_called_one(flat: Bench) -> None:
    plant = instead(install.living_on, "keep", says(ZeroDivisionError("of ours")))
    assert goes_back(flat, plant) == "a defect in the updater: ZeroDivisionError: of ours"


def test_what_cannot_be_compared_with_what_was_decided_is_not_replaced(flat: Bench) -> None:
    plant = instead(configuration, "edited_since", says(PointerUnreadable("no link")))
    assert goes_back(flat, plant) == "no link"


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
        opened.journal.refresh = says(JournalDamaged("flipped"))  # type: ignore[method-assign]

    assert goes_back(flat, before(install, "_was_stopped_by_order", damage)) == "flipped"


def test_a_version_that_was_stopped_is_not_stopped_and_comes_back_stopped(flat: Bench) -> None:
    flat.book.write_text("")
    flat.before = ""
    goes_back(flat, instead(install, "_check_target", says(install.StepFailed("drill"))))
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

    def elsewhere(*_: Any) -> None:
        Path(flat.places.selected).write_text("../evil\n")

    for act, said in (
        (edited, "not what was staged: "),
        (elsewhere, "names '../evil', no version"),
    ):
        flat.reset("staged")
        flat.seed = before(install, "_check_target", act)
        run(flat, lambda: flat.install("keep_if_healthy"))
        flat.seed = None
        assert said in why(flat)
        assert flat.running() == "1.0"


def test_p6_what_was_removed_has_to_be_gone(fast: Path) -> None:
    bench = Bench(fast / "whole", "overlay")

    def again(*_: Any) -> None:
        (Path(bench.places.directory) / "lib" / "gone").write_text("again\n")

    bench.seed = before(install, "_check_target", again)
    run(bench, lambda: bench.install("keep_if_healthy"))
    assert why(bench).endswith("lib/gone was removed and is there again")
    assert bench.running() == "1.0"


def test_without_the_new_manifest_nothing_is_called_equal_to_it(flat: Bench) -> None:
    before_it = flat.product()
    manifest = Path(flat.places.manifest("2.0"))
    kept = manifest.read_bytes()

    flat.seed = before(install, "_check_target", lambda *_: manifest.unlink(missing_ok=True))
    assert "the manifest of 1.0 is gone" in unproven(flat, lambda: flat.install("keep_if_healthy"))
    manifest.write_bytes(kept)
    run(flat, flat.recover)
    same(flat.product(), before_it)
    assert why(flat) == "the manifest of 2.0 is gone"


def test_a_definition_that_somebody_changed_is_not_the_release_s(versions: Bench) -> None:
    def change(*_: Any) -> None:
        versions.unit.write_text("of somebody\n")

    versions.seed = before(install, "_check_target", change)
    run(versions, lambda: versions.install("keep_if_healthy"))
    assert "is not the definition of the release" in why(versions)
    assert versions.unit.read_text() == "unit 1\n"


def test_data_that_somebody_writes_while_it_is_copied_is_no_copy(versions: Bench) -> None:
    def write(*_: Any) -> None:
        with (versions.data / "table").open("a") as stream:
            stream.write("by somebody\n")

    real = data.copy_tree

    def plant() -> None:
        def copy(source: str, goal: str) -> None:
            real(source, goal)
            write()

        data.copy_tree = copy

    versions.seed = plant
    run(versions, lambda: versions.install("keep_if_healthy"))
    assert "changed while it was copied" in why(versions)
    assert versions.running() == "1.0"


def test_the_old_version_says_that_it_can_read_newer_data(versions: Bench) -> None:
    versions.document["data"].update(unattended="keep", old_can_read=["true"], timeout=5.0)
    accepted(versions)
    run(versions, versions.roll_back)
    assert versions.running() == "1.0"
    assert (versions.data / "table").read_text() == "format 2\n"
