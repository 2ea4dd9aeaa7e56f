"""Drift (features R11, R12): what runs is held against what was recorded, now and for ever."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.node import drift, facts, images, locks
from backends.node.drift import Patrol
from backends.node.layouts import layout_of
from backends.node.places import read_json, write_json
from tests.node.test_watch import Watch, watches
from tests.support.beacon import Beacon
from tests.support.node import Answer, Node, a_node, picture

__all__ = ["watches"]

OLD = Beacon("1.0")


def flip(path: Path) -> Callable[[], None]:
    """Change one byte in place, times put back; how to mend it."""
    before, about = path.read_bytes(), path.stat()
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

    def mend() -> None:
        path.write_bytes(before)

    return mend


# --- the patrol of a watch ----------------------------------------------------------------------


class Patrolled:
    """A patrol of a node, look by look, as a watch makes it."""

    def __init__(self, node: Node, every: float = 3600) -> None:
        self.reader = facts.Reader(node.places, node.document)
        self.patrol = Patrol(layout_of(node.document, node.places), every)

    def look(self, **other: Any) -> Any:
        """One look; what is found by then."""
        self.patrol.look({**self.reader.quick(), **other})
        return self.patrol.found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheap look is due at each look of the watch."""
    monkeypatch.setattr(drift, "CHEAP_SECONDS", 0.0)


def differing(found: Any) -> tuple[list[str], list[str], int]:
    return found["changed"], found["missing"], found["count"]


@pytest.mark.usefixtures("at_once")
def test_a_flipped_byte_is_found_although_size_and_times_are_the_same(node: Node) -> None:
    patrolled = Patrolled(node)
    found = patrolled.look()
    assert differing(found) == ([], [], 0)
    assert (found["version"], found["files"]) == ("1.0", len(OLD.files))
    mend = flip(node.tree("1.0") / "VERSION")
    assert differing(patrolled.look()) == (["VERSION"], [], 1)
    assert differing(patrolled.look()) == (["VERSION"], [], 1)
    mend()
    assert differing(patrolled.look()) == ([], [], 0)


@pytest.mark.usefixtures("at_once")
def test_whatever_else_can_differ_is_found(node: Node) -> None:
    patrolled, tree = Patrolled(node), node.tree("1.0")
    patrolled.look()
    control, version = tree / "control", tree / "VERSION"
    control.chmod(0o700)
    assert differing(patrolled.look()) == (["control"], [], 1)
    control.unlink()
    control.symlink_to("VERSION")
    assert differing(patrolled.look()) == (["control"], [], 1)
    version.unlink()
    assert differing(patrolled.look()) == (["control"], ["VERSION"], 2)
    (tree / "foreign.log").write_text("a service writes what it likes")
    assert differing(patrolled.look()) == (["control"], ["VERSION"], 2)


@pytest.mark.usefixtures("at_once")
def test_where_directories_are_swapped_only_they_count(tmp_path: Path) -> None:
    release = Beacon("1.0", more={"lib/part": b"one\n", "etc/part": b"one\n", "part": b"one\n"})
    with a_node(tmp_path / "node", layout="swap", directories=["lib"]) as node:
        node.put_in_place(release, as_release=True)
        patrolled, tree = Patrolled(node), node.tree("1.0")
        assert patrolled.look()["files"] == 1
        for path in ("part", "etc/part"):
            flip(tree / path)
        assert differing(patrolled.look()) == ([], [], 0)
        flip(tree / "lib/part")
        assert differing(patrolled.look()) == (["lib/part"], [], 1)


