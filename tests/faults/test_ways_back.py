"""The way back when something other than the disk says no, at boot and at FINALIZE, too."""

import os
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    data,
    finish,
    hooks,
    recover,
    rollback,
    steps,
    transaction,
)
from backends.node.layout_overlay import OverlayLayout
from tests.faults.bench import LAYOUTS, Bench, run
from tests.faults.ledger import Ledger
from tests.faults.oracle import same
from tests.faults.planting import accepted, before, decided, instead, unproven
from tests.support.raising import says

pytestmark = pytest.mark.faults


def test_row_30_a_directory_that_became_a_file_is_named_and_put_back_later(flat: Bench) -> None:
    before_it = flat.product()
    accepted(flat)
    live = Path(flat.places.directory) / "lib"
    live.rename(flat.top / "lib")
    live.write_text("in the way\n")
    assert "was a directory and is a file now" in unproven(flat, flat.roll_back)
    live.unlink()
    run(flat, flat.recover)
    same(flat.product(), before_it)


@pytest.mark.parametrize(
    ("module", "name"), [(steps, "prove"), (OverlayLayout, "compare"), (steps, "undo")]
)
def test_what_cannot_be_read_is_not_proven(flat: Bench, module: Any, name: str) -> None:
    before_it = flat.product()
    accepted(flat, instead(module, name, says(PermissionError(13, "not for us"))))
    assert "not for us" in unproven(flat, flat.roll_back)
    run(flat, flat.recover)
    same(flat.product(), before_it)


