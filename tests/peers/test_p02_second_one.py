"""Who comes second while the first is at work is refused, and leaves nothing else behind."""

from typing import Any

from backends.node import locks
from tests.support.beacon import Beacon
from tests.support.node import Node, picture, settled

OTHER = "1120-bbb"


def kept(node: Node) -> dict[str, Any]:
    """All of the node but the log, and the journal of the upgrade that is at work."""
    left = ("updater.log", "active/journal")
    return {name: about for name, about in picture(node.top).items() if not name.endswith(left)}


def is_left_as_it_was(node: Node, before: dict[str, Any]) -> None:
    assert not {OTHER} & {record.get("run") for record in node.records()}
    now = kept(node)
    names = [name for name in {*before, *now} if before.get(name) != now.get(name)]
    assert not names


def test_p02_a_second_install_during_a_trial_leaves_no_trace_but_its_refusal(node: Node) -> None:
    """nixos-cli: a second helper that started while the first waited changed what it stood on."""
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    drivers, before = node.drivers(), kept(node)
    refused = node.install(Beacon("2.0"), OTHER)
    assert (refused.outcome, refused.code) == ("refused", "upgrade-open")
    is_left_as_it_was(node, before)
    assert node.drivers() == drivers
    assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"


def test_p02_a_driver_that_finds_the_lock_taken_begins_nothing(node: Node) -> None:
    """nixos-cli: the first has the lock and has not begun; the second must not either."""
    release = Beacon("2.0")
    for answer in (node.stage(release, OTHER), node.check(release, OTHER)):
        assert answer.outcome == "ok", answer.messages
    lock = locks.DriverLock(node.places)
    lock.take(run="1120-aaa", operator="eve@there", command="install")
    before = kept(node)
    refused = node.install(release, OTHER)
    assert (refused.outcome, refused.code) == ("refused", "locked")
    assert "run 1120-aaa of eve@there" in refused.end["problem"]["evidence"]
    assert kept(node) == before
    lock.release()
    assert node.facts()["transaction"] is None