def test_a_disk_that_loses_bytes_without_a_trace_is_found_by_reading(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inode and times stay as they were: only reading tells."""
    path = node.tree("1.0") / "VERSION"
    before, lstat = os.lstat(path), os.lstat
    monkeypatch.setattr(drift, "CHEAP_SECONDS", 0.0)

    def looks_as_before(where: str, **more: Any) -> os.stat_result:
        return before if where == str(path) else lstat(where, **more)

    monkeypatch.setattr(drift.os, "lstat", looks_as_before)
    patrolled = Patrolled(node)
    patrolled.look()
    flip(path)
    assert differing(patrolled.look())[2] == 0, "the cheap look cannot know"
    patrolled.patrol._whole_at = 0.0  # an hour later
    assert differing(patrolled.look()) == (["VERSION"], [], 1)


def test_nothing_is_read_again_before_its_time(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    patrolled = Patrolled(node)
    first = patrolled.look()
    monkeypatch.setattr(Patrol, "_look_at_all", lambda *_: pytest.fail("it is not due"))
    assert patrolled.look() is first


@pytest.mark.usefixtures("at_once")
def test_a_large_file_is_read_a_little_at_each_look(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(drift, "_PIECE", 8)
    patrolled = Patrolled(node)
    looks = 1
    while patrolled.look() is None:
        looks += 1
    size = sum(entry["size"] for entry in OLD.files)
    assert looks > size // 8
    assert differing(patrolled.patrol.found) == ([], [], 0)


@pytest.mark.usefixtures("at_once")
def test_what_cannot_be_read_is_unknown_and_no_success(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    patrolled = Patrolled(node)
    monkeypatch.setattr(drift.hashlib, "sha256", refuses)
    assert "VERSION: Input/output error" in patrolled.look()["unknown"]


@pytest.mark.usefixtures("at_once")
def test_what_lives_on_does_not_count(node: Node) -> None:
    node.document["keep"] = ["VERSION"]
    patrolled = Patrolled(node)
    flip(node.tree("1.0") / "VERSION")
    assert differing(patrolled.look())[2] == 0


def test_of_what_nobody_recorded_nothing_is_known(node: Node) -> None:
    os.unlink(node.places.manifest("1.0"))
    assert "nothing is recorded" in Patrolled(node).look()["unknown"]
    Path(node.places.manifest("1.0")).write_text("{")
    assert "what is recorded of 1.0" in Patrolled(node).look()["unknown"]


@pytest.mark.usefixtures("at_once")
def test_it_rests_while_an_upgrade_is_at_work(node: Node) -> None:
    """R12: what is being changed has not drifted; after the accept it is looked at again."""
    patrolled = Patrolled(node)
    assert patrolled.look() is not None
    opened = {"driver": True, "decision": None}
    assert patrolled.look(state="monitoring", transaction=opened) is None
    assert patrolled.look(state="inconsistent") is None
    accepted = {"driver": False, "decision": "ACCEPT", "to": {"version": "1.0"}}
    assert differing(patrolled.look(state="accepted", transaction=accepted))[2] == 0
    assert patrolled.look(selected={"unknown": "no pointer"}) is None


def test_a_watch_tells_drift_and_its_end(node: Node, watches: list[Watch]) -> None:
    watches.append(Watch(node, beat=5, slow=0.5, verify_every=0.5))
    watch = watches[-1]

    def told(count: int) -> dict[str, Any]:
        while True:
            message = watch.until("facts")
            if message["drift"] is not None and message["drift"]["count"] == count:
                return message

    told(0)
    before = picture(node.top)
    mend = flip(node.tree("1.0") / "VERSION")
    assert told(1)["drift"]["changed"] == ["VERSION"]
    mend()
    told(0)
    assert sorted(picture(node.top)) == sorted(before), "a watch writes nothing"


def test_one_look_alone_says_that_nobody_has_looked(node: Node) -> None:
    assert node.facts()["drift"] is None


# --- verify -------------------------------------------------------------------------------------


def rows(answer: Answer) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["result"], row["evidence"]) for row in answer.all("row")}


def refused(answer: Answer) -> list[str]:
    return [name for name, (result, _) in rows(answer).items() if result in ("refused", "unknown")]


def remembered(node: Node) -> dict[str, Any]:
    """The newest record of the product's own journal."""
    return node.records("-")[-1]


def test_what_is_as_recorded_is_verified_and_written_down(node: Node) -> None:
    before = node.product()
    answer = node.ask("verify")
    assert answer.outcome == "ok", answer.messages
    assert list(rows(answer)) == ["recorded", "signature", "installed files", "parse"]
    assert {result for result, _ in rows(answer).values()} == {"ok"}
    (found,) = answer.all("verified")
    assert (found["changed"], found["missing"]) == ([], [])
    assert "beacon.pid" in found["foreign"], "named, and no drift"
    record = remembered(node)
    assert (record["t"], record["ok"], record["operator"]) == ("VERIFY", True, "ann@jump")
    assert node.product() == before


def test_each_path_that_differs_is_named(node: Node) -> None:
    flip(node.tree("1.0") / "VERSION")
    (node.tree("1.0") / "sick").write_text("foreign")
    os.unlink(node.tree("1.0") / "beacon.py")
    before = node.product()
    answer = node.ask("verify")
    assert (answer.outcome, answer.code) == ("failed", "drift")
    (found,) = answer.all("verified")
    assert (found["changed"], found["missing"]) == (["VERSION"], ["beacon.py"])
    assert "sick" in found["foreign"]
    assert "missing: beacon.py; changed: VERSION" in rows(answer)["installed files"][1]
    assert rows(answer)["parse"][0] == "unknown", "nothing of it is run"
    assert "--reinstall" in answer.messages[-1]["problem"]["advice"]
    assert remembered(node)["refused"] == ["installed files", "parse"]
    assert node.product() == before


def test_a_record_that_was_changed_vouches_for_nothing(node: Node) -> None:
    """Whoever changes a file may change what we hold it against, too."""
    mend = flip(node.tree("1.0") / "VERSION")
    path = node.places.manifest("1.0")
    record = read_json(path)
    assert record is not None
    (entry,) = (each for each in record["files"] if each["path"] == "VERSION")
    entry["sha256"] = images.hash_file(str(node.tree("1.0") / "VERSION"))
    write_json(path, record)
    answer = node.ask("verify")
    assert (answer.code, refused(answer)) == ("not-verified", ["recorded", "parse"])
    mend()


def test_a_version_that_was_selected_by_hand_is_not_what_was_decided(node: Node) -> None:
    marker = read_json(node.places.finalized)
    assert marker is not None
    write_json(node.places.finalized, dict(marker, version="0.9"))
    answer = node.ask("verify")
    assert rows(answer)["recorded"] == (
        "refused",
        "1.0 is selected, and neither accepted nor final",
    )


def test_the_parse_command_is_asked_about_what_lives_on(node: Node) -> None:
    """R11: the bytes are as recorded, and the edited configuration is read all the same."""
    node.document["keep"] = ["beacon.conf"]
    node.document["check"]["parse"] = ["/bin/sh", "-c", "grep -q good beacon.conf && touch left"]
    config = node.tree("1.0") / "beacon.conf"
    config.write_text("good")
    assert node.ask("verify").outcome == "ok"
    config.write_text("bad")
    before = node.product()
    answer = node.ask("verify")
    assert (answer.outcome, answer.code) == ("failed", "not-verified")
    assert refused(answer) == ["parse"]
    assert node.product() == before, "it ran in a tree of its own"


def test_nothing_is_verified_while_somebody_has_the_lock(node: Node) -> None:
    """R12."""
    lock = locks.DriverLock(node.places)
    lock.take(run="1120-bbb", operator="bob@jump", command="install")
    try:
        answer = node.ask("verify")
    finally:
        lock.release()
    assert (answer.outcome, answer.code) == ("refused", "locked")
    assert "1120-bbb of bob@jump" in answer.messages[-1]["problem"]["evidence"]


def test_nothing_is_verified_in_the_middle_of_an_upgrade(node: Node) -> None:
    new = Beacon("2.0")
    node.begin(new)
    node.wait_for(lambda found: found["state"] == "monitoring")
    node.kill_drivers()
    assert node.ask("verify").code == "upgrade-open"
    assert node.facts()["state"] == "inconsistent", "and it recovers nothing"


@pytest.mark.drill
def test_what_is_accepted_is_verified_against_what_was_accepted(node: Node) -> None:
    new = Beacon("2.0")
    node.accepted(new)
    answer = node.ask("verify")
    assert answer.outcome == "ok", answer.messages
    assert rows(answer)["recorded"] == ("ok", new.digest)
    assert rows(answer)["signature"][0] == "warn", "nobody signed it"


def test_what_nobody_adopted_is_not_verified_and_leaves_nothing(node: Node) -> None:
    os.unlink(node.places.manifest("1.0"))
    before = picture(node.top)
    answer = node.ask("verify")
    assert (answer.outcome, answer.code) == ("refused", "nothing-recorded")
    assert picture(node.top) == before


# --- installed again ----------------------------------------------------------------------------


@pytest.mark.drill
def test_installed_again_it_is_as_released_and_what_was_there_is_kept(node: Node) -> None:
    new, again = Beacon("2.0"), "1121-bbb"
    node.finalized(new)
    flip(node.tree("2.0") / "VERSION")
    changed = (node.tree("2.0") / "VERSION").read_bytes()
    node.finalized(new, again)
    assert node.ask("verify").outcome == "ok"
    found = node.facts()
    assert found["finalized"]["run"] == again
    assert found["previous"]["version"] == "1.0", "the version before it, not itself"
    assert (node.home / "conflicts" / again / "2.0" / "VERSION").read_bytes() == changed


@pytest.mark.drill
def test_an_install_again_that_goes_back_leaves_what_was_there(node: Node) -> None:
    new, again = Beacon("2.0"), "1121-bbb"
    node.finalized(new)
    flip(node.tree("2.0") / "VERSION")
    changed = (node.tree("2.0") / "VERSION").read_bytes()
    node.accepted(new, again)
    assert node.ask("rollback", run=again, why="not now").outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert node.facts()["state"] == "rolled_back"
    assert (node.tree("2.0") / "VERSION").read_bytes() == changed
    assert node.ask("verify").code == "drift"


@pytest.mark.drill
def test_an_install_again_that_is_given_up_early_leaves_what_was_there(node: Node) -> None:
    """Before the intents nothing was touched: what has drifted is no reason to doubt that."""
    new = Beacon("2.0")
    node.finalized(new)
    flip(node.tree("2.0") / "VERSION")
    for answer in (node.stage(new, "1121-bbb"), node.check(new, "1121-bbb")):
        assert answer.outcome == "ok", answer.messages
    node.document["owner"] = "nobody-of-that-name:nogroup"
    assert node.install(new, "1121-bbb").outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert node.facts()["state"] == "rolled_back"
    assert "nobody-of-that-name" in node.facts()["note"]


def test_a_kept_file_that_was_taken_away_is_no_reason_against_it(node: Node) -> None:
    node.document["keep"] = ["VERSION"]
    node.document["check"]["parse"] = ["/bin/sh", "-c", "test ! -e VERSION"]
    os.unlink(node.tree("1.0") / "VERSION")
    assert refused(node.ask("verify")) == []


def test_a_damaged_record_is_said_to_be_damaged(node: Node) -> None:
    manifest = Path(node.places.manifest("1.0"))
    whole = manifest.read_text()
    manifest.write_text("{")
    assert node.ask("verify").code == "record-damaged"
    manifest.write_text(whole.replace('"path"', '"pith"'))
    answer = node.ask("verify")
    assert answer.code == "record-damaged"
    assert "what is recorded of 1.0" in Patrolled(node).look()["unknown"]


def test_what_was_only_staged_is_no_record_of_what_runs(node: Node) -> None:
    """`adopt --release` that was declined: nobody has decided that this is what runs."""
    os.unlink(node.places.finalized)
    assert "nothing is recorded" in Patrolled(node).look()["unknown"]
