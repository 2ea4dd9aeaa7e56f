"""Releases that have no place where they should go, and pointers that name nothing."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    fitting,
    steps,
)
from backends.node.layout import PointerUnreadable, Unfit
from backends.node.layouts import layout_of, places_of
from tests.support.beacon import Beacon, document
from tests.support.node import Node, a_node
from tests.support.raising import says


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[Node]:
    """A node with an empty directory for a product."""
    with a_node(tmp_path / "node") as node:
        node.directory.mkdir(parents=True)
        yield node


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "is a dir, not a pointer"),
        (lambda path: path.write_bytes(b"\xff"), "is no text"),
        (lambda path: path.write_bytes(b"x" * 300), "not a pointer"),
        (lambda path: path.write_text("../evil"), "no version"),
        (lambda path: path.symlink_to("../evil"), "no version"),
    ],
)
def test_r3_a_pointer_that_names_no_version_is_unreadable(
    versions: Node, make: Callable[[Path], object], said: str
) -> None:
    make(versions.directory / ".version")
    with pytest.raises(PointerUnreadable, match=said):
        layout_of(versions.document, versions.places).selected()


def test_a_pointer_that_cannot_be_read_is_unreadable(
    versions: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.node import layout_versions

    (versions.directory / ".version").write_text("1.0")
    monkeypatch.setattr(
        layout_versions, "open", says(PermissionError(13, "not for us")), raising=False
    )
    with pytest.raises(PointerUnreadable, match="not for us"):
        layout_of(versions.document, versions.places).selected()


def test_where_no_product_is_no_version_is_installed(versions: Node) -> None:
    versions.directory.rmdir()
    assert layout_of(versions.document, versions.places).installed() == []


def test_a_record_of_the_version_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    about = document(str(tmp_path / "opt"), 1, "-", layout="overlay")
    where = places_of(str(tmp_path / "state"), about)
    os.makedirs(where.selected)
    with pytest.raises(PointerUnreadable, match="directory"):
        layout_of(about, where).selected()


def staged(node: Node, release: Beacon) -> Any:
    """The layout of a node on which a release is staged."""
    assert node.stage(release).outcome == "ok"
    return layout_of(node.document, node.places)


def test_without_hard_links_backups_are_copies(
    versions: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = staged(versions, Beacon("2.0"))
    monkeypatch.setattr(fitting.os, "link", says(OSError(errno.EPERM, "no links")))
    result, evidence = fitting.check(layout, "2.0")
    assert (result, "backups are copies" in evidence) == ("warn", True)
    monkeypatch.setattr(fitting.os, "link", says(OSError(errno.EIO, "broken")))
    result, evidence = fitting.check(layout, "2.0")
    assert (result, "broken" in evidence) == ("refused", True)


def test_what_has_no_flags_is_not_immutable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fitting._is_fixed(str(tmp_path / "nothing"))
    monkeypatch.setattr(fitting.fcntl, "ioctl", says(OSError(errno.ENOTTY, "no flags")))
    assert not fitting._is_fixed(str(tmp_path))


def test_a_directory_that_lives_on_has_no_place_where_the_release_has_a_file(
    tmp_path: Path,
) -> None:
    with a_node(tmp_path / "node", keep=["spool"]) as node:
        node.put_in_place(Beacon("1.0", more={"spool/job": b"1"}))
        layout = staged(node, Beacon("2.0", more={"spool": b"a file"}))
        with pytest.raises(Unfit, match="lives on, but the release has"):
            layout.compile("2.0", "r1")


def test_in_a_flat_product_neither(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", layout="overlay", keep=["spool"]) as node:
        node.put_in_place(Beacon("1.0"), as_release=True)
        (node.directory / "spool").mkdir()
        layout = staged(node, Beacon("2.0", more={"spool": b"a file"}))
        with pytest.raises(Unfit, match="lives on, but the release has a file"):
            layout.compile("2.0", "r1")
        assert layout.untouched("1.0", "9.9", []) is None


def test_what_lies_behind_a_link_of_somebody_s_is_not_taken_away(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", layout="overlay") as node:
        node.put_in_place(Beacon("1.0", more={"gone/file": b"1"}), as_release=True)
        (node.directory / "gone").rename(node.top / "elsewhere")
        (node.directory / "gone").symlink_to(node.top / "elsewhere")
        layout = staged(node, Beacon("2.0"))
        paths = [steps.Step(intent).path for intent in layout.compile("2.0", "r1")]
        assert str(node.directory / "gone" / "file") not in paths


def test_r8_a_swapped_directory_that_is_a_file_in_the_release_is_refused(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", layout="swap", directories=["lib"]) as node:
        release = Beacon("2.0", more={"lib": b"a file"})
        release.content = {"lib": release.content["lib"]}
        layout = staged(node, release)
        with pytest.raises(Unfit, match="the release has no directory lib"):
            layout.compile("2.0", "r1")


def test_a_version_that_is_in_place_from_an_earlier_time_is_only_pointed_at(
    versions: Node,
) -> None:
    layout = staged(versions, Beacon("2.0"))
    shutil.copytree(versions.places.staged_tree("2.0"), versions.tree("2.0"))
    assert layout.compile("2.0", "r1") == []


def test_r3_a_pointer_that_is_a_link_is_switched_as_one(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", pointer="current") as node:
        for place in (node.directory, Path(node.places.new)):
            place.mkdir(parents=True)
        layout = layout_of(node.document, node.places)
        (node.directory / "current").symlink_to("1.0")
        assert layout.selected() == "1.0"
        step = steps.Step(layout.point(0, "2.0", "r1"))
        Path(step.store).parent.mkdir(parents=True, exist_ok=True)
        steps.back_up(step)
        steps.apply(step)
        assert layout.selected() == "2.0"
        steps.undo(step, str(tmp_path / "conflicts"))
        assert layout.selected() == "1.0"


@pytest.mark.drill
def test_p7_what_stood_where_the_new_version_goes_is_kept_when_it_is_final(
    tmp_path: Path,
) -> None:
    with a_node(tmp_path / "node") as node:
        node.put_in_place(Beacon("1.0"))
        (node.directory / "2.0").mkdir()
        (node.directory / "2.0" / "notes").write_text("of somebody\n")
        node.finalized(Beacon("2.0"))
        kept = list((node.home / "conflicts").rglob("notes"))
        assert [path.read_text() for path in kept] == ["of somebody\n"]
        assert not (node.directory / "2.0" / "notes").exists()


@pytest.mark.drill
def test_what_lives_on_takes_its_directories_along_and_what_came_into_them_stays(
    tmp_path: Path,
) -> None:
    with a_node(tmp_path / "node", keep=["a/b/c.conf", "spool"]) as node:
        node.put_in_place(Beacon("1.0", more={"a/b/c.conf": b"mine", "spool/job": b"1"}))
        node.accepted(Beacon("2.0"))
        tree = Path(node.tree("2.0"))
        assert (tree / "a/b/c.conf").read_bytes() == b"mine"
        (tree / "spool" / "came").write_text("during the trial\n")
        assert node.ask("rollback", why="drill").outcome == "ok"
        node.wait_for(lambda facts: facts["transaction"] is None)
        assert node.facts()["running"] == "1.0"
        found = list(node.top.rglob("came"))
        assert [path.read_text() for path in found] == ["during the trial\n"]


def test_directories_above_a_swapped_one_come_with_it(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", layout="swap", directories=["a/b"]) as node:
        release = Beacon("2.0", more={"a/b/file": b"x"})
        release.content = {"a/b/file": release.content["a/b/file"]}
        layout = staged(node, release)
        node.directory.mkdir(parents=True, exist_ok=True)
        (step,) = layout.compile("2.0", "r1")
        assert steps.Step(step).path == str(node.directory / "a")
