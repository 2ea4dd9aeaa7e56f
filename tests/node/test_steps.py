"""The undo table: each row from each state, twice, and nothing foreign is ever lost."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.node import steps
from backends.node.steps import Step
from tests.support.node import picture

WHEN = 1_500_000_000_123_456_789


class Ground:
    """A path that a step owns, its store, its new thing and the conflicts."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.product = top / "product"
        self.conflicts = top / "conflicts"
        self.product.mkdir(parents=True)
        (top / "ours").mkdir()
        self.path = self.product / "thing"
        self.store = top / "ours" / "txn.0"
        self.new = top / "ours" / "new"

    def make(self, path: Path, kind: str, content: str) -> None:
        """A thing of one kind; its content tells whose it is."""
        if kind == "file":
            path.write_text(content)
            path.chmod(0o640)
        elif kind == "link":
            path.symlink_to(content)
        elif kind == "dir":
            path.mkdir()
            (path / "inner").write_text(content)
            (path / "empty").mkdir(mode=0o711)
            (path / "way").symlink_to("inner")
        for each in [path, *path.rglob("*")] if os.path.lexists(path) else []:
            os.utime(each, ns=(WHEN, WHEN), follow_symlinks=False)

    def step(self, before: str, after: str) -> Step:
        """A step from one kind to another, its before-image taken."""
        self.make(self.path, before, "old")
        self.make(self.new, after, "new")
        operation = "tree" if after == "dir" else "put"
        return Step(steps.intend(0, operation, str(self.path), str(self.new), str(self.store)))

    def look(self) -> dict[str, Any]:
        """The product's directory, with times of what is in it."""
        found: dict[str, Any] = dict(picture(self.product))
        for name in found:
            found[name] += ((self.product / name).lstat().st_mtime_ns,)
        return found

    def undo(self, step: Step) -> None:
        """Undo, and once more: the second time changes nothing."""
        steps.undo(step, str(self.conflicts))
        once = self.look(), picture(self.conflicts)
        steps.undo(step, str(self.conflicts))
        assert (self.look(), picture(self.conflicts)) == once


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "ground")


KINDS = ("file", "link", "dir", "absent")
CHANGES = [(before, after) for before in KINDS for after in ("file", "link", "dir")]


