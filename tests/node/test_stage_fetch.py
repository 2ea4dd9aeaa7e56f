"""Releases that a node gets by itself: from a mirror, or where they lie; nobody is believed."""

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import download, stage_fetch, wire
from backends.node.download import Download
from backends.node.refusal import Refused
from tests.hostile.archives import HOSTILE
from tests.support.beacon import CREATED, Beacon
from tests.support.interpreters import Interpreter
from tests.support.mirror import Mirror, a_mirror
from tests.support.node import Answer, Node, a_node, picture

BIG = random.Random(5).randbytes(400_000)
RELEASE = Beacon("2.0", more={"big": BIG, "etc/default": b"level = 2\n"})


def tarball(content: dict[str, tuple[int, bytes]]) -> bytes:
    """As a build makes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as bundle:
        for name, (mode, data) in sorted(content.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, CREATED
            bundle.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=CREATED)


TARBALL = tarball(RELEASE.content)


def manifest(content: bytes = TARBALL, **changes: Any) -> bytes:
    """The release's manifest, for a tarball."""
    words = json.loads(RELEASE.manifest)
    words["tarball"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return json.dumps({**words, **changes}).encode()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with a_mirror() as made:
        made.files[f"/beacon/{stage_fetch.arch()}/beacon-2.0.tar.gz"] = TARBALL
        yield made


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Node]:
    with a_node(tmp_path / "node") as node:
        yield node


def stage(
    node: Node, way: dict[str, str], about: bytes | None = None, then: bytes = b"", **more: Any
) -> Answer:
    """Order it; nothing is pushed but the manifest, and what comes `then`."""
    about = about or manifest()
    sha = hashlib.sha256(about).hexdigest()
    args = {"run": "1120-aaa", "version": "2.0", "digest": RELEASE.digest, "way": way}
    args["manifest"] = {"sha256": sha, "size": len(about)}
    process = node.start("stage", **{"plan": {"run": "1120-aaa"}, **args, **more})
    said = wire.frame_header(sha, 0, len(about)) + about + then + wire.END_OF_FRAMES
    out, err = process.communicate(said, timeout=60)
    return Answer([wire.decode(line) for line in out.splitlines()], err.decode())


def pull(node: Node, mirror: Mirror, about: bytes | None = None, **more: Any) -> Answer:
    way = {"how": "pull", "url": f"{mirror.url}/beacon/{{arch}}/beacon-2.0.tar.gz"}
    return stage(node, way, about, **more)


def state_of(node: Node) -> dict[str, tuple[object, ...]]:
    """All of the node that is not ours; the product is not there yet."""
    return {
        name: about
        for name, about in picture(node.top).items()
        if not name.startswith(("state", "opt"))
    }


def is_staged(node: Node) -> bool:
    if node.facts()["staged"] != ["2.0"]:
        return False
    assert node.check(RELEASE).outcome == "ok"
    assert not any((node.home / "blobs").iterdir())
    return True


# --- from a mirror ------------------------------------------------------------------------------


def test_o4_a_release_is_pulled_by_arch_name_and_version(
    tmp_path: Path, node_python: Interpreter, mirror: Mirror
) -> None:
    with a_node(tmp_path / "node", str(node_python.path)) as node:
        answer = pull(node, mirror)
        assert answer.outcome == "ok", answer.messages
        assert answer.all("staged")[0]["received"] == len(TARBALL)
        told = answer.all("progress")
        assert (told[-1]["bytes"], told[-1]["of"]) == (len(TARBALL), len(TARBALL))
        assert is_staged(node)


def test_pulled_twice_nothing_is_asked_for_again(bare: Node, mirror: Mirror) -> None:
    assert pull(bare, mirror).outcome == "ok"
    asked = len(mirror.asked)
    assert pull(bare, mirror).outcome == "ok"
    assert len(mirror.asked) == asked


