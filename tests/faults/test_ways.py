"""Ways that an upgrade takes when something other than the disk says no; each ends at rest.

What goes wrong is planted in the child that does the phase, see `Bench.seed`.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    data,
    finish,
    health,
    hooks,
    install,
    monitor,
    places,
    recover,
    rollback,
    steps,
    transaction,
)
from backends.node.journal import AppendFailed, Journal, JournalDamaged
from backends.node.layout_overlay import OverlayLayout
from tests.faults.bench import Bench, run
from tests.faults.ledger import Ledger
from tests.faults.oracle import same
from tests.faults.table import fast_place
from tests.support.raising import says

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


# --- the way forward ----------------------------------------------------------------------------


def test_a_defect_of_ours_goes_back_and_is_called_one(flat: Bench) -> None:
    plant = instead(install.living_on, "keep", says(ZeroDivisionError("of ours")))
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


def watched(bench: Bench, plant: Callable[[], Any], policy: str = "rollback") -> list[str]:
    """An install whose trial is disturbed; the types of its records, and it is at rest."""
    bench.seed = plant
    run(bench, lambda: bench.install(policy))
    bench.seed = None
    opened = transaction.load(bench.places)
    if opened is not None:
        opened.close()
        return [record["t"] for record in opened.records]
    (name,) = os.listdir(bench.places.done)
    book = Journal(os.path.join(bench.places.done, name, "journal"))
    book.close()
    return [record["t"] for record in book.records]


def test_p5_a_full_disk_at_the_end_of_a_window_is_no_acceptance(flat: Bench) -> None:
    def full(self: Any, kind: str, *_: Any, **__: Any) -> None:
        if kind == "ACCEPT":
            raise AppendFailed("no space")
        return real(self, kind, *_, **__)

    real = transaction.Transaction.decide
    kinds = watched(flat, instead(transaction.Transaction, "decide", full), "keep_if_healthy")
    assert "ACCEPT" not in kinds
    assert (flat.running(), why(flat)) == ("1.0", "no space")


def test_a_person_who_goes_back_at_the_end_of_the_window_was_first(flat: Bench) -> None:
    plant = before(monitor, "_end_of_window", decided(flat, "ROLLBACK"))
    assert watched(flat, plant, "keep_if_healthy").count("ROLLBACK") == 1
    assert (flat.running(), why(flat)) == ("1.0", "by order")


@pytest.mark.parametrize(("kind", "version"), [("ROLLBACK", "1.0"), ("ACCEPT", "2.0")])
def test_a_person_who_decides_before_it_is_held_was_first(
    flat: Bench, kind: str, version: str
) -> None:
    kinds = watched(flat, before(monitor, "_hold", decided(flat, kind)), "hold")
    assert "HELD" not in kinds
    assert flat.running() == version


def test_what_is_held_is_not_watched(flat: Bench) -> None:
    flat.seed = None
    run(flat, lambda: "ok" if flat.install("hold") == "held" else "wrong")
    run(flat, lambda: "ok" if monitor.watch(flat.opened()) == "held" else "wrong")
    assert flat.running() == "2.0"


def looks(bench: Bench, level: str, answer: Callable[[int], bool], **limits: float) -> list[str]:
    """A trial of which each look finds this; accepted as soon as it is called healthy."""
    bench.document["limits"].update(accept_window=20.0, healthy_deadline=10.0, **limits)

    def plant() -> None:
        count = [0]

        def run_all(*_: Any, kinds: Any = None) -> list[health.Check]:
            if kinds:
                return []  # between two looks, status files are read
            count[0] += 1
            return [health.Check("one", level, answer(count[0]), "as told")]

        monitor.health.run_all = run_all
        before(monitor.time, "sleep", lambda seconds: accept_if_healthy(bench))()

    return watched(bench, plant)


def accept_if_healthy(bench: Bench) -> None:
    opened = bench.opened()
    if any(record["t"] == "HEALTHY" for record in opened.records):
        opened.decide("ACCEPT", by="ann@jump", how="manual")
    opened.close()


def test_what_is_healthy_and_fails_again_and_again_goes_back(flat: Bench) -> None:
    looks(flat, "hard", lambda number: number % 2 == 1, min_healthy=60.0, max_flaps=2)
    assert why(flat).startswith("healthy and failing 3 times; one: as told")


def test_b25_a_soft_check_that_has_just_begun_to_fail_is_waited_for(flat: Bench) -> None:
    flat.document["limits"]["health_poll"] = 0.05
    kinds = looks(flat, "soft", lambda number: number < 3, min_healthy=1.0)
    assert kinds.count("HEALTHY") == 1
    (said,) = (record for record in flat.opened().records if record["t"] == "HEALTHY")
    assert said["soft"] == ["one"]


def test_a_process_that_is_seen_late_was_not_restarted(flat: Bench) -> None:
    def plant() -> None:
        real, seen = Ledger.identity, [0]

        def identity(self: Ledger) -> str | None:
            seen[0] += 1
            return real(self) if seen[0] > 8 else None

        before(monitor, "watch", lambda opened: setattr(Ledger, "identity", identity))()
        before(monitor.time, "sleep", lambda seconds: accept_if_healthy(flat))()

    flat.document["limits"].update(accept_window=20.0, healthy_deadline=10.0)
    kinds = watched(flat, plant)
    assert "RESTART" not in kinds
    assert "ACCEPT" in kinds


def test_b11_a_status_file_is_read_between_two_looks(flat: Bench) -> None:
    """The next look is an hour away; the file says after a moment that it is installed."""
    path = flat.top / "status.json"
    flat.document["limits"].update(accept_window=30.0, health_poll=3600.0, healthy_deadline=25.0)
    flat.document["health"] = [
        {
            "kind": "status_file",
            "name": "file",
            "level": "hard",
            "path": str(path),
            "package": "beacon",
            "timeout": 1.0,
        }
    ]

    def plant() -> None:
        slept = [0]

        def sleep(seconds: float) -> None:
            slept[0] += 1
            real(0.01)
            if slept[0] == 5:
                state = {"status": 0, "agent_version": "2.0"}
                path.write_text(json.dumps({"package_states": {"beacon": state}}))
            accept_if_healthy(flat)

        real = monitor.time.sleep
        monitor.time.sleep = sleep

    kinds = watched(flat, plant)
    assert kinds.index("CHECK") < kinds.index("HEALTHY") < kinds.index("ACCEPT")


# --- the way back -------------------------------------------------------------------------------


def accepted(bench: Bench, plant: Callable[[], Any] | None = None) -> None:
    run(bench, lambda: bench.install("keep_if_healthy"))
    bench.seed = plant


def unproven(bench: Bench, phase: Callable[[], str]) -> str:
    """A phase ends unproven; what is not proven. It can be tried again."""
    run(bench, lambda: "ok" if phase() == "unproven" else "wrong")
    bench.seed = None
    opened = bench.opened()
    opened.close()
    found = [record for record in opened.records if record["t"] == "UNPROVEN"]
    return "; ".join(found[-1]["paths"])


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


def test_without_the_old_manifest_the_old_tree_is_not_proven(versions: Bench) -> None:
    accepted(versions)
    manifest = Path(versions.places.manifest("1.0"))
    kept = manifest.read_bytes()
    manifest.unlink()
    assert "the manifest of 1.0 is gone" in unproven(versions, versions.roll_back)
    manifest.write_bytes(kept)
    run(versions, versions.recover)
    assert versions.running() == "1.0"


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


# --- at boot, and after ------------------------------------------------------------------------


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


# --- finalize -----------------------------------------------------------------------------------


def test_p4_who_takes_it_back_while_the_hooks_run_was_first(flat: Bench) -> None:
    accepted(flat, before(hooks, "run", decided(flat, "ROLLBACK")))
    run(flat, lambda: "ok" if finish.decide_and_complete(flat.opened(), "a") == "failed" else "")
    assert (flat.decision(), flat.running()) == ("ROLLBACK", "2.0")


# --- data ---------------------------------------------------------------------------------------


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
