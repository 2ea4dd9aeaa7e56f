"""A release is reproducible, whole or absent, and never holds what a node must not get."""

import gzip
import os
import socket
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.domain.problem import Exit, LiftlockError
from backends.releases import pack as packing
from backends.releases.build import Built, build
from backends.releases.manifest import Needs, digest
from backends.releases.read import open_release, verify_tarball
from tests.releases.conftest import CREATED, make_tree


def refused(code: str, *arguments: object, **options: object) -> LiftlockError:
    with pytest.raises(LiftlockError) as caught:
        build(*arguments, **options)  # type: ignore[arg-type]
    assert caught.value.problem.code == code
    assert caught.value.exit_code == Exit.USAGE
    return caught.value


def test_the_manifest_says_what_is_in_the_tarball(built: Built) -> None:
    manifest = open_release(built.tarball).manifest

    assert built.tarball.name == "nats-2.10.1.tar.gz"
    assert built.manifest.name == "nats-2.10.1.release.json"
    assert built.digest == digest(manifest)
    assert (manifest.created, manifest.sequence) == ("2023-11-14T22:13:20Z", CREATED)
    assert (manifest.expires, manifest.arch, manifest.from_) == (None, "any", "*")
    assert manifest.needs.bytes == manifest.total_bytes == 2 * 10240 + 23 + 11
    assert [(each.path, each.type, oct(each.mode), each.target) for each in manifest.files] == [
        ("bin", "dir", "0o755", None),
        ("bin/same", "file", "0o644", None),
        ("bin/tool", "file", "0o755", None),
        ("control", "file", "0o755", None),
        ("etc", "dir", "0o755", None),
        ("etc/über.conf", "file", "0o644", None),
        ("lib", "link", "0o777", "bin"),
        ("share", "dir", "0o755", None),
        ("share/empty", "file", "0o644", None),
        ("var", "dir", "0o755", None),
    ]


def test_building_twice_gives_the_same_bytes_whatever_order_umask_and_modes(
    tmp_path: Path,
) -> None:
    first = build(make_tree(tmp_path / "one"), "nats", "1", tmp_path / "a")
    before = os.umask(0o077)
    try:
        names = ["share/empty", "etc/über.conf", "bin/same", "control", "bin/tool"]
        tree = make_tree(tmp_path / "two" / "deeper", names)
        (tree / "control").chmod(0o700)
        (tree / "etc/über.conf").chmod(0o600)
        (tree / "var").chmod(0o711)
        second = build(tree, "nats", "1", tmp_path / "b")
    finally:
        os.umask(before)

    assert first.digest == second.digest
    for one, two in ((first.tarball, second.tarball), (first.manifest, second.manifest)):
        assert one.read_bytes() == two.read_bytes()
        assert two.stat().st_mode & 0o777 == 0o644


def test_nothing_of_this_machine_is_in_the_tarball(built: Built) -> None:
    data = built.tarball.read_bytes()

    assert data[4:8] == bytes(4)  # gzip's time
    with tarfile.open(built.tarball) as archive:
        for member in archive:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mtime == CREATED
    assert str(built.tarball.parent.parent).encode() not in gzip.decompress(data)


