"""Files of the second layer, and who gives way to whom."""

from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    locks,
    processes,
    second_layer,
    second_layer_cron,
    second_layer_systemd,
    systemd,
    takeover,
    tick,
    transaction,
)
from backends.node.places import Places
from tests.support.beacon import Beacon
from tests.support.node import Node, settled

WORDS = ["/usr/bin/python3", "/state/x.pyz"]


def test_a_folder_of_cron_that_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_layer_cron, "_FOLDER", str(tmp_path / "nothing"))
    assert "cannot be written" in second_layer_cron.why_not()
    monkeypatch.setattr(second_layer_cron, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(second_layer_cron, "_is_running", lambda: False)
    assert "no cron runs" in second_layer_cron.why_not()
    where = Places(str(tmp_path / "state"), "beacon", "/opt")
    for words in (["another"], WORDS, WORDS):
        second_layer_cron.arm(where, words)
    (armed,) = tmp_path.iterdir()
    assert "/state/x.pyz tick" in armed.read_text()
    second_layer_cron.disarm(where)
    assert list(tmp_path.iterdir()) == []


def test_units_are_written_when_they_differ_and_read_again_when_they_were_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: list[tuple[str, ...]] = []
    known: list[str] = []

    def order(*words: str, **_: Any) -> processes.Ran:
        ordered.append(words)
        return processes.Ran(0, b"", "")

    def show(unit: str, names: Any) -> dict[str, str]:
        if not known:
            raise systemd.Silent("nobody there")
        return {"NeedDaemonReload": known[0]}

    monkeypatch.setattr(systemd, "UNITS", str(tmp_path))
    monkeypatch.setattr(systemd, "is_here", lambda: True)
    monkeypatch.setattr(systemd, "order", order)
    monkeypatch.setattr(systemd, "show", show)
    where = Places(str(tmp_path / "state"), "beacon", "/opt")
    assert second_layer_systemd.why_not() == ""
    second_layer_systemd.arm(where, WORDS, ["beacon.service"])
    assert ordered[0] == ("daemon-reload",)  # nobody says what is known
    ordered.clear()
    second_layer_systemd.arm(where, WORDS, ["beacon.service"])
    assert [words[0] for words in ordered] == ["start"]
    for state, wanted in (("yes", ["daemon-reload", "start"]), ("no", ["start"])):
        known[:] = [state]
        ordered.clear()
        second_layer_systemd.arm(where, [*WORDS, state], ["beacon.service"])
        assert [words[0] for words in ordered] == wanted
    monkeypatch.setattr(systemd, "order", lambda *_, **__: processes.Ran(1, b"no", ""))
    with pytest.raises(OSError, match="systemctl: "):
        second_layer_systemd.arm(where, WORDS, ["beacon.service"])
    monkeypatch.setattr(systemd, "is_here", lambda: False)
    second_layer_systemd.disarm(where)
    assert not list(tmp_path.rglob("liftlock-*"))
    assert second_layer_systemd.why_not() == "systemd is not PID 1"
    monkeypatch.setattr(systemd, "is_here", lambda: True)
    monkeypatch.setattr(systemd, "UNITS", str(tmp_path / "nothing"))
    assert "cannot be written" in second_layer_systemd.why_not()


def test_a_timer_of_which_systemd_says_nothing_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, str] = {}

    def show(unit: str, names: Any) -> dict[str, str]:
        if not said:
            raise systemd.Silent("nobody there")
        return said

    monkeypatch.setattr(systemd, "UNITS", str(tmp_path))
    monkeypatch.setattr(systemd, "show", show)
    where = Places(str(tmp_path / "state"), "beacon", "/opt")
    timer = f"{where.second_layer}.timer"
    there, missing = second_layer_systemd.standing(where)
    assert not there, "without files nobody is asked"
    (tmp_path / timer).write_text("[Timer]\n")
    for state, is_active in (("", False), ("inactive", False), ("active", True)):
        said.update({"ActiveState": state} if state else {})
        there, missing = second_layer_systemd.standing(where)
        assert (f"{timer} is active" in there) is is_active
        assert (f"the active state of {timer}" in missing) is not is_active


def test_a_process_that_cannot_be_ended_is_not_taken_over_from(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.places.make_home()
    lock = locks.DriverLock(bare.places)
    lock.take(run="r", operator="eve", command="install")
    monkeypatch.setattr(takeover.os, "kill", lambda pid, number: None)
    monkeypatch.setattr(takeover, "_GONE_SECONDS", 0.01)  # one look, a wait, another look
    assert not takeover.take_over(bare.places, "it hangs", "ann")
    lock.release()


def test_the_second_layer_gives_way_to_whoever_works(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[Places] = []
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(second_layer, "disarm", gone.append)
    monkeypatch.setattr(second_layer_systemd, "start_tick", lambda where: None)
    lock = locks.DriverLock(node.places)
    lock.take(run="r", operator="eve", command="install")
    call = tick._call(str(node.state), node.document, b"", "0" * 64)
    tick._go_away(node.places)
    tick._boot(call)
    lock.release()
    tick._boot(call)
    monkeypatch.setattr(transaction, "is_open", lambda where: True)
    tick._go_away(node.places)
    assert gone == []


@pytest.mark.drill
def test_an_undo_that_failed_just_now_rests(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    opened = transaction.load(node.places)
    assert opened is not None
    opened.log("UNPROVEN", paths=["x"])
    driven: list[str] = []
    monkeypatch.setattr(tick.drivers, "drive", lambda call, order, report: driven.append("x"))
    tick._tick(tick._call(str(node.state), node.document, b"", "0" * 64), opened)
    opened.close()
    assert driven == []
