"""Hooks of the profile on the node: run at their moment, undone in reverse, also by nobody."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backends.transport.payload import pack
from tests.support.beacon import Beacon
from tests.support.node import Node, settled, wait_until

MOMENTS = ("before_stop", "after_stop", "before_start", "after_start")


def book(node: Node) -> list[str]:
    """What the hooks wrote, in order."""
    path = node.top / "hooks"
    return path.read_text().split() if path.exists() else []


def hook(node: Node, when: str, **more: Any) -> dict[str, Any]:
    """A hook that writes down that it ran, and that it was undone; with the service's state."""
    port = node.port
    look = (
        f'{node.python} -c "import socket; s = socket.socket(); '
        f"print('up' if s.connect_ex(('127.0.0.1', {port})) == 0 else 'down')\""
    )
    found = {
        "name": when.replace("_", "-"),
        "when": when,
        "command": ["sh", "-c", f"echo {when}:{{version}}:$({look}) >>{node.top}/hooks"],
        "undo": ["sh", "-c", f"echo un-{when}:{{version}}:$({look}) >>{node.top}/hooks"],
        "timeout": 5.0,
    }
    return {**found, **more}


def with_hooks(node: Node, *moments: str) -> None:
    node.document["hooks"] = [hook(node, when) for when in moments]


@pytest.mark.drill
def test_hooks_run_in_order_each_in_its_own_version_s_tree(node: Node) -> None:
    with_hooks(node, *MOMENTS)
    node.accepted(Beacon("2.0"))
    assert book(node) == [
        "before_stop:1.0:up",
        "after_stop:1.0:down",
        "before_start:2.0:down",
        "after_start:2.0:up",
    ]


