"""What a rollback would go back to is gone, or is not what it was."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.beacon import Beacon
from tests.support.node import Node

Repair = Callable[[], object]


def removed(node: Node) -> Repair:
    """The whole version is elsewhere; how it comes back."""
    tree = node.tree("1.0")
    aside = tree.rename(node.top / "aside")
    return lambda: aside.rename(tree)


def corrupted(node: Node) -> Repair:
    """One byte more in a program; how it comes out again."""
    path: Path = node.tree("1.0") / "beacon.py"
    whole = path.read_bytes()
    path.write_bytes(whole + b"#")
    return lambda: path.write_bytes(whole)


@pytest.mark.parametrize("damage", [removed, corrupted])
def test_p05_a_check_finds_that_there_is_nothing_whole_to_go_back_to(
    node: Node, damage: Callable[[Node], Repair]
) -> None:
    """Capistrano, Elastic: the way back was planned, and its target was gone when it was used."""
    release = Beacon("2.0")
    assert node.stage(release).outcome == "ok"
    damage(node)
    found = node.check(release)
    assert found.code == "check-refused"
    rows = {row["name"]: row for row in found.all("row")}
    assert rows["rollback rehearsal"]["result"] == "refused"
    assert node.install(release).code == "not-checked"
    assert node.facts()["transaction"] is None


def backup_gone(node: Node) -> Repair:
    """What the pointer was before; how it comes back."""
    (backup,) = (node.directory / ".liftlock" / "store").iterdir()
    aside = backup.rename(node.top / "aside")
    return lambda: aside.rename(backup)


def backup_changed(node: Node) -> Repair:
    """Another version in what the pointer was before; how the right one comes back."""
    (backup,) = (node.directory / ".liftlock" / "store").iterdir()
    whole, times = backup.read_bytes(), backup.stat()

    def put_back() -> None:
        backup.write_bytes(whole)
        os.utime(backup, ns=(times.st_atime_ns, times.st_mtime_ns))

    backup.write_bytes(b"0.9\n")
    return put_back


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(removed, "missing: VERSION, beacon.py, control", marks=pytest.mark.drill),
        (corrupted, "changed: beacon.py"),
        pytest.param(backup_gone, ".version: its backup is gone", marks=pytest.mark.drill),
        (backup_changed, ".version: its backup was changed: mtime, sha256"),
    ],
)
def test_p05_what_serves_is_not_stopped_for_a_target_that_is_not_whole(
    node: Node, damage: Callable[[Node], Repair], named: str
) -> None:
    """Capistrano, Elastic: gone between the plan and its use; it is found before."""
    node.accepted(Beacon("2.0"))
    before = node.wait_for(lambda facts: not facts["transaction"]["driver"])
    repair = damage(node)
    refused = node.ask("rollback", run="1120-aaa", why="drill")
    assert (refused.outcome, refused.code) == ("refused", "old-version-changed")
    assert named in refused.end["problem"]["evidence"]
    now = node.facts()
    assert (now["state"], now["start_id"]) == ("accepted", before["start_id"])
    assert not {"ROLLBACK", "UNDO", "RESTORED"} & {record["t"] for record in node.records()}
    repair()
    assert node.ask("rollback", run="1120-aaa", why="repaired").outcome == "ok"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")


@pytest.mark.drill
@pytest.mark.parametrize(
    ("damage", "named"),
    [(removed, "missing: VERSION, beacon.py, control"), (corrupted, "changed: beacon.py")],
)
def test_p05_in_a_trial_it_is_named_and_nothing_is_called_restored(
    node: Node, damage: Callable[[Node], Repair], named: str
) -> None:
    """What is on trial goes back in any case: it may not be healthy. It may not read as done."""
    node.upgrade(Beacon("2.0"))
    repair = damage(node)
    node.ask("rollback", run="1120-aaa", why="drill")
    facts = node.wait_for(lambda facts: facts["state"] not in ("monitoring", "rolling_back"))
    assert (facts["state"], facts["problem"]["code"]) == ("inconsistent", "undo-unproven")
    assert f"{node.tree('1.0')}: " in facts["problem"]["evidence"]
    assert named in facts["problem"]["evidence"]
    assert not {"RESTORED", "END"} & {record["t"] for record in node.records()}
    repair()
    assert node.ask("rollback", run="1120-aaa", why="repaired").code == "no-upgrade-open"
    facts = node.wait_for(lambda facts: facts["health"] == "healthy")
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")
