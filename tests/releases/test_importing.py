"""A vendor's archive becomes a release: read strictly, checked, marked, always the same."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.releases.importing import import_archive
from backends.releases.read import open_release, verify_tarball

MADE = 1_700_000_000


def vendors(path: Path, change: Callable[[tarfile.TarFile], None] | None = None) -> Path:
    """`agent-1.2/` with a program, a configuration and a link, as vendors pack it."""
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "agent-1.2/", kind=tarfile.DIRTYPE)
        add(archive, "agent-1.2/bin/agent", b"#!/bin/sh\n", 0o775)
        add(archive, "agent-1.2/agent.yaml", b"listen: 1\n", 0o664)
        add(archive, "agent-1.2/run", kind=tarfile.SYMTYPE, target="bin/agent")
        if change is not None:
            change(archive)
    return path


def add(
    archive: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    mode: int = 0o755,
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname, info.mtime = (
        len(data),
        mode,
        kind,
        target,
        MADE,
    )
    info.uid = info.gid = 4711
    archive.addfile(info, io.BytesIO(data))


def refused(archive: Path, out: Path, strip: int = 1) -> tuple[str, Exit]:
    with pytest.raises(LiftlockError) as caught:
        import_archive(archive, "agent", "1.2", out, strip=strip)
    assert [path for path in out.glob("*") if not path.is_dir()] == []
    assert list(out.glob(".*")) == []
    return caught.value.problem.code, Exit(caught.value.exit_code)


def test_an_archive_becomes_a_release_that_says_where_it_comes_from(tmp_path: Path) -> None:
    archive = vendors(tmp_path / "agent_1.2_linux.tar.gz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()

    built = import_archive(archive, "agent", "1.2", tmp_path / "out", strip=1, arch="x86_64")

    release = open_release(built.tarball)
    verify_tarball(release)
    manifest = release.manifest
    assert [(each.path, each.type, each.mode) for each in manifest.files] == [
        ("agent.yaml", "file", 0o644),
        ("bin", "dir", 0o755),
        ("bin/agent", "file", 0o755),
        ("run", "link", 0o777),
    ]
    assert manifest.imported is not None
    assert (manifest.imported.file, manifest.imported.sha256) == (archive.name, digest)
    assert manifest.imported_from == "agent_1.2_linux.tar.gz (no checksum)"
    assert (manifest.created, manifest.arch) == ("2023-11-14T22:13:20Z", "x86_64")
    assert list((tmp_path / "out").glob(".*")) == []


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    archive = vendors(tmp_path / "a.tar.gz")

    one = import_archive(archive, "agent", "1.2", tmp_path / "one", strip=1)
    two = import_archive(archive, "agent", "1.2", tmp_path / "two", strip=1)

    assert one.manifest.read_bytes() == two.manifest.read_bytes()
    assert one.tarball.read_bytes() == two.tarball.read_bytes()


SIDES = {
    "the digest alone": ("sha256", "{sha256}\n", "sha256 fits"),
    "as sha256sum writes it": ("sha256", "{sha256}  a.tar.gz\n", "sha256 fits"),
    "binary, in capitals": ("sha256", "{SHA256} *a.tar.gz\n", "sha256 fits"),
    "one of several": ("sha256", "{other}  b.tar.gz\n{sha256}  ./a.tar.gz\n", "sha256 fits"),
    "md5 only": ("md5", "{md5}  a.tar.gz\n", "md5 fits"),
}


@pytest.mark.parametrize("name", SIDES)
def test_a_checksum_beside_it_is_held_against_it(name: str, tmp_path: Path) -> None:
    kind, text, says = SIDES[name]
    archive = vendors(tmp_path / "a.tar.gz")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    md5 = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    side = archive.with_name(f"a.tar.gz.{kind}")
    side.write_text(text.format(sha256=sha256, SHA256=sha256.upper(), md5=md5, other="0" * 64))

    built = import_archive(archive, "agent", "1.2", tmp_path / "out", strip=1)

    assert open_release(built.tarball).manifest.imported_from == f"a.tar.gz ({says})"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("sha256", "0" * 64),
        ("sha256", f"{'0' * 64}  a.tar.gz"),
        ("sha256", "{sha256}  another.tar.gz"),
        ("sha256", ""),
        ("md5", "0" * 32),
    ],
)
def test_another_checksum_is_a_refusal(kind: str, text: str, tmp_path: Path) -> None:
    archive = vendors(tmp_path / "a.tar.gz")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"a.tar.gz.{kind}").write_text(text.format(sha256=sha256))

    assert refused(archive, tmp_path / "out") == ("import-checksum", Exit.REFUSED)


HOSTILE: dict[str, Callable[[tarfile.TarFile], None]] = {
    "up": lambda a: add(a, "agent-1.2/../../evil", b"x"),
    "absolute": lambda a: add(a, "/evil", b"x"),
    "link out": lambda a: add(a, "agent-1.2/out", kind=tarfile.SYMTYPE, target="../../../etc"),
    "hard link": lambda a: add(a, "agent-1.2/hard", kind=tarfile.LNKTYPE, target="agent-1.2/run"),
    "device": lambda a: add(a, "agent-1.2/dev", kind=tarfile.CHRTYPE),
    "through a link": lambda a: add(a, "agent-1.2/run/evil", b"x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_strict_reader_refuses_is_refused(name: str, tmp_path: Path) -> None:
    archive = vendors(tmp_path / "a.tar.gz", HOSTILE[name])

    assert refused(archive, tmp_path / "out") == ("import-refused", Exit.REFUSED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "out"]


def test_a_link_that_leaves_the_tree_once_names_are_dropped(tmp_path: Path) -> None:
    """It stays inside of the archive, and would not stay inside of the release."""
    archive = vendors(
        tmp_path / "a.tar.gz",
        lambda a: add(a, "agent-1.2/up", kind=tarfile.SYMTYPE, target="../other"),
    )

    assert refused(archive, tmp_path / "out") == ("release-source-unsafe", Exit.USAGE)


def test_names_that_fall_together_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("other/agent.yaml", "other/bin", "other/run/x")):
        archive = tmp_path / f"{number}.tar.gz"
        vendors(archive, lambda a, name=name: add(a, name, b"x"))  # type: ignore[misc]
        assert refused(archive, tmp_path / "out") == ("import-strip", Exit.USAGE), name


def test_nothing_but_directories_vanish_with_their_names(tmp_path: Path) -> None:
    archive = vendors(tmp_path / "a.tar.gz", lambda a: add(a, "README", b"x"))

    assert refused(archive, tmp_path / "out") == ("import-strip", Exit.USAGE)
    assert import_archive(archive, "agent", "1.2", tmp_path / "whole").digest


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    archive = vendors(tmp_path / "a.tar.gz")
    (tmp_path / "file").write_text("")
    with pytest.raises(LiftlockError) as caught:
        import_archive(archive, "agent", "1.2", tmp_path / "file" / "out", strip=1)
    assert (caught.value.problem.code, caught.value.exit_code) == ("import-unusable", Exit.USAGE)


def test_a_missing_or_cut_archive(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere.tar.gz", tmp_path / "out") == ("import-missing", Exit.USAGE)
    archive = vendors(tmp_path / "a.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-20])
    assert refused(archive, tmp_path / "out") == ("import-refused", Exit.REFUSED)
