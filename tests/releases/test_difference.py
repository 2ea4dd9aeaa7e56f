"""What differs between two releases, by their manifests."""

from pathlib import Path

from backends.releases.build import build
from backends.releases.difference import difference, to_json
from backends.releases.manifest import Manifest
from backends.releases.read import open_release
from tests.releases.conftest import make_tree


def manifest(top: Path, version: str) -> Manifest:
    return open_release(build(top, "nats", version, top.parent / "out").tarball).manifest


def test_each_kind_of_difference_is_named(tmp_path: Path) -> None:
    old = make_tree(tmp_path / "old")
    new = make_tree(tmp_path / "new")
    (new / "control").write_bytes(b"#!/bin/sh\necho other\n")
    (new / "bin" / "tool").chmod(0o644)
    (new / "bin" / "same").unlink()
    (new / "lib").unlink()
    (new / "lib").symlink_to("share")
    (new / "share" / "more").write_bytes(b"more")
    (new / "share" / "again").write_bytes(bytes(range(256)) * 40)
    (new / "var").rmdir()
    (new / "var").write_bytes(b"")

    found = difference(manifest(old, "1"), manifest(new, "2"))

    assert [each.path for each in found.added] == ["share/again", "share/more"]
    assert [each.path for each in found.removed] == ["bin/same"]
    assert {each.new.path: each.what for each in found.changed} == {
        "bin/tool": "0755 -> 0644",
        "control": "23 -> 21 bytes",
        "lib": "to share instead of bin",
        "var": "a dir became a file",
    }
    assert found.new_bytes == 21 + 4  # what is there under another name does not travel
    assert to_json(found)["changed"][0] == {"path": "bin/tool", "what": "0755 -> 0644"}


def test_the_same_content_differs_in_nothing(tmp_path: Path) -> None:
    top = make_tree(tmp_path / "tree")

    assert difference(manifest(top, "1"), manifest(top, "2")).is_empty
