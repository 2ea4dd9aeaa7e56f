"""What finalize would give up, said before it; nothing is changed by saying it."""

import os
from pathlib import Path
from typing import Any

import pytest

from backends.node import clock, finality, standing
from backends.node.places import read_json, write_json
from tests.node.test_drift import flip
from tests.node.test_drivers import call
from tests.node.test_restart import restarted
from tests.support.beacon import Beacon
from tests.support.node import Node, a_node, picture, settled

OLD, NEW = Beacon("1.0"), Beacon("2.0")


def shown(node: Node) -> dict[str, Any]:
    (message,) = node.ask("finalize", preview=True).all("finality")
    return message


@pytest.fixture
def accepted(node: Node) -> Node:
    """A node on which 2.0 is accepted."""
    node.accepted(NEW)
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    return node


# --- what is freed ------------------------------------------------------------------------------


def disk_bytes(*paths: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in paths)


def test_a_file_with_another_name_elsewhere_is_not_freed(tmp_path: Path) -> None:
    top, stays = tmp_path / "store", tmp_path / "live"
    top.mkdir()
    (top / "own").write_bytes(b"x" * 9000)
    (top / "twice").write_bytes(b"y" * 9000)
    os.link(top / "twice", top / "again")
    stays.write_bytes(b"z" * 9000)
    os.link(stays, top / "linked")
    (top / "link").symlink_to(stays)
    expected = disk_bytes(top, top / "own", top / "twice", top / "link")
    assert finality.freed([str(top)]) == expected
    left = finality.freed([str(top)], [str(top / "own")])
    assert left == expected - disk_bytes(top / "own"), "what goes to conflicts stays on the disk"
    assert finality.freed([str(top / "own")], [str(top / "own")]) == 0
    assert finality.freed([str(tmp_path / "none")]) == 0


@pytest.mark.drill
def test_what_is_announced_is_what_goes(tmp_path: Path) -> None:
    """An overlay replaces files one by one, and the data was copied."""
    where = tmp_path / "data"
    where.mkdir()
    (where / "big").write_bytes(b"d" * 20_000)
    facts = {"version": {"file": "{directory}/VERSION"}}
    data = {
        "directories": [str(where)],
        "old_can_read": None,
        "unattended": "keep",
        "timeout": 5.0,
    }
    with a_node(tmp_path / "node", layout="overlay", facts=facts, data=data) as node:
        node.put_in_place(Beacon("1.0", more={"lib": b"l" * 30_000}), as_release=True)
        release = Beacon("2.0", more={"lib": b"m" * 30_000})
        node.accepted(release)
        node.wait_for(lambda found: not found["transaction"]["driver"])
        found = shown(node)
        frees = found["frees"]
        assert frees["backups_bytes"] >= 30_000
        assert frees["data_bytes"] >= 20_000
        copies = where.parent / ".liftlock" / "data"
        stored = [Path(node.places.store), copies]
        before = sum(finality.freed([str(path) for path in top.iterdir()]) for top in stored)
        assert frees["backups_bytes"] + frees["data_bytes"] == before
        node.ask("finalize", run="1120-aaa", digest=release.digest)
        node.wait_for(lambda found: found["transaction"] is None)
        assert [path for top in stored for path in top.iterdir()] == []


@pytest.mark.drill
def test_what_is_set_aside_is_named_and_not_counted_as_freed(tmp_path: Path) -> None:
    with a_node(tmp_path / "node") as node:
        node.put_in_place(OLD)
        node.finalized(NEW)
        flip(node.tree("2.0") / "VERSION")
        again = "1121-bbb"
        node.accepted(NEW, again)
        node.wait_for(lambda facts: not facts["transaction"]["driver"])
        found = shown(node)
        assert "2.0/VERSION" in found["aside"]
        assert found["count"] == len(found["aside"])
        assert found["stays"] == ["1.0"]


# --- the time since accept ----------------------------------------------------------------------


def test_it_is_said_and_nothing_is_changed(accepted: Node) -> None:
    before = picture(accepted.home)
    found = shown(accepted)
    assert (found["version"], found["run"], found["process"]) == ("2.0", "1120-aaa", "same")
    assert 0 <= found["seconds"] < 60
    assert (found["events"], found["trial"]) == ([], {"unhealthy": 0, "restarts": 0})
    assert picture(accepted.home) == before
    assert accepted.facts()["state"] == "accepted"


