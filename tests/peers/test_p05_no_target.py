"""What a rollback would go back to is gone, or is not what it was."""

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


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(removed, "missing: VERSION, beacon.py, control", marks=pytest.mark.drill),
        (corrupted, "changed: beacon.py"),
    ],
)
def test_p05_a_target_that_went_after_the_plan_is_named_and_nothing_is_called_restored(
    node: Node, damage: Callable[[Node], Repair], named: str
) -> None:
    """Capistrano, Elastic: gone between the plan and its use; that may not read as a rollback."""
    node.accepted(Beacon("2.0"))
    repair = damage(node)
    node.ask("rollback", run="1120-aaa", why="drill")
    facts = node.wait_for(lambda facts: facts["state"] not in ("accepted", "rolling_back"))
    assert (facts["state"], facts["problem"]["code"]) == ("inconsistent", "undo-unproven")
    assert f"{node.tree('1.0')}: " in facts["problem"]["evidence"]
    assert named in facts["problem"]["evidence"]
    assert not {"RESTORED", "END"} & {record["t"] for record in node.records()}
    repair()
    assert node.ask("rollback", run="1120-aaa", why="repaired").code == "no-upgrade-open"
    facts = node.wait_for(lambda facts: facts["health"] == "healthy")
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")