def test_the_epoch_variable_decides_the_time(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    manifest = open_release(build(tree, "n", "1", tmp_path / "o").tarball).manifest
    assert (manifest.created, manifest.sequence) == ("1970-01-02T00:00:00Z", 86400)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    refused("release-epoch", tree, "n", "1", tmp_path / "o")


def test_what_is_asked_for_is_in_the_manifest(tree: Path, tmp_path: Path) -> None:
    built = build(
        tree, "nats", "2", tmp_path / "o",
        from_versions=["1.9", "1.8"], irreversible=["rewrites the index"],
        needs=Needs(python="3.8", commands=("tar",), bytes=5), expires="2027-01-01T00:00:00Z",
        arch="linux_amd64", sequence=7,
    )  # fmt: skip
    manifest = open_release(built.manifest).manifest

    assert manifest.from_ == ("1.9", "1.8")
    assert manifest.irreversible == ("rewrites the index",)
    assert manifest.needs == Needs(python="3.8", commands=("tar",), bytes=5)
    assert (manifest.expires, manifest.arch, manifest.sequence) == (
        "2027-01-01T00:00:00Z", "linux_amd64", 7
    )  # fmt: skip
    refused("release-manifest", tree, "n", "1", tmp_path / "o", expires="tomorrow")
    refused("release-manifest", tree, "n", "1", tmp_path / "o", from_versions=["a/b"])
    refused("release-manifest", tree, "n", "1", tmp_path / "o", irreversible=["a\x1bb"])


@pytest.mark.parametrize(
    "word", ["", ".", "..", ".hidden", "a/b", "../a", "-n", "a b", "a\n", "a\0", "é", "a" * 101]
)
def test_o23_an_unsafe_name_or_version_is_refused(tree: Path, tmp_path: Path, word: str) -> None:
    refused("release-name", tree, word, "1", tmp_path / "out")
    refused("release-version", tree, "n", word, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "version", ["4.12", "v2.15.1", "7.0.15-1~deb12u10", "8.1.0+x", "4.40-sr2"]
)
def test_the_usual_versions_are_allowed(tree: Path, tmp_path: Path, version: str) -> None:
    assert build(tree, "n", version, tmp_path / "o").tarball.name == f"n-{version}.tar.gz"


def test_b19_everything_that_may_not_be_in_a_release_is_named_at_once(
    tree: Path, tmp_path: Path
) -> None:
    os.mkfifo(tree / "fifo")
    (tree / "absolute").symlink_to("/etc/passwd")
    (tree / "etc/out").symlink_to("../../outside")
    (tree / "bad\nname").touch()
    (tree / "Control").touch()
    (tree / os.fsdecode(b"not\xffutf8")).touch()
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.open(tree, os.O_RDONLY)
        try:
            unix.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
        error = refused("release-source-unsafe", tree, "n", "1", tmp_path / "out")

    lines = error.problem.evidence.splitlines()
    for name in ("fifo", "absolute", "etc/out", "bad\\nname", "ontrol", "socket", "not\\udcff"):
        assert any(name in line for line in lines), name
    assert len(lines) == 7
    assert not (tmp_path / "out").exists()


def test_an_empty_or_missing_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    refused("release-source-empty", tmp_path / "empty", "n", "1", tmp_path / "o")
    refused("release-source-missing", tmp_path / "nowhere", "n", "1", tmp_path / "o")


def test_the_output_may_not_lie_inside_also_through_a_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    refused("release-out-inside", tree, "n", "1", tree)
    refused("release-out-inside", tree, "n", "1", tree / "out")
    refused("release-out-inside", tree, "n", "1", tmp_path / "link" / "out")
    assert build(tree, "n", "1", tree.parent).tarball.is_file()


def test_a_file_that_changes_while_it_is_packed_leaves_nothing_behind(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = packing._Hashed.read

    def slow(self: packing._Hashed, count: int = -1) -> bytes:
        if self._path == "bin/tool":
            with (tree / "bin/tool").open("ab") as late:
                late.write(b"more")
        return real(self, count)

    monkeypatch.setattr(packing._Hashed, "read", slow)
    refused("release-source-changed", tree, "n", "1", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_write_leaves_the_old_release_as_it_was(
    built: Built, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in built.tarball.parent.iterdir()}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused("release-out-unwritable", tree, "nats", "2.10.1", built.tarball.parent)

    assert {path: path.read_bytes() for path in built.tarball.parent.iterdir()} == before


def test_what_the_strict_reader_would_refuse_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "zeros").write_bytes(bytes(8 << 20))

    error = refused("release-unusual", tmp_path / "tree", "n", "1", tmp_path / "out")

    assert "200 times" in error.problem.evidence
    assert list((tmp_path / "out").iterdir()) == []


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8),
        st.binary(max_size=600),
        min_size=1,
        max_size=5,
    )
)
def test_every_tree_is_refused_or_can_be_read_back(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tree").mkdir()
        for each, content in contents.items():
            if each not in (".", ".."):
                (folder / "tree" / each).write_bytes(content)
        try:
            built = build(folder / "tree", "n", "1", folder / "out")
        except LiftlockError as error:
            refusal = error.problem.code
        else:
            refusal = ""
            verify_tarball(open_release(built.tarball))
    assert refusal in ("", "release-source-unsafe", "release-source-empty")