@pytest.mark.drill
def test_a_rollback_undoes_them_in_reverse(node: Node) -> None:
    before = node.product()
    with_hooks(node, *MOMENTS)
    node.accepted(Beacon("2.0"))
    (node.top / "hooks").unlink()
    assert node.ask("rollback", why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert book(node) == [
        "un-after_start:2.0:up",
        "un-before_start:2.0:down",
        "un-after_stop:1.0:down",
        "un-before_stop:1.0:up",
    ]
    assert node.product() == before


@pytest.mark.drill
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_fails_undoes_what_was_begun_and_the_upgrade(node: Node, moment: str) -> None:
    before = node.product()
    with_hooks(node, *MOMENTS)
    fails = ["sh", "-c", f"echo {moment} >>{node.top}/hooks; echo no way; exit 3"]
    for each in node.document["hooks"]:
        each["command"] = fails if each["when"] == moment else each["command"]
    node.begin(Beacon("2.0"))
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["state"] == "rolled_back"
    assert (
        f"the hook {moment.replace('_', '-')} ({moment}) failed: exit 3: no way"
        in (facts["last"]["why"])
    )
    begun = MOMENTS[: MOMENTS.index(moment) + 1]
    names = [line.split(":")[0] for line in book(node)]
    assert names == [*begun, *(f"un-{each}" for each in reversed(begun))]
    assert node.product() == before
    assert node.facts()["health"] == "healthy"


@pytest.mark.drill
def test_one_that_says_not_now_is_asked_again_until_it_is_time(node: Node) -> None:
    again = f'test -e "{node.top}/ready" && exit 0; touch "{node.top}/ready"; exit 21'
    node.document["hooks"] = [hook(node, "before_stop", command=["sh", "-c", again])]
    node.begin(Beacon("2.0"))
    assert node.wait_for(settled)["running"] == "2.0"


def test_one_that_never_is_ready_fails_at_its_limit(node: Node) -> None:
    node.document["hooks"] = [hook(node, "before_stop", command=["sh", "-c", "exit 21"])]
    node.document["hooks"][0]["timeout"] = 0.5
    node.begin(Beacon("2.0"))
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert "exit 21" in facts["last"]["why"]


@pytest.mark.drill
def test_row_40_one_that_hangs_is_ended_at_its_limit(node: Node) -> None:
    node.document["hooks"] = [hook(node, "after_start", command=["sleep", "60"], timeout=0.5)]
    node.begin(Beacon("2.0"))
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert "no end within" in facts["last"]["why"]
    assert facts["running"] == "1.0"


@pytest.mark.drill
def test_a_first_install_has_no_old_version_whose_stop_could_be_accompanied(bare: Node) -> None:
    with_hooks(bare, *MOMENTS)
    bare.accepted(Beacon("1.0"))
    assert [line.split(":")[0] for line in book(bare)] == ["before_start", "after_start"]


@pytest.mark.drill
def test_nobody_is_there_and_all_is_undone_nevertheless(node: Node) -> None:
    """The updater is killed in the trial; what takes it up undoes the hooks, too."""
    with_hooks(node, *MOMENTS)
    node.document["limits"].update(accept_window=30.0, healthy_deadline=20.0)
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    path = f"{node.places.updaters}/{pack().sha256}.pyz"
    command = [node.python, "-I", "-S", "-B", path, "tick", str(node.state), "beacon"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    names = [line.split(":")[0] for line in book(node)]
    assert names == [*MOMENTS, *(f"un-{each}" for each in reversed(MOMENTS))]
    assert node.facts()["state"] == "rolled_back"


@pytest.mark.drill
def test_an_undo_that_fails_is_not_called_proven_and_is_tried_again(node: Node) -> None:
    before = node.product()
    mark = node.top / "mark"
    node.document["hooks"] = [hook(node, "before_stop", undo=["test", "-e", str(mark)])]
    node.accepted(Beacon("2.0"))
    assert node.ask("rollback", why="drill").outcome == "ok"
    facts = node.wait_for(lambda facts: facts["state"] == "inconsistent")
    assert "the hook before-stop (before_stop) is not undone" in facts["problem"]["evidence"]
    assert node.product() == before
    assert facts["running"] == "1.0"
    mark.touch()
    assert node.ask("recover").outcome == "ok"
    node.wait_for(lambda facts: facts["state"] == "rolled_back")


@pytest.mark.drill
def test_what_was_undone_is_not_undone_again(node: Node) -> None:
    with_hooks(node, "after_start", "before_stop")
    mark = node.top / "mark"
    node.document["hooks"].append(
        hook(node, "before_stop", name="stubborn", undo=["test", "-e", str(mark)])
    )
    node.accepted(Beacon("2.0"))
    node.ask("rollback", why="drill")
    node.wait_for(lambda facts: facts["state"] == "inconsistent")
    mark.touch()
    node.ask("recover")
    node.wait_for(lambda facts: facts["state"] == "rolled_back")
    names = [line.split(":")[0] for line in book(node)]
    assert names.count("un-after_start") == 1
    assert names.count("un-before_stop") == 1


# --- before finalize ----------------------------------------------------------------------------


@pytest.mark.drill
def test_before_finalize_a_hook_may_say_no_and_the_node_stays_reversible(node: Node) -> None:
    before, mark = node.product(), node.top / "mark"
    release = Beacon("2.0")
    says = ["sh", "-c", f'test -e "{mark}" && exit 0; echo feature flags are off; exit 1']
    node.document["hooks"] = [hook(node, "before_finalize", command=says)]
    node.accepted(release)
    assert node.ask("finalize", digest=release.digest).outcome == "ok"
    facts = node.wait_for(lambda facts: not facts["transaction"]["driver"])
    assert (facts["state"], facts["finalized"]["version"]) == ("accepted", "1.0")
    assert [line.split(":")[0] for line in book(node)] == ["un-before_finalize"]
    calls = [record for record in node.records() if record["t"] == "CALL"]
    assert "feature flags are off" in calls[1]["text"]
    mark.touch()
    assert node.ask("finalize", digest=release.digest).outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.facts()["finalized"]["version"] == "2.0"
    assert before != node.product()


@pytest.mark.drill
def test_what_is_not_accepted_runs_no_hook_before_finalize(node: Node) -> None:
    release = Beacon("2.0")
    with_hooks(node, "before_finalize")
    node.begin(release)
    node.wait_for(settled)
    assert node.ask("finalize", digest=release.digest).code == "not-accepted"
    assert book(node) == []
    assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"


@pytest.mark.drill
def test_killed_while_a_hook_runs_it_is_undone(node: Node, tmp_path: Path) -> None:
    with_hooks(node, "before_stop", "after_start")
    node.document["hooks"][1]["command"] = ["sh", "-c", f"echo begun >>{node.top}/hooks; sleep 9"]
    node.document["hooks"][1]["timeout"] = 20.0
    node.begin(Beacon("2.0"))
    wait_until(lambda: "begun" in book(node))
    for pid in node.drivers():
        subprocess.run(["kill", f"-{signal.SIGKILL}", str(pid)], check=True)
    wait_until(lambda: not node.drivers())
    assert node.ask("recover").outcome == "ok"
    assert node.facts()["state"] == "rolled_back"
    assert [line.split(":")[0] for line in book(node)][2:] == ["un-after_start", "un-before_stop"]