def lacking(bench: Bench) -> list[str]:
    opened = bench.opened()
    opened.close()
    return rollback.missing(opened)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_p05_what_the_way_back_would_not_find_is_named_before_it_begins(
    fast: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(fast / layout, layout, small=True)
    accepted(bench)
    assert lacking(bench) == []
    opened = bench.opened()
    opened.close()
    backups = [step for step in opened.steps() if os.path.lexists(step.store)]
    assert backups
    for step in backups:
        aside = f"{step.store}.aside"
        os.rename(step.store, aside)
        assert lacking(bench) == [f"{step.path}: its backup is gone"]
        os.rename(aside, step.store)
    if layout == "swap":
        parked = next(step for step in backups if step.parks)
        (Path(parked.store) / "sub").mkdir()
        assert lacking(bench) == [f"{parked.path}: its backup was changed: mtime, content"]
    monkeypatch.setattr(steps.images, "image", says(PermissionError(13, "not for us")))
    assert f"{backups[0].path}: [Errno 13] not for us" in lacking(bench)


def test_without_the_old_manifest_the_old_tree_is_not_proven(versions: Bench) -> None:
    accepted(versions)
    manifest = Path(versions.places.manifest("1.0"))
    kept = manifest.read_bytes()
    manifest.unlink()
    assert "the manifest of 1.0 is gone" in unproven(versions, versions.roll_back)
    manifest.write_bytes(kept)
    run(versions, versions.recover)
    assert versions.running() == "1.0"


def test_data_that_cannot_be_put_back_is_named_and_put_back_later(versions: Bench) -> None:
    before_it = versions.product()
    accepted(versions, instead(data, "set_aside", says(PermissionError(13, "not for us"))))
    assert f"{versions.data}: [Errno 13] not for us" in unproven(versions, versions.roll_back)
    run(versions, versions.recover)
    same(versions.product(), before_it)


def test_data_whose_copy_is_gone_is_not_proven_and_is_left_as_it_is(versions: Bench) -> None:
    """Twice: what was not proven once is no proof the second time either."""
    accepted(versions)
    (copy,) = (versions.data.parent / ".liftlock" / "data").iterdir()
    aside = copy.rename(versions.top / "copy")
    for phase in (versions.roll_back, versions.recover):
        assert f"{versions.data}: not the data of before" in unproven(versions, phase)
        assert (versions.data / "table").read_text() == "format 2\n"
    aside.rename(copy)
    run(versions, versions.recover)
    assert (versions.data / "table").read_text() == "format 1\n"


def test_an_old_process_that_its_service_denies_is_left_to_a_person(flat: Bench) -> None:
    def plant() -> None:
        Ledger.denies = lambda self, start_id: True  # type: ignore[method-assign]

    accepted(flat, plant)
    assert "never stopped, and its service says" in unproven(flat, flat.roll_back)


def test_the_old_version_may_take_a_while_to_answer(flat: Bench) -> None:
    def plant() -> None:
        rollback._ANSWER_SECONDS = 10.0
        answers = ["unknown", "unknown"]
        real = Ledger.status

        def status(self: Ledger) -> tuple[str, str]:
            if self.version == "1.0" and self._runs() and answers:
                return answers.pop(), "not yet"
            return real(self)

        Ledger.status = status  # type: ignore[method-assign]

    accepted(flat, plant)
    run(flat, flat.roll_back)
    assert flat.running() == "1.0"


def test_a_service_without_a_process_is_stopped_whatever_its_script_says(flat: Bench) -> None:
    flat.document["service"]["pid_file"] = "beacon.pid"

    def plant() -> None:
        real = Ledger.stop

        def stop(self: Ledger) -> tuple[bool, str]:
            real(self)
            return False, "started"

        Ledger.stop = stop  # type: ignore[method-assign]

    run(flat, lambda: flat.install("keep_if_healthy"))
    flat.seed = plant
    run(flat, flat.roll_back)
    assert flat.running() == "1.0"


def test_backups_of_another_transaction_are_not_ours_to_give_up(flat: Bench) -> None:
    other = Path(flat.places.store) / "other.0"
    for phase in (flat.finalize, flat.roll_back):
        flat.reset("accepted")
        other.write_text("of another\n")
        run(flat, phase)
        assert other.read_text() == "of another\n"


def test_what_the_system_started_meanwhile_is_stopped_first(flat: Bench) -> None:
    accepted(flat)
    flat.book.write_text("1.0")
    run(flat, flat.roll_back)
    assert flat.running() == "1.0"


def test_an_old_version_that_does_not_answer_is_named(flat: Bench) -> None:
    def plant() -> None:
        real = Ledger.status

        def status(self: Ledger) -> tuple[str, str]:
            return ("unknown", "no answer") if self.version == "1.0" else real(self)

        Ledger.status = status  # type: ignore[method-assign]

    accepted(flat, plant)
    assert "the old version does not run: no answer" in unproven(flat, flat.roll_back)
    run(flat, flat.recover)
    assert flat.running() == "1.0"


def test_what_is_left_in_the_store_goes_and_what_is_staged_stays_without_a_manifest(
    versions: Bench,
) -> None:
    accepted(versions)
    left = Path(versions.places.store) / "r1.9.kept"
    left.mkdir()
    os.unlink(versions.places.manifest("2.0"))
    run(versions, versions.roll_back)
    assert not left.exists()
    assert os.path.isdir(versions.places.staged_tree("2.0"))


def test_row_8_what_was_decided_is_carried_out_before_the_service_starts(flat: Bench) -> None:
    before_it = flat.product()
    accepted(flat)
    decided(flat, "ROLLBACK")()

    def boot() -> str:
        recover.before_the_service(flat.opened())
        return "ok"

    run(flat, boot)
    same(flat.product(), before_it)
    opened = flat.opened()
    opened.close()
    assert recover.needs_recovery(opened)
    run(flat, flat.recover)
    assert flat.running() == "1.0"


def test_a_transaction_that_is_over_is_put_away(flat: Bench) -> None:
    accepted(flat, instead(finish, "put_away", lambda opened: None))
    run(flat, flat.finalize)
    flat.seed = None
    opened = flat.opened()
    opened.close()
    assert recover.needs_recovery(opened)
    run(flat, flat.recover)
    assert transaction.load(flat.places) is None


def test_p4_who_takes_it_back_while_the_hooks_run_was_first(flat: Bench) -> None:
    accepted(flat, before(hooks, "run", decided(flat, "ROLLBACK")))
    run(flat, lambda: "ok" if finish.decide_and_complete(flat.opened(), "a") == "failed" else "")
    assert (flat.decision(), flat.running()) == ("ROLLBACK", "2.0")
