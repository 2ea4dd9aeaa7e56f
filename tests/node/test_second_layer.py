"""What takes up the work of a driver that died or hangs, run as timer, cron and boot run it.

Notes on reliability, 4.7; rows 1, 7 to 9 and 14. The machines of `tests/machines` have the real
timers; here is what those start.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    clock,
    locks,
    second_layer,
    second_layer_cron,
    second_layer_systemd,
    takeover,
    tick,
)
from backends.node.places import STATE_DIR, Places, write_json
from backends.transport.payload import pack
from tests.support.beacon import Beacon
from tests.support.node import Node, picture, settled, wait_until

PATIENT = {"accept_window": 30.0, "healthy_deadline": 20.0}


def kinds(node: Node) -> list[str]:
    return [record["t"] for record in node.records()]


# --- tick ---------------------------------------------------------------------------------------


@pytest.mark.drill
def test_row_1_a_driver_that_was_killed_is_replaced(node: Node) -> None:
    before = node.product()
    node.document["limits"].update(PATIENT)
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    assert node.facts()["state"] == "inconsistent"
    assert node.second_layer().returncode == 0
    facts = node.facts()
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")
    assert node.product() == before


@pytest.mark.drill
def test_a_driver_at_work_is_left_alone(node: Node) -> None:
    node.document["limits"].update(PATIENT)
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    (driver,) = node.drivers()
    assert node.second_layer().returncode == 0
    assert node.drivers() == [driver]
    assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"


@pytest.mark.drill
def test_what_is_accepted_is_left_as_it_is(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    before = kinds(node)
    assert node.second_layer().returncode == 0
    assert kinds(node) == before
    assert node.facts()["state"] == "accepted"


@pytest.mark.drill
def test_row_32_a_damaged_journal_is_not_touched(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    journal = node.home / "active" / "journal"
    content = bytearray(journal.read_bytes())
    content[200] ^= 1
    journal.write_bytes(content)
    before = picture(node.home / "active")
    ran = node.second_layer()
    assert ran.returncode == 1
    assert picture(node.home / "active") == before
    assert "nothing was touched" in (node.home / "updater.log").read_text()


def test_where_nothing_is_open_it_goes_away_by_itself(node: Node) -> None:
    unborn = node.home / ".new"
    unborn.mkdir()
    assert node.second_layer().returncode == 0
    assert not unborn.exists()
    assert not node.drivers()


@pytest.mark.parametrize("words", [["tick"], ["boot", "x"], ["drive", "x"], ["nonsense"]])
def test_other_words_are_refused(node: Node, words: list[str]) -> None:
    path = f"{node.places.updaters}/{pack().sha256}.pyz"
    ran = subprocess.run(
        [node.python, "-I", "-S", "-B", path, *words], capture_output=True, check=False
    )
    assert ran.returncode == 2
    assert b"tick STATE_DIR PRODUCT" in ran.stderr


# --- boot ---------------------------------------------------------------------------------------


@pytest.mark.drill
def test_row_8_at_boot_all_is_back_before_anything_is_started(node: Node) -> None:
    before = node.product()
    node.document["limits"].update(PATIENT)
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_all()
    assert node.second_layer("boot").returncode == 0
    assert node.product() == before
    assert kinds(node)[-1] == "RESTORED"
    assert not node.drivers()
    assert node.facts()["service"] == "stopped"
    assert node.second_layer().returncode == 0
    assert node.facts()["running"] == "1.0"
    assert node.facts()["state"] == "rolled_back"


@pytest.mark.drill
@pytest.mark.parametrize("policy", ["hold", "keep_if_healthy"])
def test_at_boot_other_policies_keep_what_is_in_trial(node: Node, policy: str) -> None:
    node.document["limits"].update(PATIENT)
    node.begin(Beacon("2.0"), if_operator_vanishes=policy)
    node.wait_for(settled)
    during = node.product()
    node.kill_all()
    assert node.second_layer("boot").returncode == 0
    assert node.product() == during
    assert "ROLLBACK" not in kinds(node)


@pytest.mark.drill
def test_at_boot_what_was_accepted_stays(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    node.kill_all()
    during = node.product()
    assert node.second_layer("boot").returncode == 0
    assert node.product() == during


# --- who hangs ----------------------------------------------------------------------------------


def journal(*records: dict[str, Any]) -> list[dict[str, Any]]:
    now = clock.since_boot()
    whole = [{"t": "BEGIN", "ago": 2000.0}, *records]
    found = []
    for number, record in enumerate(whole):
        until = {"until": now + record["ends_in"]} if "ends_in" in record else {}
        found.append({"bid": clock.boot_id(), "bt": now - record["ago"], **until, **record})
        found[-1]["n"] = number
    return found


def trial(ends_in: float, ago: float = 100.0) -> dict[str, Any]:
    return {"t": "TRIAL", "ago": ago, "ends_in": ends_in, "window": 600.0}


LIMITS = {"limits": {"install_step": 600.0}, "health": [{"timeout": 5.0}, {"timeout": 2.0}]}


@pytest.mark.parametrize(
    ("records", "hangs"),
    [
        ([{"t": "INTENTS", "ago": 10.0}], False),
        ([{"t": "INTENTS", "ago": 590.0}], False),
        ([{"t": "INTENTS", "ago": 610.0}], True),
        ([{"t": "INTENTS", "ago": 610.0, "bid": "of another boot"}], False),
        ([trial(ends_in=1, ago=700.0)], False),
        ([trial(ends_in=-11)], False),  # one look takes 7 s, and 5 s to decide
        ([trial(ends_in=-13)], True),
        ([trial(ends_in=-13), {"t": "TICK", "ago": 3.0}], False),
        ([trial(ends_in=-900), {"t": "ROLLBACK", "ago": 590.0}], False),
        ([trial(ends_in=-900), {"t": "ROLLBACK", "ago": 610.0}], True),
        ([trial(ends_in=-900), {"t": "EXTEND", "ago": 5.0, "until": 1e12}], False),
        ([trial(ends_in=-900), {"t": "ACCEPT", "ago": 610.0}], True),
    ],
)
def test_row_9_who_hangs_is_told_by_the_journal(
    records: list[dict[str, Any]], hangs: bool
) -> None:
    assert (takeover.hangs(journal(*records), LIMITS) is not None) is hangs


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[Places, "subprocess.Popen[bytes]"]]:
    """A process that holds the lock of a product and does nothing else."""
    places = Places(str(tmp_path / "state"), "beacon", str(tmp_path / "opt"))
    places.make_home()
    script = (
        "import fcntl, os, sys, time\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, places.lock], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield places, process
    finally:
        process.kill()
        process.communicate()


def owner_of(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    start = clock.start_of(process.pid)
    return {"pid": process.pid, "start": start, "boot_id": clock.boot_id(), "operator": "ann"}


def test_row_9_the_very_process_is_ended(
    holder: tuple[Places, "subprocess.Popen[bytes]"],
) -> None:
    places, process = holder
    write_json(places.owner, owner_of(process))
    assert takeover.take_over(places, "it hangs", "ann")
    assert not locks.is_held(places)


@pytest.mark.parametrize(
    "wrong", [{"start": "1"}, {"boot_id": "another"}, {"pid": None}, {"start": None}]
)
def test_row_14_a_process_that_may_be_another_one_is_never_ended(
    holder: tuple[Places, "subprocess.Popen[bytes]"], wrong: dict[str, Any]
) -> None:
    places, process = holder
    write_json(places.owner, {**owner_of(process), **wrong})
    assert not takeover.take_over(places, "it hangs", "ann")
    assert process.poll() is None
    assert locks.is_held(places)


def test_nobody_is_ended_where_nobody_says_who_it_is(
    holder: tuple[Places, "subprocess.Popen[bytes]"],
) -> None:
    places, process = holder
    assert not takeover.take_over(places, "it hangs", "ann")
    assert process.poll() is None


def test_an_undo_that_fails_is_tried_again_ever_more_rarely() -> None:
    def rests(tries: int, ago: float) -> bool:
        return tick._rests(journal(*[{"t": "UNPROVEN", "ago": ago}] * tries))

    assert not tick._rests(journal({"t": "ROLLBACK", "ago": 1.0}))
    assert rests(1, 50)
    assert not rests(1, 70)
    assert rests(3, 200)
    assert not rests(3, 250)
    assert not rests(12, 1e9)
    assert rests(13, 1e9), "then a person is waited for"


# --- which one there is -------------------------------------------------------------------------


def test_none_is_recorded_with_its_reason() -> None:
    assert second_layer.choose("none") == ("none", "ordered so by second_layer")


def test_who_is_not_root_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert second_layer.choose("auto") == ("none", "only root can have one")


def test_systemd_is_chosen_before_cron_and_cron_before_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for systemd, cron, wanted in (
        ("", "", ("systemd", "")),
        ("no systemd", "", ("cron", "no systemd")),
        ("no systemd", "no cron", ("none", "no systemd; no cron")),
    ):
        monkeypatch.setattr(second_layer_systemd, "why_not", lambda said=systemd: said)
        monkeypatch.setattr(second_layer_cron, "why_not", lambda said=cron: said)
        assert second_layer.choose("auto") == wanted


def test_each_product_has_its_own_once_on_a_machine(tmp_path: Path) -> None:
    assert Places(STATE_DIR, "beacon", "/opt").second_layer == "liftlock-beacon"
    one, other = (Places(str(tmp_path / name), "beacon", "/opt").second_layer for name in "ab")
    assert one != other
    assert one.startswith("liftlock-beacon-")


def test_words_of_a_unit_are_taken_as_they_are() -> None:
    assert second_layer_systemd._words(["/a b", 'c"d', "e\\f", "50%"]) == (
        '"/a b" "c\\"d" "e\\\\f" "50%%"'
    )
    assert second_layer_systemd._command(["$HOME"]) == '"$$HOME"'


def test_where_there_is_no_second_layer_none_is_taken_away(tmp_path: Path) -> None:
    second_layer.disarm(Places(str(tmp_path), "beacon-that-never-was", "/opt"))


# --- by name ------------------------------------------------------------------------------------


@pytest.mark.drill
def test_p12_a_person_takes_over_from_an_updater_that_hangs(node: Node) -> None:
    node.document["limits"].update(PATIENT)
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    (driver,) = node.drivers()
    os.kill(driver, signal.SIGSTOP)
    about = {"takeover": True, "reason": "it hangs", "operator": "bob@here"}
    assert node.ask("recover", **about).outcome == "ok"
    assert driver not in node.drivers()
    (record,) = (record for record in node.records() if record["t"] == "TAKEOVER")
    assert (record["pid"], record["by"], record["operator"], record["why"]) == (
        driver,
        "bob@here",
        "ann@jump",
        "it hangs",
    )
    node.wait_for(settled)
    assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"


@pytest.mark.drill
def test_before_the_trial_who_takes_over_takes_it_back(node: Node) -> None:
    before = node.product()
    node.document["hooks"] = [
        {
            "name": "slow",
            "when": "before_stop",
            "command": ["sleep", "60"],
            "undo": None,
            "timeout": 90.0,
        }
    ]
    node.begin(Beacon("2.0"))
    wait_until(lambda: "CALL" in kinds(node))
    assert node.ask("recover", takeover=True, reason="too slow").outcome == "ok"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["state"] == "rolled_back"
    assert node.product() == before


@pytest.mark.drill
@pytest.mark.parametrize("driven", [True, False])
def test_nothing_is_taken_over_where_nobody_works(node: Node, driven: bool) -> None:
    about = {"takeover": True, "reason": "to be sure"}
    if not driven:
        assert node.ask("recover", **about).code == "no-upgrade-open"
        return
    node.accepted(Beacon("2.0"))
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    assert node.ask("recover", **about).code == "nothing-to-take-over"
    assert node.facts()["state"] == "accepted"