@pytest.mark.drill
def test_what_was_recorded_since_is_told_and_nothing_from_before(node: Node) -> None:
    assert node.ask("verify").outcome == "ok"
    node.accepted(NEW)
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    put_back = flip(node.tree("2.0") / "VERSION")
    assert node.ask("verify").code == "drift"
    put_back()
    assert restarted(node).outcome == "ok"
    found = shown(node)
    assert [(each["t"], each["ok"]) for each in found["events"]] == [
        ("VERIFY", False),
        ("RESTARTED", True),
    ]
    assert found["process"] == "other"


@pytest.mark.drill
def test_without_a_process_none_is_said_to_run(accepted: Node) -> None:
    accepted.control("2.0", "stop")
    accepted.wait_for(lambda facts: facts["service"] == "stopped")
    assert shown(accepted)["process"] == "none"


@pytest.mark.drill
def test_what_cannot_be_read_is_unknown(accepted: Node) -> None:
    Path(accepted.places.started).unlink()
    assert shown(accepted)["process"] == "unknown"
    Path(accepted.places.started).write_text("{")
    assert shown(accepted)["process"] == "unknown"
    (accepted.directory / ".version").write_bytes(b"\xff/\n")
    assert shown(accepted)["process"] == "unknown"
    Path(accepted.places.run).write_text("{")
    assert shown(accepted)["irreversible"] is None
    path = Path(accepted.places.journal)
    assert restarted(accepted).code == "pointer-unreadable"
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    assert shown(accepted)["events"] is None


@pytest.mark.drill
def test_what_does_not_come_back_is_told_where_the_upgrade_wrote_it_down(accepted: Node) -> None:
    assert shown(accepted)["irreversible"] is None
    known = read_json(accepted.places.run) or {}
    write_json(accepted.places.run, {**known, "irreversible": ["the old format"]})
    assert shown(accepted)["irreversible"] == ["the old format"]
    write_json(accepted.places.run, {"run": "another", "irreversible": ["the old format"]})
    assert shown(accepted)["irreversible"] is None


def test_the_age_is_counted_by_the_clock_that_nobody_sets() -> None:
    now = clock.since_boot()
    here = {"bid": clock.boot_id(), "bt": now - 60, "wt": 0.0}
    assert 60 <= finality._age(here) < 61
    assert finality._age({**here, "bid": "another", "wt": clock.wall() + 60}) == 0
    elsewhere = {**here, "bid": "another", "wt": clock.wall() - 60}
    assert 59 < finality._age(elsewhere) < 61
    assert not finality._is_behind(here, elsewhere)
    assert finality._is_behind({**here, "wt": clock.wall()}, elsewhere)
    assert finality._is_behind({**here, "bt": now}, here)


# --- where there is nothing to make final -------------------------------------------------------


@pytest.mark.drill
def test_what_is_not_accepted_is_not_previewed(bare: Node) -> None:
    assert bare.ask("finalize", preview=True).code == "no-upgrade-open"
    bare.put_in_place(OLD)
    (already,) = bare.ask("finalize", preview=True).all("already")
    assert (already["version"], already["run"]) == ("1.0", "1119-one")
    bare.document["limits"].update(accept_window=30.0, healthy_deadline=20.0)
    bare.begin(NEW)
    bare.wait_for(settled)
    assert bare.ask("finalize", preview=True).code == "not-accepted"
    assert bare.ask("rollback", run="1120-aaa", why="no").outcome == "ok"
    bare.wait_for(lambda facts: facts["transaction"] is None)


def test_a_preview_is_never_handed_to_an_older_updater(
    accepted: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not know the word would do what it is asked to show."""
    from backends.node import main

    handed: list[object] = []
    monkeypatch.setattr(main.os, "execv", lambda *words: handed.append(words))
    order = call(accepted, "finalize", preview=True)
    main._hand_over(order, b"")
    assert handed == []
    assert standing.decision(accepted.records("1120-aaa")) == "ACCEPT"