def rows(function: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize(("before", "after"), CHANGES)(function)


@rows
def test_row_27_what_was_applied_is_undone_exactly(
    ground: Ground, before: str, after: str
) -> None:
    step = ground.step(before, after)
    old = ground.look()
    steps.back_up(step)
    assert ground.look() == old
    steps.apply(step)
    assert ground.look() != old
    ground.undo(step)
    assert ground.look() == old
    assert steps.prove(step) == []
    assert not ground.conflicts.exists()


@rows
def test_undone_before_the_backup_or_before_the_effect_nothing_changes(
    ground: Ground, before: str, after: str
) -> None:
    step = ground.step(before, after)
    old = ground.look()
    ground.undo(step)
    assert ground.look() == old
    steps.back_up(step)
    ground.undo(step)
    assert ground.look() == old
    assert steps.prove(step) == []


@rows
def test_undone_in_the_middle_of_apply_the_old_thing_is_back(
    ground: Ground, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ground.step(before, after)
    old = ground.look()
    steps.back_up(step)
    real = os.rename

    def last_fails(source: str, goal: str) -> None:
        if source == step.new:
            raise OSError(errno.ENOSPC, "full")
        real(source, goal)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", last_fails)
        with pytest.raises(OSError, match="full"):
            steps.apply(step)
    ground.undo(step)
    assert ground.look() == old


def test_a_backup_is_a_hard_link_and_an_undo_gives_back_the_same_inode(ground: Ground) -> None:
    step = ground.step("file", "file")
    inode = ground.path.stat().st_ino
    steps.back_up(step)
    assert ground.store.stat().st_ino == inode
    steps.apply(step)
    assert ground.path.stat().st_ino != inode
    ground.undo(step)
    assert ground.path.stat().st_ino == inode
    assert sorted(path.name for path in ground.product.iterdir()) == ["thing"]


def test_a_rename_between_two_names_of_one_file_leaves_no_second_name(ground: Ground) -> None:
    step = ground.step("file", "file")
    steps.back_up(step)
    steps._put_back(step)
    assert sorted(path.name for path in ground.product.iterdir()) == ["thing"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.EXDEV])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_row_23_where_links_do_not_work_a_backup_is_a_copy_with_everything(
    ground: Ground, kind: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ground.step(kind, "file")
    if kind == "file":
        os.chmod(ground.path, 0o4751)
        os.setxattr(ground.path, "user.note", b"a\0b")
        os.utime(ground.path, ns=(WHEN, WHEN))
        step = Step(steps.intend(0, "put", str(ground.path), str(ground.new), str(ground.store)))
    old = ground.look()

    def no_links(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    steps.back_up(step)
    steps.apply(step)
    ground.undo(step)
    assert ground.look() == old
    assert steps.prove(step) == []


# --- P7: nothing foreign is lost ----------------------------------------------------------------


@rows
def test_p7_something_else_in_its_place_is_kept(ground: Ground, before: str, after: str) -> None:
    step = ground.step(before, after)
    old = ground.look()
    steps.back_up(step)
    steps.apply(step)
    shutil.rmtree(ground.path) if after == "dir" else ground.path.unlink()
    ground.path.mkdir()
    (ground.path / "precious").write_text("mine")
    ground.undo(step)
    assert ground.look() == old
    # A directory that happens to have our number goes where `rollback` looks for foreign files.
    kept = ground.conflicts / "thing" if ground.conflicts.exists() else ground.new
    assert (kept / "precious").read_text() == "mine"


@pytest.mark.parametrize("before", ["file", "link"])
def test_row_29_an_edited_file_is_kept_and_the_old_one_is_back(
    ground: Ground, before: str
) -> None:
    step = ground.step(before, "file")
    old = ground.look()
    steps.back_up(step)
    steps.apply(step)
    ground.path.write_text("edited in the trial")
    ground.undo(step)
    assert ground.look() == old
    assert (ground.conflicts / "thing").read_text() == "edited in the trial"


def test_row_29_keeping_an_edited_file_takes_no_new_space(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ground.step("file", "file")
    old = ground.look()
    steps.back_up(step)
    steps.apply(step)
    ground.path.write_text("edited in the trial")
    monkeypatch.setattr(
        shutil, "copy2", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(28))
    )
    ground.undo(step)
    assert ground.look() == old
    assert (ground.conflicts / "thing").read_text() == "edited in the trial"


def test_an_edited_file_is_kept_beside_a_neighbour_of_the_obvious_name(ground: Ground) -> None:
    step = ground.step("file", "file")
    steps.back_up(step)
    steps.apply(step)
    (ground.product / "thing.kept").write_text("somebody's")
    ground.path.write_text("edited")
    ground.undo(step)
    assert (ground.product / "thing.kept").read_text() == "somebody's"


def test_row_28_a_foreign_file_in_a_created_tree_leaves_with_the_tree(ground: Ground) -> None:
    step = ground.step("absent", "dir")
    steps.back_up(step)
    steps.apply(step)
    (ground.path / "notes").write_text("mine")
    ground.undo(step)
    assert not ground.path.exists()
    assert (ground.new / "notes").read_text() == "mine"  # `rollback` sets it aside from there


def test_things_of_one_name_are_all_kept(ground: Ground) -> None:
    for number in range(3):
        thing = ground.product / "thing"
        thing.write_text(str(number))
        steps.set_aside(str(thing), str(ground.conflicts))
    assert sorted(path.read_text() for path in ground.conflicts.iterdir()) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["file", "link", "dir"])
def test_row_23_what_lies_on_another_file_system_is_kept_too(
    ground: Ground, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.make(ground.path, kind, "mine")
    before = ground.look()
    real = os.rename

    def across(source: str, goal: str) -> None:
        if str(ground.conflicts) in str(goal) and str(ground.conflicts) not in str(source):
            raise OSError(errno.EXDEV, "another file system")
        real(source, goal)

    monkeypatch.setattr(os, "rename", across)
    steps.set_aside(str(ground.path), str(ground.conflicts))
    assert ground.look() == {}
    ground.product.rmdir()
    ground.conflicts.rename(ground.product)
    assert ground.look() == before


# --- what cannot be proven ----------------------------------------------------------------------


@pytest.mark.parametrize("before", ["file", "link", "dir"])
def test_row_31_without_its_backup_nothing_is_guessed_and_nothing_is_proven(
    ground: Ground, before: str
) -> None:
    step = ground.step(before, "file")
    steps.back_up(step)
    steps.apply(step)
    shutil.rmtree(ground.store) if before == "dir" else ground.store.unlink()
    now = ground.look()
    ground.undo(step)
    assert ground.look() == now
    assert steps.prove(step) != []


def test_row_30_a_backup_that_was_written_to_is_not_proven(ground: Ground) -> None:
    step = ground.step("file", "file")
    with ground.path.open("a") as held:
        steps.back_up(step)
        steps.apply(step)
        held.write(" and more")
    ground.undo(step)
    assert "sha256" in steps.prove(step)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path: path.chmod(0o600), "mode"),
        (lambda path: os.utime(path, ns=(WHEN, WHEN + 1)), "mtime"),
        (lambda path: os.chown(path, 12345, -1), "uid"),
        (lambda path: os.setxattr(path, "user.x", b"1"), "xattrs"),
        (lambda path: os.link(path, str(path) + ".2"), "links"),
    ],
    ids=["mode", "time", "owner", "xattr", "links"],
)
def test_p1_each_property_counts(
    ground: Ground, change: Callable[[Path], None], what: str
) -> None:
    step = ground.step("file", "file")
    steps.back_up(step)
    steps.apply(step)
    ground.undo(step)
    assert steps.prove(step) == []
    try:
        change(ground.path)
    except PermissionError:
        pytest.skip("only root may do this")
    assert what in steps.prove(step)


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    odd = os.fsdecode(bytes(tmp_path) + b"/a\xff\n\x01b")
    assert steps.from_hex(steps.to_hex(odd)) == odd


