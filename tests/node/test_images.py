"""What a tree holds, while its service is at work in it."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    images,
    tree,
)
from backends.node.archive import ArchiveError
from tests.support.raising import says


def test_what_a_service_removes_while_it_is_listed_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone", "later", "stays"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    real_stat, real_list, real_entry = os.lstat, os.listdir, images._entry

    def lstat(path: Any, **more: Any) -> os.stat_result:
        if str(path).endswith("gone"):
            raise FileNotFoundError(path)
        return real_stat(path, **more)

    def listdir(path: Any = ".") -> list[str]:
        if str(path).endswith("folder"):
            raise FileNotFoundError(path)
        return real_list(path)

    def entry(whole: str, path: str, found: os.stat_result) -> dict[str, Any]:
        if path == "later":
            raise FileNotFoundError(whole)
        return real_entry(whole, path, found)

    monkeypatch.setattr(images.os, "lstat", lstat)
    monkeypatch.setattr(images.os, "listdir", listdir)
    monkeypatch.setattr(images, "_entry", entry)
    assert [each["path"] for each in images.listing(str(tmp_path))] == ["folder", "stays"]


def test_a_tree_that_is_not_there_is_an_error_and_no_empty_tree(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(images.walk(str(tmp_path / "nothing")))


def test_what_is_not_there_is_not_as_listed(tmp_path: Path) -> None:
    assert not images.is_as_listed(str(tmp_path / "nothing"), {"path": "nothing"})


def test_a_file_system_without_attributes_has_none_and_one_that_fails_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images.os, "listxattr", says(OSError(errno.ENOTSUP, "none")))
    assert images._xattrs(str(tmp_path)) == {}
    monkeypatch.setattr(images.os, "listxattr", says(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        images._xattrs(str(tmp_path))


def test_paths_that_are_no_text_are_refused() -> None:
    known = tree.Tree(tree.Caps())
    with pytest.raises(ArchiveError, match="not UTF-8"):
        known.add("\udcff", "file")
    known.add("a/b/c", "file")
    known.add("a/b/d", "file")
    assert known.implied() == ["a", "a/b"]
    known.add("a", "dir")
    assert known.implied() == ["a/b"]
