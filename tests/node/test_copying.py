"""Copies that cannot be made, differ, or go to another file system."""

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import copying
from tests.faults.table import fast_place


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than `tmp_path`."""
    place = fast_place()
    if place is None or os.stat(place).st_dev == tmp_path.stat().st_dev:
        pytest.fail("no second file system here: /dev/shm is not one", pytrace=False)
    with tempfile.TemporaryDirectory(prefix="liftlock-copies-", dir=place) as top:
        yield Path(top)


def test_what_is_neither_file_nor_link_is_not_copied_as_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither a file nor a link"):
        copying.copy_exactly(str(tmp_path / "pipe"), str(tmp_path / "goal"))
    assert not (tmp_path / "goal").exists()


def test_a_copy_that_differs_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("right\n")
    monkeypatch.setattr(copying, "_copy_content", lambda stream, fd: os.write(fd, b"wrong\n"))
    with pytest.raises(OSError, match="the copy differs in sha256"):
        copying.copy_exactly(str(tmp_path / "file"), str(tmp_path / "goal"))


def test_what_the_file_system_shares_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clone(goal: int, code: int, source: int) -> None:
        assert code == copying._CLONE
        os.write(goal, os.pread(source, 100, 0))

    def never(*_: Any) -> None:
        raise AssertionError("copied all the same")

    monkeypatch.setattr(copying.fcntl, "ioctl", clone)
    monkeypatch.setattr(copying, "_copy_content", never)
    (tmp_path / "file").write_text("shared\n")
    copying.copy_exactly(str(tmp_path / "file"), str(tmp_path / "goal"))
    assert (tmp_path / "goal").read_text() == "shared\n"


def test_a_directory_that_is_there_becomes_like_the_other(tmp_path: Path) -> None:
    source, goal = tmp_path / "source", tmp_path / "goal"
    source.mkdir(mode=0o711)
    goal.mkdir(mode=0o700)
    os.setxattr(source, "user.owner", b"us")
    copying.make_like(str(source), str(goal))
    assert stat.S_IMODE(goal.stat().st_mode) == 0o711
    assert os.getxattr(goal, "user.owner") == b"us"


def test_p7_to_another_file_system_goes_everything_that_holds_something(
    tmp_path: Path, elsewhere: Path
) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "file").write_text("theirs\n")
    os.mkfifo(folder / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.close()
    kept = copying.set_aside(str(folder), str(elsewhere / "conflicts"))
    assert sorted(os.listdir(kept)) == ["file", "pipe"]
    assert stat.S_ISFIFO(os.stat(f"{kept}/pipe").st_mode)
    assert not folder.exists()


def test_p7_what_cannot_be_moved_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(source: str, goal: str) -> None:
        raise PermissionError(errno.EPERM, "immutable", source)

    (tmp_path / "file").write_text("theirs\n")
    monkeypatch.setattr(copying.os, "rename", rename)
    with pytest.raises(PermissionError):
        copying.set_aside(str(tmp_path / "file"), str(tmp_path / "conflicts"))
    assert (tmp_path / "file").read_text() == "theirs\n"


def test_a_look_copies_files_and_links_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, goal = tmp_path / "source", tmp_path / "goal"
    source.mkdir()
    goal.mkdir()
    (source / "file").write_text("mine\n")
    (source / "file").chmod(0o640)
    os.utime(source / "file", ns=(1, 2_000_000_000))
    (source / "link").symlink_to("file")
    os.mkfifo(source / "pipe")
    for name in ("file", "link", "pipe"):
        copying.copy_as_it_is(str(source / name), str(goal / name))
    assert sorted(os.listdir(goal)) == ["file", "link"]
    about = (goal / "file").stat()
    assert (stat.S_IMODE(about.st_mode), about.st_mtime_ns) == (0o640, 2_000_000_000)
    assert os.readlink(goal / "link") == "file"

    monkeypatch.setattr(copying, "_cloned", lambda *_: True)
    copying.copy_as_it_is(str(source / "file"), str(goal / "shared"))
    assert (goal / "shared").exists()
    with pytest.raises(FileNotFoundError):
        copying.copy_as_it_is(str(source / "gone"), str(goal / "gone"))