# --- random trees -------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
trees = st.recursive(
    st.one_of(st.binary(max_size=20), st.sampled_from(["->a", "->../x", "->nowhere"])),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def grow(path: Path, tree: Any) -> None:
    """Make what a drawn tree says."""
    if isinstance(tree, bytes):
        path.write_bytes(tree)
    elif isinstance(tree, str):
        path.symlink_to(tree[2:])
    else:
        path.mkdir()
        for name, inner in tree.items():
            grow(path / name, inner)
    os.utime(path, ns=(WHEN, WHEN), follow_symlinks=False)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    old=st.none() | trees,
    new=trees,
    stranger=st.none() | trees,
    applied=st.booleans(),
)
def test_p7_whatever_was_there_is_back_and_whatever_came_is_kept(
    tmp_path: Path, old: Any, new: Any, stranger: Any, applied: bool
) -> None:
    top = tmp_path / "ground"
    shutil.rmtree(top, ignore_errors=True)
    ground = Ground(top)
    if old is not None:
        grow(ground.path, old)
    grow(ground.new, new)
    operation = "tree" if isinstance(new, dict) else "put"
    step = Step(steps.intend(0, operation, str(ground.path), str(ground.new), str(ground.store)))
    before = ground.look()
    steps.back_up(step)
    if applied:
        steps.apply(step)
        if stranger is not None:
            ground.path.rename(top / "gone")
            grow(ground.path, stranger)
    ground.undo(step)
    assert ground.look() == before
    assert steps.prove(step) == []
    if applied and isinstance(stranger, (bytes, str)) and stranger not in (old, new):
        assert os.path.lexists(ground.conflicts / "thing")
