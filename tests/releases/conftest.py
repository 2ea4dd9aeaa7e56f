"""A small product tree and the release built from it."""

import os
from pathlib import Path

import pytest

from backends.releases.build import Built, build
from backends.releases.read import Release, open_release

CREATED = 1_700_000_000


def make_tree(top: Path, names: list[str] | None = None) -> Path:
    """The product's tree; files are made in the given order."""
    contents = {
        "control": b"#!/bin/sh\necho started\n",
        "bin/tool": bytes(range(256)) * 40,
        "bin/same": bytes(range(256)) * 40,
        "etc/über.conf": b"listen = 1\n",
        "share/empty": b"",
    }
    for name in names or list(contents):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[name])
    (top / "var").mkdir(exist_ok=True)
    for name in ("control", "bin/tool"):
        (top / name).chmod(0o755)
    (top / "lib").symlink_to("bin")
    for name in [*contents, "lib"]:
        os.utime(top / name, (CREATED, CREATED), follow_symlinks=False)
    return top


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture
def built(tree: Path, tmp_path: Path) -> Built:
    return build(tree, "nats", "2.10.1", tmp_path / "out")


@pytest.fixture
def release(built: Built) -> Release:
    return open_release(built.tarball)
