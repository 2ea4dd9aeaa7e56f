"""Undos that cannot go on, and what they leave untouched; see `test_steps` for those that can."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from backends.node import (
    parents,
    steps,
)
from tests.support.raising import says


def a_step(top: Path, op: str = "put", before: str = "old\n") -> steps.Step:
    for name in ("product", "ours"):
        (top / name).mkdir(exist_ok=True)
    (top / "product" / "thing").write_text(before)
    (top / "ours" / "new").write_text("new\n")
    paths = [str(top / name) for name in ("product/thing", "ours/new", "ours/txn.0")]
    return steps.Step(steps.intend(0, op, *paths))


def test_an_error_of_a_backup_that_is_not_about_links_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = a_step(tmp_path)
    monkeypatch.setattr(steps.os, "link", says(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        steps.back_up(step)


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM])
def test_p7_what_is_in_the_way_is_kept_also_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    step = a_step(tmp_path)
    steps.back_up(step)
    steps.apply(step)
    (tmp_path / "product" / "thing").write_text("foreign\n")
    monkeypatch.setattr(steps.os, "link", says(OSError(number, "no links")))
    if number == errno.EIO:
        with pytest.raises(OSError, match="no links"):
            steps.undo(step, str(tmp_path / "conflicts"))
        return
    steps.undo(step, str(tmp_path / "conflicts"))
    assert (tmp_path / "product" / "thing").read_text() == "old\n"
    assert (tmp_path / "conflicts" / "thing").read_text() == "foreign\n"


def test_a_backup_on_another_file_system_is_copied_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = a_step(tmp_path)
    steps.back_up(step)
    steps.apply(step)
    real = os.rename

    def rename(source: str, goal: str) -> None:
        if source == step.store:
            raise OSError(errno.EXDEV, "another file system")
        real(source, goal)

    monkeypatch.setattr(steps.os, "link", says(OSError(errno.EXDEV, "another file system")))
    monkeypatch.setattr(steps.os, "rename", rename)
    steps.undo(step, str(tmp_path / "conflicts"))
    assert (tmp_path / "product" / "thing").read_text() == "old\n"
    monkeypatch.setattr(steps.os, "rename", says(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        steps._put_back_without_links(step, str(tmp_path / "beside"))


def test_something_that_became_a_directory_while_the_service_stopped_is_no_case_of_ours(
    tmp_path: Path,
) -> None:
    step = a_step(tmp_path)
    (tmp_path / "product" / "thing").unlink()
    (tmp_path / "product" / "thing").mkdir()
    with pytest.raises(OSError, match="became a dir while the service stopped"):
        steps.look_again(step, {})


def test_a_file_that_became_a_link_while_the_service_stopped_is_looked_at_again(
    tmp_path: Path,
) -> None:
    step = a_step(tmp_path)
    steps.back_up(step)
    (tmp_path / "product" / "thing").unlink()
    (tmp_path / "product" / "thing").symlink_to("elsewhere")
    again = steps.look_again(step, {})
    assert again is not None
    assert again["before"]["kind"] == "link"


def test_names_that_come_and_go_in_a_directory_change_nothing_of_its_mode(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    after = {"mode": 0o711, "uid": os.getuid(), "gid": os.getgid()}
    step = steps.Step(steps.intend_mode(0, str(tmp_path / "folder"), after, str(tmp_path / "st")))
    (tmp_path / "folder" / "name").touch()
    os.utime(tmp_path / "folder", (1, 1))
    assert steps.look_again(step, {}) is None


def test_what_is_there_twice_is_not_taken_away(tmp_path: Path) -> None:
    (tmp_path / "product").mkdir()
    (tmp_path / "new").write_text("new\n")
    paths = [str(tmp_path / name) for name in ("product/thing", "new", "store")]
    step = steps.Step(steps.intend(0, "put", *paths))
    steps.apply(step)
    os.link(paths[0], paths[1])
    with pytest.raises(steps.UndoFailed, match="there twice"):
        steps.undo(step, str(tmp_path / "conflicts"))


def test_a_directory_that_is_none_any_more_has_no_mode_to_put_back(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    after = {"mode": 0o711, "uid": os.getuid(), "gid": os.getgid()}
    step = steps.Step(steps.intend_mode(0, str(tmp_path / "folder"), after, str(tmp_path / "st")))
    (tmp_path / "folder").rmdir()
    with pytest.raises(steps.UndoFailed, match="no directory any more"):
        steps.undo(step, str(tmp_path / "conflicts"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")
def test_a_directory_s_owner_is_changed_and_put_back(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    after = {"mode": 0o711, "uid": 12, "gid": 34}
    step = steps.Step(steps.intend_mode(0, str(tmp_path / "folder"), after, str(tmp_path / "st")))
    steps.apply(step)
    assert (tmp_path / "folder").stat().st_uid == 12
    steps.undo(step, str(tmp_path / "conflicts"))
    assert (tmp_path / "folder").stat().st_uid == 0


def test_a_path_below_a_link_is_no_path_of_the_product(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    top = str(tmp_path)
    assert parents.look_at([step], top)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(str(tmp_path / "product"), str(tmp_path / "moved"))
    (tmp_path / "product").symlink_to("moved")
    with pytest.raises(NotADirectoryError):
        parents.refuse_strayed(step, top)
    with pytest.raises(NotADirectoryError):
        parents.look_at([step], top)


def test_a_directory_that_was_removed_is_made_again_with_all_it_had(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    os.setxattr(tmp_path / "product", "user.owner", b"us")
    found = parents.look_at([step], str(tmp_path))
    shutil.rmtree(tmp_path / "product")
    assert parents.make_good(found) == [str(tmp_path / "product")]
    assert os.getxattr(tmp_path / "product", "user.owner") == b"us"
    (tmp_path / "product").rmdir()
    (tmp_path / "product").write_text("in the way")
    with pytest.raises(steps.UndoFailed, match="was a directory and is a file now"):
        parents.make_good(found)


def test_one_file_under_several_names_is_never_backed_up_by_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_step(tmp_path)
    os.link(tmp_path / "product" / "thing", tmp_path / "product" / "other name")
    paths = [str(tmp_path / name) for name in ("product/thing", "ours/new", "ours/txn.0")]
    step = steps.Step(steps.intend(0, "put", *paths))
    monkeypatch.setattr(steps.os, "link", says(OSError(errno.EXDEV, "another file system")))
    with pytest.raises(OSError, match="has other names, and cannot be linked"):
        steps.back_up(step)


def test_the_same_content_in_another_mode_is_not_the_old_one(tmp_path: Path) -> None:
    step = a_step(tmp_path)
    steps.back_up(step)
    steps.apply(step)
    path = tmp_path / "product" / "thing"
    path.unlink()
    path.write_text("old\n")
    path.chmod(0o700)
    assert steps.undo(step, str(tmp_path / "conflicts")) == "old one put back"
    assert steps.prove(step) == []


def test_an_error_of_putting_back_that_is_not_about_links_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = a_step(tmp_path)
    steps.back_up(step)
    (tmp_path / "product" / "thing").unlink()
    monkeypatch.setattr(steps.os, "link", says(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        steps.undo(step, str(tmp_path / "conflicts"))
