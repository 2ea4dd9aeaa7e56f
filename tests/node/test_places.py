"""Places of ours that are not ours, and owners that are given."""

import os
import stat
from pathlib import Path

import pytest

from backends.node import (
    ownership,
    places,
    wire,
)
from backends.node.places import UnsafePlace
from tests.support.raising import says


def test_a_file_where_a_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        places.make_directories(str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")
def test_p13_a_place_that_belongs_to_somebody_else_or_is_gone_is_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnsafePlace, match="No such file"):
        places.refuse_unsafe(str(tmp_path / "gone"))
    monkeypatch.setattr(places.os, "geteuid", lambda: 4711)
    os.chown(tmp_path, 12, 34)
    with pytest.raises(UnsafePlace, match="belongs to user 12"):
        places.refuse_unsafe(str(tmp_path))


@pytest.mark.parametrize("text", ["no json", "[1]"])
def test_a_file_of_ours_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(wire.WireError):
        places.read_json(str(tmp_path / "file"))


def test_a_link_is_not_removed_as_a_tree(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UnsafePlace):
        places.remove_tree(str(tmp_path / "link"))


def test_who_is_not_root_gives_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").touch()
    monkeypatch.setattr(ownership.os, "geteuid", lambda: 4711)
    monkeypatch.setattr(ownership.os, "chown", says(AssertionError("given away")))
    ownership.give_like({"owner": ""}, str(tmp_path / "new"), str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")
def test_what_is_given_away_keeps_its_setuid_bit_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "tool").touch()
    (tmp_path / "tree" / "tool").chmod(0o4755)
    (tmp_path / "tree" / "link").symlink_to("/nowhere")
    ownership.give_all({"owner": "12:34"}, str(tmp_path / "tree"))
    about = (tmp_path / "tree" / "tool").stat()
    assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (12, 34, 0o4755)
    assert (tmp_path / "tree" / "link").lstat().st_uid == 12
    ownership.give_all({"owner": "12:34"}, str(tmp_path / "tree"))
