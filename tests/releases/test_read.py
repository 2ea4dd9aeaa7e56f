"""A tarball that is not exactly the manifest's is refused before anything is made of it."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.releases.build import Built
from backends.releases.manifest import from_bytes, to_bytes
from backends.releases.read import Release, blobs, open_release, show, verify_tarball


def refused(release: Release) -> str:
    with pytest.raises(LiftlockError) as caught:
        verify_tarball(release)
    assert caught.value.exit_code == Exit.REFUSED
    return caught.value.problem.code


def opening(path: Path) -> tuple[str, Exit]:
    with pytest.raises(LiftlockError) as caught:
        open_release(path)
    return caught.value.problem.code, caught.value.exit_code


def resealed(built: Built, tarball: bytes) -> Release:
    """The release with another tarball whose size and sha256 the manifest states."""
    words = json.loads(built.manifest.read_bytes())
    words["tarball"] = {"size": len(tarball), "sha256": hashlib.sha256(tarball).hexdigest()}
    built.tarball.write_bytes(tarball)
    built.manifest.write_text(json.dumps(words))
    return open_release(built.tarball)


def repacked(built: Built, change: Any) -> Release:
    """The release with its members changed by `change(list of (info, content))`."""
    with tarfile.open(built.tarball) as archive:
        members = [
            (
                each,
                stream.read() if (stream := archive.extractfile(each)) and each.isreg() else b"",
            )
            for each in archive
            if not each.issym()
        ]
        members += [(each, b"") for each in archive.getmembers() if each.issym()]
    members = change(members) or members
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return resealed(built, buffer.getvalue())


def test_a_release_is_named_by_its_tarball_or_its_manifest(built: Built) -> None:
    one, two = open_release(built.tarball), open_release(built.manifest)

    assert one == two
    assert one.digest == built.digest
    assert one.signature_path.name == "nats-2.10.1.release.json.sig"
    verify_tarball(one)


def test_a_missing_tarball_or_manifest_is_a_usage_error(built: Built, tmp_path: Path) -> None:
    assert opening(tmp_path / "nope.tar.gz") == ("release-missing", Exit.USAGE)
    manifest = built.manifest.rename(tmp_path / "elsewhere")
    assert opening(built.tarball) == ("manifest-missing", Exit.USAGE)
    manifest.rename(built.manifest)
    built.tarball.unlink()
    assert opening(built.manifest) == ("release-missing", Exit.USAGE)


def test_progress_is_told_in_bytes(release: Release) -> None:
    told: list[tuple[int, int]] = []
    verify_tarball(release, lambda done, of: told.append((done, of)))

    size = release.tarball.stat().st_size
    assert told[-1] == (size, size)


def test_r4_each_sampled_flipped_byte_is_refused(built: Built, release: Release) -> None:
    data = built.tarball.read_bytes()
    positions = {0, 3, 9, len(data) - 1, *random.Random(3).sample(range(len(data)), 60)}

    for position in positions:
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        built.tarball.write_bytes(flipped)
        assert refused(release) == "tarball-digest"


def test_r4_each_truncation_is_refused_as_truncated(built: Built, release: Release) -> None:
    data = built.tarball.read_bytes()
    for size in (0, 1, 10, len(data) // 2, len(data) - 8, len(data) - 1):
        built.tarball.write_bytes(data[:size])
        assert refused(release) == "tarball-truncated"
    built.tarball.write_bytes(data + b"x")
    assert refused(release) == "tarball-size"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("extra", "tarball-member-extra"),
        ("missing", "tarball-member-missing"),
        ("missing directory", "tarball-member-missing"),
        ("renamed", "tarball-member-extra"),
        ("altered", "tarball-member-changed"),
        ("shorter", "tarball-member-changed"),
        ("emptied", "tarball-member-changed"),
        ("other target", "tarball-member-changed"),
        ("link for a file", "tarball-member-changed"),
        ("twice", "tarball-member-duplicate"),
        ("escaping", "tarball-member-name"),
        ("hard link", "tarball-member-type"),
        ("device", "tarball-member-type"),
    ],
)
def test_r4_a_tarball_that_differs_from_its_manifest_is_refused(
    built: Built, name: str, code: str
) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> Any:
        index = next(n for n, (info, _) in enumerate(members) if info.name == "bin/tool")
        info, content = members[index]
        if name == "extra":
            members.append((tarfile.TarInfo("added"), b"x"))
        elif name == "missing":
            del members[index]
        elif name == "missing directory":
            return [each for each in members if each[0].name != "var"]
        elif name == "renamed":
            info.name = "bin/tool2"
        elif name == "altered":
            members[index] = (info, b"X" + content[1:])
        elif name == "shorter":
            members[index] = (info, content[1:])
        elif name == "emptied":
            members[index] = (info, b"")
        elif name == "other target":
            next(each for each, _ in members if each.issym()).linkname = "etc"
        elif name == "link for a file":
            info.type, info.linkname = tarfile.SYMTYPE, "same"
            members[index] = (info, b"")
        elif name == "twice":
            members.append((info, content))
        elif name == "escaping":
            members.append((tarfile.TarInfo("../outside"), b"x"))
        elif name == "hard link":
            hard = tarfile.TarInfo("hard")
            hard.type, hard.linkname = tarfile.LNKTYPE, "bin/tool"
            members.append((hard, b""))
        else:
            device = tarfile.TarInfo("device")
            device.type = tarfile.CHRTYPE
            members.append((device, b""))
        return members

    assert refused(repacked(built, change)) == code


def test_r17_modes_owners_order_and_implied_directories_of_the_archive_do_not_count(
    built: Built,
) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> Any:
        kept = [each for each in members if not each[0].isdir() or each[0].name == "var"]
        for info, _ in kept:
            info.mode, info.uid, info.uname = 0o6777, 1000, "somebody"
        return kept[::-1]

    release = repacked(built, change)
    verify_tarball(release)
    assert release.digest == built.digest


def test_a_damaged_archive_with_a_matching_digest_is_refused(built: Built) -> None:
    data = built.tarball.read_bytes()
    assert refused(resealed(built, data[:-4] + b"\0\0\0\0")) == "tarball-damaged"
    assert refused(resealed(built, data[:-4])) == "tarball-truncated"
    assert refused(resealed(built, data + b"x")) == "tarball-trailing"
    assert refused(resealed(built, gzip.decompress(data))) == "tarball-not-gzip"


def test_blobs_come_once_each_and_are_the_manifests(release: Release, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    found = {}
    for blob in blobs(release, spool):
        assert blob.sha256 not in found
        with blob.open() as stream:
            found[blob.sha256] = stream.read()
        assert len(found[blob.sha256]) == blob.size

    assert set(found) == {each.sha256 for each in release.manifest.files if each.sha256}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in found.items())
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in spool.iterdir())


def test_only_wanted_blobs_are_spooled(release: Release, tmp_path: Path) -> None:
    wanted = next(each.sha256 for each in release.manifest.files if each.path == "control")
    assert wanted is not None

    assert [blob.sha256 for blob in blobs(release, tmp_path, {wanted, "0" * 64})] == [wanted]
    assert (tmp_path / wanted).is_file()
    assert not [
        path for path in tmp_path.iterdir() if len(path.name) == 64 and path.name != wanted
    ]


def test_a_blob_with_other_bytes_is_never_given_out(built: Built, tmp_path: Path) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> Any:
        return [
            (info, b"!" * len(content) if info.name == "control" else content)
            for info, content in members
        ]

    release = repacked(built, change)
    spool = tmp_path / "spool"
    spool.mkdir()
    given: list[str] = []
    with pytest.raises(LiftlockError) as caught:
        given.extend(blob.sha256 for blob in blobs(release, spool))
    assert caught.value.problem.code == "tarball-member-changed"
    assert {path.name for path in spool.iterdir()} == {*given}
    assert all(hashlib.sha256((spool / name).read_bytes()).hexdigest() == name for name in given)


def test_a_link_in_the_spool_is_not_followed(release: Release, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    outside = tmp_path / "outside"
    for each in release.manifest.files:
        if each.sha256 and not (spool / each.sha256).is_symlink():
            (spool / each.sha256).symlink_to(outside)
    with pytest.raises(FileExistsError):
        list(blobs(release, spool))
    assert not outside.exists()


def test_show_is_json_and_counts(release: Release) -> None:
    words = show(release)

    assert json.loads(json.dumps(words)) == words
    assert words["counts"] == {"file": 5, "dir": 4, "link": 1}
    assert words["digest"] == release.digest
    assert words["has_signature"] is False
    assert (words["schema"], words["from"]) == ("liftlock.release/1", "*")


def test_a_manifest_is_the_same_bytes_after_reading(release: Release) -> None:
    assert to_bytes(release.manifest) == release.manifest_bytes
    assert from_bytes(release.manifest_bytes, "x") == release.manifest


def entry(**changes: Any) -> dict[str, Any]:
    words = {"path": "a", "type": "file", "mode": 0o644, "size": 0, "sha256": "0" * 64}
    return {**words, "target": None, **changes}


HOSTILE: dict[str, Any] = {
    "no object": [],
    "unknown key": {"extra": 1},
    "other schema": {"schema": "liftlock.release/2"},
    "unsafe name": {"name": "../nats"},
    "unsafe version": {"version": ".."},
    "newline in a version": {"version": "1\n"},
    "fraction": {"sequence": 1.5},
    "text for a number": {"sequence": "1"},
    "negative": {"sequence": -1},
    "too large": {"sequence": 2**53},
    "no time": {"created": "2026-13-01T00:00:00Z"},
    "local time": {"expires": "2026-01-01T00:00:00+01:00"},
    "short sha256": {"tarball": {"sha256": "0", "size": 1}},
    "no files": {"files": []},
    "not sorted": {"files": [entry(path="b"), entry()]},
    "listed twice": {"files": [entry(), entry()]},
    "case fold": {"files": [entry(path="A"), entry()]},
    "escaping path": {"files": [entry(path="../a")]},
    "absolute path": {"files": [entry(path="/a")]},
    "control character": {"files": [entry(path="a\x1b")]},
    "surrogate": {"files": [entry(path="a\ud800")]},
    "directory not listed": {"files": [entry(path="a/b")]},
    "below a file": {"files": [entry(), entry(path="a/b")]},
    "set-id": {"files": [entry(mode=0o4755)]},
    "writable for all": {"files": [entry(mode=0o666)]},
    "unknown type": {"files": [entry(type="fifo")]},
    "file without sha256": {"files": [entry(sha256=None)]},
    "file with a target": {"files": [entry(target="b")]},
    "link without a target": {"files": [entry(type="link", mode=0o777, sha256=None)]},
    "link out": {"files": [entry(type="link", mode=0o777, sha256=None, target="../b")]},
    "directory with a size": {"files": [entry(type="dir", mode=0o755, sha256=None, size=1)]},
    "closed directory": {"files": [entry(type="dir", mode=0o655, sha256=None)]},
    "too many bytes": {"files": [entry(size=9 << 30)]},
    "from anything": {"from": "all"},
    "from unsafe": {"from": ["../1"]},
    "escape in a text": {"irreversible": ["a\x1b[2J"]},
    "python 2": {"needs": {"python": "2.7", "commands": [], "bytes": 0}},
    "unsafe command": {"needs": {"python": "3.6", "commands": ["a;b"], "bytes": 0}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(built: Built, name: str) -> None:
    words = json.loads(built.manifest.read_bytes())
    change = HOSTILE[name]
    built.manifest.write_text(json.dumps({**words, **change} if change else change))

    assert opening(built.tarball) == ("manifest-invalid", Exit.REFUSED)


def test_r4_a_flipped_byte_in_the_manifest_never_passes_unseen(built: Built) -> None:
    data = built.manifest.read_bytes()
    before = open_release(built.tarball)
    codes: set[Exit] = set()

    for position in random.Random(4).sample(range(len(data) - 1), 120):
        flipped = bytearray(data)
        flipped[position] ^= 0x01
        built.manifest.write_bytes(flipped)
        try:
            after = open_release(built.tarball)
            verify_tarball(after)
        except LiftlockError as error:
            codes.add(error.exit_code)
        else:
            # Only what no digest covers is left to the signature, which is over these bytes.
            assert after.manifest_bytes != before.manifest_bytes
            assert [each.sha256 for each in after.manifest.files] == [
                each.sha256 for each in before.manifest.files
            ]
    assert codes == {Exit.REFUSED}


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"name": "a", "name": "b"}', b"NaN", b"[" * 10_000, b"\xff\xfe"]
)
def test_a_manifest_that_is_no_strict_json_is_refused(built: Built, data: bytes) -> None:
    built.manifest.write_bytes(data)

    assert opening(built.tarball) == ("manifest-invalid", Exit.REFUSED)