def test_fresh_brings_and_verifies_every_byte_again(bare: Node, mirror: Mirror) -> None:
    assert pull(bare, mirror).outcome == "ok"
    staged = Path(bare.places.staged_tree("2.0"))
    (staged / "big").chmod(0o644)
    sent = mirror.sent
    assert pull(bare, mirror, fresh=True).all("staged")[0]["received"] == len(TARBALL)
    assert mirror.sent == sent + len(TARBALL)
    assert is_staged(bare)


@pytest.mark.drill
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_row_47_a_download_that_is_cut_goes_on(
    bare: Node, mirror: Mirror, knows_ranges: bool
) -> None:
    mirror.cuts = [100_000, 150_000]
    mirror.knows_ranges = knows_ranges
    answer = pull(bare, mirror)
    assert answer.outcome == "ok", answer.messages
    ranges = [wanted for _, wanted in mirror.asked]
    assert ranges == [None, "bytes=100000-", "bytes=250000-" if knows_ranges else "bytes=150000-"]
    assert is_staged(bare)


@pytest.mark.drill
def test_row_47_what_has_come_is_used_when_it_is_staged_again(bare: Node, mirror: Mirror) -> None:
    mirror.cuts = [100_000, 0, 0, 0, 0]
    assert pull(bare, mirror).code == "pull-cut"
    assert bare.facts()["partial"] == 100_000
    sent = mirror.sent
    assert pull(bare, mirror).outcome == "ok"
    assert mirror.sent - sent == len(TARBALL) - 100_000


@pytest.mark.drill
def test_a_part_that_was_damaged_at_rest_is_found_out_and_sent_anew(
    bare: Node, mirror: Mirror
) -> None:
    mirror.cuts = [100_000, 0, 0, 0, 0]
    assert pull(bare, mirror).code == "pull-cut"
    (part,) = (bare.home / "blobs").iterdir()
    content = bytearray(part.read_bytes())
    content[5000] ^= 1
    part.write_bytes(content)
    assert pull(bare, mirror).code == "tarball-digest"
    assert pull(bare, mirror).outcome == "ok"


def test_a_mirror_that_sends_us_on_is_followed(bare: Node, mirror: Mirror) -> None:
    (path,) = mirror.files
    mirror.files["/elsewhere"] = mirror.files.pop(path)
    mirror.moved[path] = "/elsewhere"
    assert pull(bare, mirror).outcome == "ok"


