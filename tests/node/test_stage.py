"""Staging: a cut, a flipped byte, a hostile name or a full disk loses and harms nothing."""

import hashlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import wire
from backends.node.canonical import files_digest
from tests.support.beacon import Beacon
from tests.support.disks import fill, small_disk
from tests.support.node import Answer, Node, a_node, picture, wait_until

BIG = random.Random(5).randbytes(150_000)
BIG_SHA = hashlib.sha256(BIG).hexdigest()


def outside(node: Node) -> dict[str, tuple[object, ...]]:
    """All of the node that is neither our state nor our folder."""
    return {
        name: about
        for name, about in picture(node.top).items()
        if not name.startswith(("state", "opt/beacon/.liftlock"))
    }


class Line:
    """A stage command whose other side is in the test's hands."""

    def __init__(self, node: Node, release: Beacon, **changes: Any) -> None:
        self.release = release
        manifest = changes.pop("content", release.manifest)
        sha = hashlib.sha256(manifest).hexdigest()
        args: dict[str, Any] = {
            "run": "1120-aaa",
            "version": release.version,
            "digest": release.digest,
            "manifest": {"sha256": sha, "size": len(manifest)},
            "plan": {"run": "1120-aaa"},
        }
        args.update(changes)
        self.process = node.start("stage", **args)
        self.messages: list[dict[str, Any]] = []
        self.write(wire.frame_header(sha, 0, len(manifest)) + manifest)

    def write(self, data: bytes) -> None:
        """Send bytes; a side that is gone is found out at the end."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            return

    def needs(self) -> dict[str, tuple[int, int]]:
        """What the node asks for: digest -> offset and size."""
        assert self.process.stdout is not None
        wanted: dict[str, tuple[int, int]] = {}
        for line in self.process.stdout:
            message = wire.decode(line)
            self.messages.append(message)
            if message["t"] == "need":
                wanted.update({sha: (have, size) for sha, have, size in message["blobs"]})
            if message["t"] in ("send", "end"):
                break
        return wanted

    def end(self) -> Answer:
        """Hang up; all that was said."""
        out, err = self.process.communicate(timeout=30)
        self.messages += [wire.decode(line) for line in out.splitlines()]
        return Answer(self.messages, err.decode())

    def send(self, sha: str, offset: int = 0, data: bytes | None = None) -> None:
        """One frame."""
        content = self.release.blob(sha)[offset:] if data is None else data
        self.write(wire.frame_header(sha, offset, len(content)) + content)


def big(version: str = "2.0") -> Beacon:
    return Beacon(version, more={"big": BIG})


# --- resume -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 70_000, 152_000])
def test_row_47_a_cut_line_is_taken_up_where_it_ended(bare: Node, cut: int) -> None:
    release = big("1.0")
    assert bare.stage(release, cut_after=cut).code == "stage-cut"
    assert bare.facts()["staged"] == []
    line = Line(bare, release)
    wanted = line.needs()
    asked = sum(size - have for have, size in wanted.values())
    whole = sum(len(data) for _, data in release.content.values())
    assert asked == whole - cut
    for sha, (have, _) in wanted.items():
        line.send(sha, have)
    line.write(wire.END_OF_FRAMES)
    assert line.end().outcome == "ok"
    assert bare.check(release).outcome == "ok"


def test_a_part_that_was_damaged_at_rest_is_refused_and_sent_anew(bare: Node) -> None:
    release = big("1.0")
    line = Line(bare, release)
    line.needs()
    line.write(wire.frame_header(BIG_SHA, 0, len(BIG)) + BIG[:100_000])
    assert line.end().code == "stage-cut"
    part = bare.home / "blobs" / f"{BIG_SHA}.part"
    content = bytearray(part.read_bytes())
    assert len(content) == 100_000
    content[5000] ^= 1
    part.write_bytes(content)
    assert bare.stage(release).code == "blob-damaged"
    assert not part.exists()
    assert bare.stage(release).outcome == "ok"
    assert bare.check(release).outcome == "ok"


def test_a_part_longer_than_its_blob_is_begun_anew(bare: Node) -> None:
    release = big("1.0")
    assert bare.stage(release, cut_after=0).code == "stage-cut"
    (bare.home / "blobs" / f"{BIG_SHA}.part").write_bytes(BIG + b"more")
    line = Line(bare, release)
    assert line.needs()[BIG_SHA] == (0, len(BIG))
    line.end()


def test_a_whole_blob_that_was_damaged_at_rest_is_asked_for_again(bare: Node) -> None:
    release = big("1.0")
    line = Line(bare, release)
    line.needs()
    line.send(BIG_SHA)
    assert line.end().code == "stage-cut"
    blob = bare.home / "blobs" / BIG_SHA
    assert blob.read_bytes() == BIG
    blob.write_bytes(BIG[:-1] + b"?")
    line = Line(bare, release)
    assert BIG_SHA in line.needs()
    line.end()


def test_a_manifest_half_written_by_a_killed_run_does_not_block_staging(node: Node) -> None:
    (node.home / "manifests" / "3.0.json.part-77").write_bytes(b'{"files": [')
    assert node.stage(Beacon("2.0")).outcome == "ok"


def test_staged_twice_nothing_is_sent_again(bare: Node) -> None:
    release = big("1.0")
    assert bare.stage(release).outcome == "ok"
    line = Line(bare, release)
    assert line.needs() == {}
    line.write(wire.END_OF_FRAMES)
    assert line.end().all("staged")[0]["received"] == 0


def test_what_the_running_version_has_is_copied_and_only_the_change_is_sent(bare: Node) -> None:
    bare.put_in_place(big("1.0"))
    before = bare.product()
    line = Line(bare, big("2.0"))
    wanted = line.needs()
    assert list(wanted.values()) == [(0, 4)]  # VERSION
    for sha in wanted:
        line.send(sha)
    line.write(wire.END_OF_FRAMES)
    assert line.end().all("staged")[0]["received"] == 4
    assert bare.product() == before
    running = (bare.directory / "1.0" / "big").stat()
    assert running.st_nlink == 1
    staged = bare.directory / ".liftlock" / "staging" / "2.0" / "big"
    assert staged.read_bytes() == BIG
    assert staged.stat().st_ino != running.st_ino


def test_what_the_running_version_only_seems_to_have_is_sent(bare: Node) -> None:
    bare.put_in_place(big("1.0"))
    edited = bare.directory / "1.0" / "big"
    edited.write_bytes(BIG[::-1])
    line = Line(bare, big("2.0"))
    assert BIG_SHA in line.needs()
    line.end()


# --- what is not believed -----------------------------------------------------------------------


def test_row_48_a_flipped_byte_is_refused_and_only_that_blob_is_lost(bare: Node) -> None:
    release = big("1.0")
    line = Line(bare, release)
    wanted = sorted(line.needs(), key=lambda sha: sha == BIG_SHA)
    for sha in wanted[:-1]:
        line.send(sha)
    line.send(BIG_SHA, data=BIG[:-1] + bytes([BIG[-1] ^ 1]))
    answer = line.end()
    assert (answer.outcome, answer.code) == ("refused", "blob-damaged")
    assert bare.facts()["staged"] == []
    line = Line(bare, release)
    assert list(line.needs()) == [BIG_SHA]
    line.end()


FRAMES = {
    "a blob that was not asked for": (wire.frame_header("0" * 64, 0, 1) + b"x", "frame-unasked"),
    "more than the blob has": (wire.frame_header(BIG_SHA, 0, len(BIG) + 1), "frame-unasked"),
    "a gap": (wire.frame_header(BIG_SHA, 5, 1) + b"x", "frame-gap"),
    "the end too early": (wire.END_OF_FRAMES, "stage-cut"),
    "no frame": (b"GET / HTTP/1.1\n", "frame-unasked"),
    "a frame that is cut": (b"0" * 60, "stage-cut"),
    "a negative offset": (f"{BIG_SHA} -1 1\n".encode(), "frame-unasked"),
    "other digits": (f"{BIG_SHA} ² 1\n".encode(), "frame-unasked"),
    "an endless line": (b"0" * 2_000_000, "stage-cut"),
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_wrong_frame_is_refused(bare: Node, what: str) -> None:
    data, code = FRAMES[what]
    line = Line(bare, big("1.0"))
    line.needs()
    line.write(data)
    answer = line.end()
    assert (answer.outcome, answer.code) == ("refused", code)
    assert bare.facts()["staged"] == []
    assert not (bare.directory / "1.0").exists()


def manifest(*entries: dict[str, Any], **changes: Any) -> bytes:
    """A manifest with these entries."""
    found: dict[str, Any] = {
        "version": "1.0",
        "created": "2026-11-14T22:13:20Z",
        "sequence": 1,
        "files": list(entries),
    }
    found.update(changes)
    return json.dumps(found).encode()


def entry(path: Any = "a", **changes: Any) -> dict[str, Any]:
    """A file of the empty content."""
    found = {
        "path": path,
        "type": "file",
        "mode": 0o644,
        "size": 0,
        "sha256": hashlib.sha256(b"").hexdigest(),
        "target": None,
    }
    found.update(changes)
    return found


def link(path: str, target: Any) -> dict[str, Any]:
    return entry(path, type="link", mode=0o777, sha256=None, target=target)


HOSTILE = {
    "up": manifest(entry("../evil")),
    "up inside": manifest(entry("a/../../evil")),
    "absolute": manifest(entry("/tmp/evil")),
    "empty": manifest(entry("")),
    "dot": manifest(entry(".")),
    "newline": manifest(entry("a\nb")),
    "twice": manifest(entry("a"), entry("a")),
    "case": manifest(entry("a"), entry("A")),
    "below a file": manifest(entry("a"), entry("a/b")),
    "below a link": manifest(link("a", "b"), entry("a/b")),
    "link out": manifest(link("a", "../../evil")),
    "link absolute": manifest(link("a", "/etc/passwd")),
    "link without target": manifest(link("a", None)),
    "device": manifest(entry("a", type="device")),
    "hash": manifest(entry("a", sha256="00")),
    "hash of no text": manifest(entry("a", sha256=None)),
    "size of no number": manifest(entry("a", size="many")),
    "too big": manifest(entry("a", size=1 << 50)),
    "path of no text": manifest(entry(7)),
    "no files": b'{"version": "1.0", "created": "2026-11-14T22:13:20Z"}',
    "files of no list": manifest(files=7),
    "time": manifest(entry(), created="yesterday"),
    "key twice": b'{"version": "1.0", "version": "1.0", "files": []}',
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "no object": b"[]",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_row_69_a_hostile_manifest_is_refused_and_nothing_is_written_outside(
    bare: Node, what: str
) -> None:
    content = HOSTILE[what]
    before = outside(bare)
    try:
        digest = files_digest(json.loads(content)["files"])
    except (ValueError, RecursionError, KeyError, TypeError):
        digest = "0" * 64
    answer = Line(bare, Beacon("1.0"), content=content, digest=digest).end()
    assert (answer.outcome, answer.code) == ("refused", "manifest-unsafe")
    after = outside(bare)
    after.pop("opt", None)
    after.pop("opt/beacon", None)
    assert after == before
    assert not list((bare.directory / ".liftlock" / "staging").iterdir())


@pytest.mark.parametrize(
    "version", ["../evil", "../../evil", "a/b", ".hidden", "..", "", "current", "/tmp/evil"]
)
def test_row_69_a_version_that_is_no_name_of_a_directory_is_refused(
    bare: Node, version: str
) -> None:
    before = picture(bare.top)
    answer = Line(bare, Beacon(version)).end()
    assert (answer.outcome, answer.code) == ("refused", "version-unsafe")
    found = picture(bare.top)
    assert not {name for name in set(found) - set(before) if not name.startswith("state")}


def test_a_manifest_of_another_release_or_of_other_bytes_is_refused(bare: Node) -> None:
    release = Beacon("1.0")
    assert Line(bare, release, digest="0" * 64).end().code == "manifest-other"
    assert Line(bare, release, version="1.1").end().code == "manifest-other"
    about = {"sha256": "0" * 64, "size": len(release.manifest)}
    assert Line(bare, release, manifest=about).end().code == "frame-unasked"


def test_an_oversize_manifest_is_refused_before_it_is_read(bare: Node) -> None:
    about = {"sha256": "0" * 64, "size": 1 << 40}
    assert Line(bare, Beacon("1.0"), manifest=about).end().code == "manifest-too-big"


def test_a_frame_that_announces_more_than_there_is_memory_is_refused(bare: Node) -> None:
    release = Beacon("1.0")
    process = bare.start(
        "stage",
        run="r",
        version="1.0",
        digest=release.digest,
        manifest={"sha256": "0" * 64, "size": 100},
        plan={"run": "r"},
    )
    out, _ = process.communicate(wire.frame_header("0" * 64, 0, 10**14), timeout=30)
    assert b'"frame-unasked"' in out.splitlines()[-1]


def test_o18_other_content_under_the_installed_version_never_replaces_its_record(
    node: Node,
) -> None:
    record = (node.home / "manifests" / "1.0.json").read_bytes()
    answer = node.stage(Beacon("1.0", more={"other": b"content"}))
    assert (answer.outcome, answer.code) == ("refused", "version-taken")
    assert (node.home / "manifests" / "1.0.json").read_bytes() == record


# --- places -------------------------------------------------------------------------------------


def test_a_product_directory_that_is_a_file_is_refused_and_stays(bare: Node) -> None:
    bare.directory.parent.mkdir(parents=True)
    bare.directory.write_text("not a directory\n")
    answer = bare.stage(Beacon("1.0"))
    assert (answer.outcome, answer.code) == ("failed", "node-storage")
    assert bare.directory.read_text() == "not a directory\n"


@pytest.mark.parametrize("name", ["", "staging", "store", "new"])
def test_row_71_a_link_in_place_of_our_folder_is_refused(bare: Node, name: str) -> None:
    elsewhere = bare.top / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    ours = bare.directory / ".liftlock"
    bare.directory.mkdir(parents=True)
    if name:
        ours.mkdir(mode=0o700)
    (ours / name).symlink_to(elsewhere)
    answer = bare.stage(Beacon("1.0"))
    assert (answer.outcome, answer.code) == ("refused", "unsafe-place")
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("change", ["writable", "foreign"])
def test_row_71_our_folder_in_other_hands_is_refused(bare: Node, change: str) -> None:
    ours = bare.directory / ".liftlock"
    ours.mkdir(parents=True, mode=0o700)
    if change == "writable":
        ours.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(ours, 12345, 12345)
    else:
        pytest.skip("only root can give a directory away")
    assert bare.stage(Beacon("1.0")).code == "unsafe-place"
    assert not list(ours.iterdir())


def test_a_state_directory_that_others_may_write_to_is_refused(bare: Node) -> None:
    bare.state.mkdir()
    bare.state.chmod(0o777)
    assert bare.stage(Beacon("1.0")).code == "unsafe-place"


# --- full disks ---------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Node]:
    """A node on a disk of 6 MiB of its own."""
    with small_disk(tmp_path / "disk", "6m") as top, a_node(top / "node") as node:
        yield node


def test_row_16_a_disk_too_small_is_refused_before_anything_is_sent(small: Node) -> None:
    release = Beacon("1.0", more={"big": bytes(4 << 20)})
    answer = small.stage(release)
    assert (answer.outcome, answer.code) == ("refused", "disk-full")
    assert "bytes free" in answer.end["problem"]["summary"]
    assert not answer.all("need")


def test_row_16_a_disk_that_fills_up_on_the_way_loses_nothing(small: Node) -> None:
    release = Beacon("1.0", more={"big": BIG})
    line = Line(small, release)
    wanted = line.needs()
    for sha in wanted:
        if sha != BIG_SHA:
            line.send(sha)
    line.write(wire.frame_header(BIG_SHA, 0, len(BIG)) + BIG[:100_000])
    filler = small.top / "filler"
    part = small.home / "blobs" / f"{BIG_SHA}.part"
    wait_until(lambda: part.exists() and part.stat().st_size >= 65536)
    fill(filler)
    line.write(BIG[100_000:])
    answer = line.end()
    assert (answer.outcome, answer.code) == ("failed", "disk-full")
    filler.unlink()
    line = Line(small, release)
    (again,) = line.needs().items()
    assert again[0] == BIG_SHA
    assert again[1][0] >= 65536
    line.send(BIG_SHA, again[1][0])
    line.write(wire.END_OF_FRAMES)
    assert line.end().outcome == "ok"
    assert small.check(release).outcome == "ok"


@pytest.mark.drill
def test_row_17_a_full_disk_does_not_keep_a_node_from_going_back(small: Node) -> None:
    small.put_in_place(Beacon("1.0"))
    before = small.product()
    small.upgrade(Beacon("2.0"))
    small.kill_drivers()
    filler = small.top / "filler"
    fill(filler)
    assert small.facts()["state"] == "inconsistent"
    small.ask("recover")
    facts = small.facts()
    assert (facts["selected"], facts["running"]) == ("1.0", "1.0")
    filler.unlink()
    small.ask("recover")
    facts = small.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["state"] == "rolled_back"
    assert small.product() == before


@pytest.mark.drill
def test_two_who_stage_at_once_do_not_take_each_others_bytes_away(bare: Node) -> None:
    release = big("1.0")
    first = Line(bare, release)
    wanted = first.needs()
    second = Line(bare, release)
    answer = second.end()
    assert (answer.outcome, answer.code) == ("refused", "locked")
    for sha in wanted:
        first.send(sha)
    first.write(wire.END_OF_FRAMES)
    assert first.end().outcome == "ok"
    assert bare.facts()["partial"] == 0
