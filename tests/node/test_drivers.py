"""Drivers that are refused, that die before their first word, or whose work was done already."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import detach, drivers, driving, install, locks, second_layer, transaction
from backends.node.call import Call
from backends.node.journal import AppendFailed, JournalDamaged
from backends.node.places import Places
from tests.support.beacon import Beacon
from tests.support.node import Node, settled, wait_until

NOTHING: dict[str, list[str]] = {"kept": [], "beside": [], "removed": []}
"""Of a product without configuration files nothing is decided."""


def call(node: Node, command: str = "recover", **args: Any) -> Call:
    """A call in this process."""
    request = node.request(command, **args)
    return Call(request, io.BytesIO(), lambda message: None, b"", "0" * 64)


def drive(node: Node, name: str, **more: Any) -> list[dict[str, Any]]:
    """Drive in this process; what was reported."""
    said: list[dict[str, Any]] = []
    drivers.drive(call(node, run="1120-aaa"), {"drive": name, **more}, said.append)
    return said


@pytest.fixture
def held(bare: Node) -> Iterator[Node]:
    """A node on which somebody works."""
    bare.places.make_home()
    lock = locks.DriverLock(bare.places)
    lock.take(run="1120-zzz", operator="eve@there", command="install")
    yield bare
    lock.release()


def test_p12_who_comes_second_is_told_who_what_and_since_when(
    held: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.05)
    (said,) = drive(held, "recover")
    assert (said["t"], said["problem"]["code"]) == ("refused", "locked")
    assert "run 1120-zzz of eve@there, install, since 20" in said["problem"]["evidence"]


def test_the_lock_of_somebody_who_says_nothing_is_a_lock(
    held: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.05)
    os.unlink(held.places.owner)
    (said,) = drive(held, "recover")
    assert said["problem"]["code"] == "locked"


def test_a_lock_that_was_never_taken_is_released_for_nothing(bare: Node) -> None:
    locks.DriverLock(bare.places).release()


def test_p15_a_full_disk_hides_who_works_and_stops_nobody(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, value: object) -> None:
        raise OSError(errno.ENOSPC, "no space", path)

    bare.places.make_home()
    monkeypatch.setattr(locks, "write_json", full)
    assert drive(bare, "recover") == [{"t": "driving", "txn": None}]


@pytest.mark.parametrize("name", ["watch", "finalize"])
def test_where_nothing_is_open_nothing_is_driven(bare: Node, name: str) -> None:
    bare.places.make_home()
    assert drive(bare, name) == [{"t": "driving", "txn": None}]


@pytest.mark.drill
def test_what_was_ordered_while_a_driver_left_is_carried_out(node: Node) -> None:
    """It came to finalize, and was told ROLLBACK by the one who had decided meanwhile."""
    before = node.product()
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    opened = transaction.load(node.places)
    assert opened is not None
    assert opened.decide("ROLLBACK", why="drill", by="ann@jump") is None
    opened.close()
    assert drive(node, "finalize") == [{"t": "driving", "txn": "1120-aaa"}]
    facts = node.facts()
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")
    assert node.product() == before


def test_a_disk_that_says_no_before_the_first_record_began_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise AppendFailed("no space")

    monkeypatch.setattr(install, "drive", full)
    said: list[dict[str, Any]] = []
    with pytest.raises(AppendFailed):
        drivers.drive(
            call(node), {"drive": "install", "previous": None, "decided": NOTHING}, said.append
        )
    assert said[0]["problem"]["code"] == "node-storage"
    assert node.facts()["transaction"] is None


def test_row_32_behind_a_damaged_journal_the_second_layer_stays(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[Places] = []
    monkeypatch.setattr(second_layer, "disarm", gone.append)

    def damaged(places: Places) -> None:
        raise JournalDamaged("flipped")

    monkeypatch.setattr(transaction, "load", damaged)
    with pytest.raises(JournalDamaged):
        drive(node, "recover")
    assert gone == []


@pytest.mark.drill
def test_p15_a_second_layer_that_cannot_be_armed_stops_no_undo(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(opened: transaction.Transaction) -> None:
        raise OSError(errno.ENOSPC, "no space")

    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    monkeypatch.setattr(second_layer, "arm", full)
    drive(node, "recover")
    assert node.facts()["state"] == "rolled_back"


# --- getting one to work ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (None, "driver-died"),
        ({"t": "refused", "problem": {"code": "locked"}}, "locked"),
    ],
)
def test_a_driver_without_a_good_word_was_not_started(
    bare: Node, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any] | None, code: str
) -> None:
    monkeypatch.setattr(detach, "start", lambda *_: said)
    outcome, problem = driving.start(call(bare), "recover")
    assert outcome in ("failed", "refused")
    assert problem is not None
    assert problem["code"] == code


def test_without_its_file_an_updater_is_only_forked(bare: Node) -> None:
    assert driving._again(call(bare)) is None
    os.makedirs(bare.places.updaters)
    path = Path(bare.places.updaters) / f"{'0' * 64}.pyz"
    path.write_bytes(b"changed")
    assert driving._again(call(bare)) is None


def started(places: Places, drive: Callable[[detach.Report], None]) -> dict[str, Any] | None:
    places.make_home()
    return detach.start(places, drive, None, b"")


def test_a_driver_reports_once(bare: Node) -> None:
    def twice(report: detach.Report) -> None:
        report({"t": "begun"})
        report({"t": "again"})
        Path(f"{bare.home}/done-twice").touch()

    assert started(bare.places, twice) == {"t": "begun"}
    wait_until(Path(f"{bare.home}/done-twice").exists)


def test_a_driver_that_dies_before_its_first_word_reported_nothing(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", os.fdopen(2, "w", buffering=1, closefd=False))

    def dies(report: detach.Report) -> None:
        raise ZeroDivisionError("of ours")

    assert started(bare.places, dies) is None
    wait_until(lambda: "ZeroDivisionError" in Path(bare.places.log).read_text())


def test_a_driver_that_is_silent_for_too_long_reported_nothing(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detach, "REPORT_SECONDS", 0.0)
    assert started(bare.places, lambda report: report({"t": "begun"})) is None


def test_where_systemd_run_does_not_do_it_is_forked_and_the_log_says_so(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.places.make_home()
    monkeypatch.setattr(detach.systemd, "is_here", lambda: True)
    monkeypatch.setattr(detach.os, "geteuid", lambda: 0)
    # Nobody is there who would hear the order, and the program is none.
    monkeypatch.setattr(detach.processes, "SAFE_PATH", "/nowhere")
    said = detach.start(bare.places, lambda report: report({"t": "begun"}), ["x"], b"x" * 200_000)
    assert said == {"t": "begun"}
    assert "systemd-run did not do" in Path(bare.places.log).read_text()


def test_a_large_log_begins_anew_and_a_full_disk_has_none(bare: Node) -> None:
    bare.places.make_home()
    log = Path(bare.places.log)
    log.write_bytes(b"x" * (1 << 20) + b"y")
    os.close(detach.open_log(bare.places))
    assert log.read_bytes() == b""
    assert log.with_name(log.name + ".1").stat().st_size > 1 << 20
    nowhere = Places(str(bare.top / "nowhere"), "beacon", str(bare.directory))
    fd = detach.open_log(nowhere)
    assert os.path.samestat(os.fstat(fd), os.stat(os.devnull))
    os.close(fd)


def test_b1_a_driver_that_nobody_hears_goes_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    detach.say(writing, {"t": "begun"})
    os.close(writing)