def test_a_mirror_that_always_cuts_and_cannot_go_on_is_left(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    mirror.knows_ranges = False
    mirror.cuts = [1000] * 50
    (path,) = mirror.files
    with pytest.raises(Refused) as caught:
        Download(mirror.url + path, str(tmp_path / "part"), len(TARBALL), lambda _: None).run()
    assert caught.value.problem["code"] == "pull-cut"
    assert len(mirror.asked) == 5  # the first one brought something, and four brought no more


def test_a_mirror_that_never_ends_its_headers_is_left(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    mirror.drips = True
    (path,) = mirror.files
    with pytest.raises(Refused) as caught:
        Download(mirror.url + path, str(tmp_path / "part"), len(TARBALL), lambda _: None).run()
    assert caught.value.problem["code"] == "pull-cut"
    assert "nothing for 0.3 s" in caught.value.problem["evidence"]


@pytest.mark.parametrize(
    "goal", ["http://h:abc/", "http://[::1/x", "http://h:99999/", "http://\u00e4/", "", "//"]
)
def test_a_mirror_that_sends_us_to_no_address_is_refused(
    tmp_path: Path, mirror: Mirror, goal: str
) -> None:
    (path,) = mirror.files
    mirror.moved[path] = goal
    with pytest.raises(Refused) as caught:
        Download(mirror.url + path, str(tmp_path / "part"), 10, lambda _: None).run()
    assert caught.value.problem["code"] == "pull-refused"


def other_bytes(mirror: Mirror) -> None:
    (path,) = mirror.files
    content = bytearray(TARBALL)
    content[len(content) // 2] ^= 1
    mirror.files[path] = bytes(content)


def longer(mirror: Mirror) -> None:
    (path,) = mirror.files
    mirror.files[path] = TARBALL + b"x"


def longer_and_silent(mirror: Mirror) -> None:
    longer(mirror)
    mirror.length = -1


def shorter(mirror: Mirror) -> None:
    (path,) = mirror.files
    mirror.files[path] = TARBALL[:-1]


def gone(mirror: Mirror) -> None:
    mirror.files.clear()


def in_circles(mirror: Mirror) -> None:
    (path,) = mirror.files
    mirror.moved[path] = path


def to_a_file(mirror: Mirror) -> None:
    (path,) = mirror.files
    mirror.moved[path] = "file:///etc/passwd"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (other_bytes, "tarball-digest"),
        (longer, "tarball-size"),
        (shorter, "tarball-size"),
        (gone, "pull-refused"),
        (in_circles, "pull-refused"),
        (to_a_file, "pull-refused"),
    ],
)
def test_a_mirror_that_has_something_else_is_refused(
    bare: Node, mirror: Mirror, change: Any, code: str
) -> None:
    before = state_of(bare)
    change(mirror)
    answer = pull(bare, mirror)
    assert (answer.outcome, answer.code) == ("refused", code)
    assert answer.end["problem"]["advice"]
    assert bare.facts()["staged"] == []
    assert state_of(bare) == before


def test_what_comes_behind_the_release_is_not_read(bare: Node, mirror: Mirror) -> None:
    """Endless data: without a stated length, too, no byte more than the manifest says is taken."""
    longer_and_silent(mirror)
    assert pull(bare, mirror).outcome == "ok"
    assert is_staged(bare)


@pytest.mark.drill
def test_a_mirror_that_is_not_there_is_named(bare: Node, mirror: Mirror) -> None:
    mirror.stop()
    way = {"how": "pull", "url": f"{mirror.url}/x.tar.gz"}
    answer = stage(bare, way)
    assert answer.code == "pull-cut"
    assert mirror.url in answer.end["problem"]["evidence"]


def test_a_server_that_holds_us_up_is_left(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uptane's slow retrieval."""
    monkeypatch.setattr(download, "FLOOR_SECONDS", 1e-9)
    monkeypatch.setattr(download, "FLOOR_BYTES_PER_SECOND", 1e18)
    monkeypatch.setattr(wire, "CHUNK", 10)
    (path,) = mirror.files
    part = tmp_path / "part"
    with pytest.raises(Refused) as caught:
        Download(mirror.url + path, str(part), len(TARBALL), lambda have: None).run()
    assert caught.value.problem["code"] == "pull-slow"
    assert part.read_bytes() == TARBALL[: part.stat().st_size]


def test_nobody_sends_us_from_a_protected_place_to_another_one(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = mirror.files
    mirror.moved["/start"] = mirror.url + path
    plain = Download._connection
    monkeypatch.setattr(
        Download,
        "_connection",
        lambda self, url: plain(self, url.replace("https:", "http:")),
    )
    secure = mirror.url.replace("http:", "https:") + "/start"
    with pytest.raises(Refused) as caught:
        Download(secure, str(tmp_path / "part"), len(TARBALL), lambda have: None).run()
    assert "unprotected" in caught.value.problem["evidence"]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that speaks no TLS at all stands for all of them."""
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    url = mirror.url.replace("http:", "https:") + "/x"
    with pytest.raises(Refused) as caught:
        Download(url, str(tmp_path / "part"), 10, lambda have: None).run()
    assert caught.value.problem["code"] == "pull-cut"


# --- what is in it ------------------------------------------------------------------------------


def swapped(**changes: bytes) -> bytes:
    content = dict(RELEASE.content)
    for name, data in changes.items():
        content[name] = (0o644, data)
    return tarball(content)


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        info = tarfile.TarInfo("VERSION")
        info.type, info.linkname = tarfile.SYMTYPE, "big"
        bundle.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (swapped(VERSION=b"9.9\n"), "tarball-member-changed"),
        (swapped(evil=b"x"), "tarball-member-extra"),
        (tarball({"VERSION": RELEASE.content["VERSION"]}), "tarball-member-missing"),
        (tarball({**RELEASE.content, "../evil": (0o644, b"x")}), "tarball-member-name"),
        (linked(), "tarball-member-changed"),
        (TARBALL[:-20], "tarball-truncated"),
        (b"no archive at all", "tarball-not-gzip"),
    ],
    ids=["bytes", "extra", "missing", "name", "link", "cut", "none"],
)
def test_a_tarball_that_does_not_hold_what_the_manifest_says_is_refused(
    bare: Node, mirror: Mirror, content: bytes, code: str
) -> None:
    """Also when its own digest was made to fit."""
    before = state_of(bare)
    (path,) = mirror.files
    mirror.files[path] = content
    answer = pull(bare, mirror, manifest(content))
    assert (answer.outcome, answer.code) == ("refused", code)
    assert bare.facts()["staged"] == []
    assert state_of(bare) == before


def test_row_69_an_enemys_archives_are_refused_on_the_node_too(bare: Node) -> None:
    """The whole corpus, each by its name, and nothing is written but whole contents."""
    places = bare.places
    places.make_home()
    place = bare.top / "beacon-2.0.tar.gz"
    wanted = [(entry["sha256"], entry["size"]) for entry in RELEASE.files if entry["sha256"]]
    assert len(HOSTILE) >= 40
    for name, (code, data) in HOSTILE.items():
        place.write_bytes(data)
        before = picture(bare.top)
        way = {"how": "present", "path": str(place)}
        with pytest.raises(Refused) as caught:
            stage_fetch.fetch(places, way, json.loads(manifest(data)), wanted, lambda _: None)
        # What the manifest does not have is refused first, where the archive is sound so far.
        fine = {f"tarball-{code}", f"tarball-member-{code}", "tarball-member-extra"}
        assert caught.value.problem["code"] in fine, name
        assert picture(bare.top) == before, name


@pytest.mark.parametrize(
    "stated", [None, {}, {"sha256": "../../x", "size": 1}, {"sha256": "0" * 64, "size": -1}]
)
def test_a_manifest_that_says_nothing_of_its_tarball_is_refused(
    bare: Node, mirror: Mirror, stated: object
) -> None:
    assert pull(bare, mirror, manifest(tarball=stated)).code == "manifest-unsafe"
    assert mirror.asked == []


# --- where it lies already ----------------------------------------------------------------------


def test_a_release_that_is_there_already_is_taken(bare: Node) -> None:
    place = bare.top / "drop" / "beacon-2.0.tar.gz"
    place.parent.mkdir()
    place.write_bytes(TARBALL)
    answer = stage(bare, {"how": "present", "path": str(place)})
    assert answer.outcome == "ok", answer.messages
    assert answer.all("staged")[0]["received"] == 0
    assert is_staged(bare)
    assert place.read_bytes() == TARBALL


@pytest.mark.parametrize("what", ["nothing", "a directory", "a pipe", "other bytes"])
def test_what_is_not_the_release_is_not_taken_for_it(bare: Node, what: str) -> None:
    place = bare.top / "beacon-2.0.tar.gz"
    if what == "a directory":
        place.mkdir()
    elif what == "a pipe":
        os.mkfifo(place)
    elif what == "other bytes":
        place.write_bytes(TARBALL[:-1] + b"x")
    answer = stage(bare, {"how": "present", "path": str(place)})
    assert answer.code == ("tarball-digest" if what == "other bytes" else "tarball-missing")
    assert bare.facts()["staged"] == []
