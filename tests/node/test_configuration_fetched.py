"""Configuration from elsewhere wins over the packaged file, and alone is an upgrade, too."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import blobs, stage_push, wire
from backends.node.journal import scan
from backends.node.places import names_in, read_json, write_json
from tests.node.test_stage import Line
from tests.node.test_stage_fetch import RELEASE, manifest, stage, tarball
from tests.support.beacon import Beacon
from tests.support.node import Node, a_node

PACKAGED = {"etc/main.conf": b"packaged\n", "etc/other.conf": b"other\n"}


def release(content: bytes, version: str = "1.0", **more: bytes) -> Beacon:
    """The same release each time, with this as its fetched configuration."""
    fetched = {"etc/main.conf": content, **{f"etc/{name}": data for name, data in more.items()}}
    return Beacon(version, more=PACKAGED, fetched=fetched)


FIRST, SECOND = release(b"from elsewhere 1\n"), release(b"from elsewhere 2\n", added=b"new\n")
PLAIN = Beacon("1.0", more=PACKAGED)


@pytest.fixture
def node(with_config: Node) -> Node:
    """1.0 runs and is final, with the first configuration."""
    with_config.put_in_place(FIRST, as_release=True)
    return with_config


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Node]:
    """The same, for what is alike in every layout."""
    with a_node(tmp_path / "node", config=["etc/*.conf"]) as made:
        made.put_in_place(FIRST, as_release=True)
        yield made


def etc(node: Node) -> dict[str, bytes]:
    """What lies there now."""
    folder = node.tree("1.0") / "etc"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def final(node: Node) -> dict[str, Any]:
    """The marker."""
    return read_json(node.places.finalized) or {}


def rolled_back(node: Node, run: str = "1120-aaa") -> None:
    assert node.ask("rollback", run=run, why="no").outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert node.facts()["state"] == "rolled_back"


def test_it_wins_over_the_packaged_file_and_brings_its_directories(tmp_path: Path) -> None:
    fetched = {"etc/main.conf": b"from elsewhere\n", "deep/er/new": b"only there\n"}
    wanted = Beacon("1.0", more=PACKAGED, fetched=fetched)
    with a_node(tmp_path / "node") as node:
        node.finalized(wanted)
        tree = node.tree("1.0")
        assert (tree / "etc/main.conf").read_bytes() == b"from elsewhere\n"
        assert (tree / "etc/other.conf").read_bytes() == b"other\n"
        assert (tree / "deep/er/new").read_bytes() == b"only there\n"
        assert (final(node)["digest"], final(node)["packaged"]) == (wanted.digest, wanted.packaged)
        assert final(node)["reconfigured"] is False
        assert node.ask("verify").outcome == "ok"
        book = scan((node.home / "journal").read_bytes()).records
        (record,) = (each for each in book if each["t"] == "STAGE")
        assert record["configuration"] == ["etc/main.conf", "deep/er/new"]


def test_other_configuration_alone_is_an_upgrade(node: Node) -> None:
    before = node.facts()
    node.accepted(SECOND)
    assert etc(node)["main.conf"] == b"from elsewhere 2\n"
    assert etc(node)["added"] == b"new\n"
    during = node.facts()
    assert during["start_id"] != before["start_id"]
    opened = during["transaction"]
    assert (opened["from"]["digest"], opened["to"]["digest"]) == (FIRST.digest, SECOND.digest)
    assert during["staged"] == [], "what is left of it there is no release that waits"
    assert node.ask("verify").outcome == "ok"
    assert node.ask("finalize", run="1120-aaa", digest=SECOND.digest).outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert (final(node)["digest"], final(node)["reconfigured"]) == (SECOND.digest, True)
    assert (read_json(node.places.manifest("1.0")) or {})["digest"] == SECOND.digest
    assert names_in(node.places.nexts) == []
    kept = Path(node.places.default("1.0")) / "etc/main.conf"
    assert kept.read_bytes() == b"from elsewhere 2\n"
    assert node.facts()["staged"] == []
    assert node.ask("verify").outcome == "ok"
    assert node.upgrade(FIRST, "1121-bbb") == "monitoring", "and back is one more"


def test_and_it_goes_back(node: Node) -> None:
    before = node.product()
    node.accepted(SECOND)
    rolled_back(node)
    assert node.product() == before
    assert (final(node)["digest"], node.ask("verify").outcome) == (FIRST.digest, "ok")
    if not node.places.flat:
        assert node.facts()["staged"] == ["1.0"], "it still lies ready, and is tried once more"
        assert node.install(SECOND, "1121-bbb").outcome == "ok"
        node.wait_for(lambda found: bool((found["transaction"] or {}).get("healthy")))


def test_what_is_staged_changes_nothing_of_what_is_known_of_the_final_one(node: Node) -> None:
    assert node.stage(SECOND).outcome == "ok"
    found = node.facts()
    assert (found["staged"], found["state"]) == (["1.0"], "staged")
    assert node.ask("verify").outcome == "ok"
    assert (read_json(node.places.manifest("1.0")) or {})["digest"] == FIRST.digest
    assert node.ask("clean", everything=False).outcome == "ok"
    assert (node.facts()["staged"], names_in(node.places.nexts)) == ([], [])
    assert node.ask("verify").outcome == "ok"


def test_the_last_that_was_staged_counts(one: Node) -> None:
    for each in (SECOND, release(b"from elsewhere 3\n"), FIRST):
        assert one.stage(each).outcome == "ok"
        assert one.check(each).outcome == "ok"
    assert one.check(SECOND).code == "check-refused"
    assert one.install(SECOND).code == "not-checked"
    assert names_in(one.places.nexts) == []
    assert one.upgrade(FIRST) == "monitoring", "the same once more is a repair"


def test_each_check_is_about_the_staged_configuration(one: Node) -> None:
    one.document["check"]["parse"] = ["/bin/sh", "-c", "cat etc/main.conf"]
    one.stage(SECOND)
    rows = {row["name"]: row for row in one.check(SECOND).all("row")}
    assert rows["parse"]["evidence"] == "exit 0: from elsewhere 2"
    same = rows["same version, other content"]
    assert (same["result"], same["evidence"]) == (
        "ok",
        "the same release, with other configuration",
    )
    assert rows["digest"]["evidence"] == SECOND.digest
    staged = Path(one.places.staged_tree("1.0")) / "etc/main.conf"
    staged.write_bytes(b"from elsewhere 9\n")
    assert one.install(SECOND).code == "staged-changed"


def test_what_somebody_edited_stays_and_the_fetched_one_is_put_beside(node: Node) -> None:
    node.stage(FIRST)  # then its defaults are known
    (node.tree("1.0") / "etc/main.conf").write_bytes(b"mine\n")
    node.accepted(SECOND)
    assert etc(node)["main.conf"] == b"mine\n"
    assert etc(node)["main.conf.new"] == b"from elsewhere 2\n"
    (found,) = node.ask("conflicts").all("conflict")
    assert found["yours"][3:] == ["-from elsewhere 1", "+mine"]
    assert found["theirs"][3:] == ["-from elsewhere 1", "+from elsewhere 2"]
    assert node.ask("finalize", run="1120-aaa", digest=SECOND.digest).outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    (found,) = node.ask("conflicts").all("conflict")
    assert (found["yours"], found["theirs"]) == (None, None), "the old default is gone"
    assert found["both"][3:] == ["-mine", "+from elsewhere 2"]


def test_another_release_under_the_same_version_is_still_refused(one: Node) -> None:
    other = Beacon("1.0", more={**PACKAGED, "etc/other.conf": b"another\n"}, fetched=FIRST.fetched)
    before = one.product()
    assert one.stage(other).code == "version-taken"
    assert one.stage(PLAIN).outcome == "ok", "it is the same, as it was packaged"
    assert one.product() == before


def test_over_what_was_adopted_no_configuration_is_put(tmp_path: Path) -> None:
    """Nobody knows of which release it is."""
    with a_node(tmp_path / "node") as node:
        node.put_in_place(FIRST)
        assert final(node)["packaged"] is None
        assert node.stage(SECOND).code == "version-taken"


def test_it_comes_with_a_release_that_the_node_gets_by_itself(tmp_path: Path) -> None:
    wanted = Beacon(
        "2.0",
        more={"big": RELEASE.content["big"][1], "etc/default": b"level = 2\n"},
        fetched={"etc/default": b"level = 3\n"},
    )
    lies = tmp_path / "lies.tar.gz"
    lies.write_bytes(tarball(RELEASE.content))
    with a_node(tmp_path / "node") as node:
        answer = stage(
            node,
            {"how": "present", "path": str(lies)},
            manifest(),
            digest=wanted.digest,
            packaged=wanted.packaged,
            configuration=wanted.configuration,
            then=frames(wanted),
        )
        assert answer.outcome == "ok", answer.messages
        tree = Path(node.places.staged_tree("2.0"))
        assert (tree / "etc/default").read_bytes() == b"level = 3\n"
        assert (tree / "big").read_bytes() == RELEASE.content["big"][1]


def frames(wanted: Beacon) -> bytes:
    found = b""
    for data in wanted.fetched.values():
        found += wire.frame_header(hashlib.sha256(data).hexdigest(), 0, len(data)) + data
    return found


# --- what readers of this code asked ------------------------------------------------------------


def by_the_updater_before(node: Node) -> None:
    """As it was written down when there was no configuration from elsewhere."""
    for path in (node.places.finalized, node.places.manifest("1.0")):
        found = read_json(path) or {}
        del found["packaged"]
        write_json(path, found)
    about = Path(node.places.provenance("1.0")) / "about.json"
    found = json.loads(about.read_text())
    write_json(str(about), {**found, "digest": found.pop("packaged")})


def test_what_an_earlier_updater_wrote_down_is_understood(tmp_path: Path) -> None:
    with a_node(tmp_path / "node") as node:
        node.finalized(PLAIN)
        by_the_updater_before(node)
        assert node.ask("verify").outcome == "ok"
        assert node.facts()["finalized"]["packaged"] == PLAIN.digest
        node.accepted(FIRST, "1121-bbb")
        assert node.facts()["transaction"]["to"]["packaged"] == PLAIN.digest


def writing_nothing(release: Beacon) -> Beacon:
    """The release with a service that writes nothing into its own tree."""
    mode, script = release.content["control"]
    script = script.replace(b"$here/beacon.pid", b"$BEACON_PID")
    release.content["control"] = mode, script.replace(b"$here/beacon.log", b"$BEACON_PID.log")
    mode, program = release.content["beacon.py"]
    there = b'os.path.join(HERE, "beacon.pid")'
    assert there in program
    release.content["beacon.py"] = mode, program.replace(there, b'os.environ["BEACON_PID"]')
    return release


def test_where_it_lies_there_already_the_way_back_is_what_lies_there(tmp_path: Path) -> None:
    """Somebody wrote it by hand before it was published."""
    first, then = (writing_nothing(Beacon("1.0", fetched={"main": data})) for data in (b"1", b"2"))
    with a_node(tmp_path / "node") as node:
        node.document["service"]["pid_file"] = str(tmp_path / "node" / "pid")
        node.document["service"]["env"]["BEACON_PID"] = str(tmp_path / "node" / "pid")
        node.finalized(first)
        (node.tree("1.0") / "main").write_bytes(b"2")
        before = node.product()
        assert node.upgrade(then, "1121-bbb") == "monitoring"
        rolled_back(node, "1121-bbb")
        assert node.product() == before
        (row,) = (row for row in node.ask("verify").all("row") if row["name"] == "installed files")
        assert "changed: main" in row["evidence"], "final is what was final before"
        node.finalized(then, "1122-ccc")
        assert (final(node)["digest"], names_in(node.places.nexts)) == (then.digest, [])
        assert node.ask("verify").outcome == "ok"


def test_signed_is_only_what_was_packaged_and_that_is_said(one: Node) -> None:
    one.stage(SECOND)
    rows = {row["name"]: row["evidence"] for row in one.check(SECOND).all("row")}
    assert rows["signature"].endswith("the configuration that was put into it is signed by nobody")
    one.stage(PLAIN)
    rows = {row["name"]: row["evidence"] for row in one.check(PLAIN).all("row")}
    assert "configuration" not in rows["signature"]


def test_installed_again_its_old_default_is_still_not_known(one: Node) -> None:
    one.stage(FIRST)
    (one.tree("1.0") / "etc/main.conf").write_bytes(b"mine\n")
    one.finalized(SECOND)
    one.finalized(SECOND, "1121-bbb")
    assert final(one)["reconfigured"] is True
    (found,) = one.ask("conflicts").all("conflict")
    assert (found["yours"], found["theirs"]) == (None, None)


def test_what_went_back_says_that_it_was_configuration(one: Node) -> None:
    one.accepted(SECOND)
    rolled_back(one)
    assert one.facts()["note"] == "rolled back from 1.0 with other configuration: no"


# --- refused ------------------------------------------------------------------------------------


def refused(node: Node, code: str, wanted: Beacon = SECOND, then: bytes = b"", **more: Any) -> str:
    """Stage with something wrong: the code, and nothing outside of our own is touched."""
    before = node.product()
    line = Line(
        node,
        wanted,
        **{"packaged": wanted.packaged, "configuration": wanted.configuration, **more},
    )
    line.write(then)
    answer = line.end()
    assert answer.code == code, answer.messages
    assert node.product() == before
    assert node.facts()["staged"] == []
    return str(answer.end["problem"]["evidence"] or answer.end["problem"]["summary"])


def test_what_was_not_announced_is_refused(one: Node) -> None:
    good = frames(SECOND)
    refused(one, "stage-cut")
    refused(one, "stage-cut", then=good[:-2])
    refused(one, "frame-unasked", then=frames(FIRST))
    refused(one, "frame-unasked", then=wire.END_OF_FRAMES)
    damaged = good.replace(b"from elsewhere 2", b"from elsewhere 9")
    assert "main.conf" in refused(one, "blob-damaged", then=damaged)
    swapped = [dict(each, mode=0o755) for each in SECOND.configuration]
    refused(one, "manifest-other", then=good, configuration=swapped)
    other = release(b"from elsewhere 2\n", "2.0", added=b"new\n")
    refused(one, "manifest-other", other, then=good, packaged=FIRST.digest)
    refused(one, "manifest-other", configuration=[])


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/passwd", "etc", "control/inside", "", ".", "a/../b", "a//b"]
)
def test_what_does_not_fit_into_the_release_is_refused_by_name(path: str, tmp_path: Path) -> None:
    data = b"x\n"
    sha = hashlib.sha256(data).hexdigest()
    entry = {"path": path, "mode": 0o644, "size": 2, "sha256": sha}
    frame = wire.frame_header(sha, 0, 2) + data
    with a_node(tmp_path / "node") as node:
        says = refused(
            node, "configuration-unsafe", PLAIN, frame, configuration=[entry], digest="0" * 64
        )
        assert path.split("/")[0] in says


def test_too_much_is_refused_before_it_comes(one: Node) -> None:
    big = [dict(SECOND.configuration[0], size=wire.MAX_CONFIGURATION + 1)]
    refused(one, "configuration-too-big", configuration=big)


def test_a_blob_is_what_it_is_called(one: Node) -> None:
    with pytest.raises(ValueError, match="not the content"):
        blobs.put(one.places, {"0" * 64: b"other"})
    assert names_in(one.places.blobs) == []


def test_nothing_comes_where_nothing_is_announced() -> None:
    with Path("/dev/null").open("rb") as stream:
        assert stage_push.receive_unasked([], stream) == {}
