"""What lies on the bench's node: an old and a new version with every kind of change between them.

A tree is written down as `{path: Thing}`. `live` is what a node has before: the old version, what
an operator changed in it, and what is nobody's.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.node.canonical import configured, files_digest

Tree = dict[str, "Thing"]
WHEN = 1_600_000_000_000_000_000


@dataclass(frozen=True)
class Thing:
    """A file (content), a link (target) or a directory (neither)."""

    content: bytes | None = None
    target: str | None = None
    mode: int = 0o644
    owner: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    same_as: str = ""
    """Another path of the tree: this is a second name of that file."""

    def make(self, path: Path, tree: Path) -> None:
        """Put it there; times come later, see `lay`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.same_as:
            os.link(tree / self.same_as, path)
            return
        if self.target is not None:
            path.symlink_to(self.target)
        elif self.content is not None:
            path.write_bytes(self.content)
        else:
            path.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(path, self.owner, self.owner, follow_symlinks=False)
        if self.target is None:
            path.chmod(self.mode)
            for name, value in self.xattrs.items():
                os.setxattr(path, name, value)

    def entry(self, path: str) -> dict[str, Any]:
        """Its line in a manifest."""
        kind = "link" if self.target is not None else "dir" if self.content is None else "file"
        content = self.content or b""
        return {
            "path": path,
            "type": kind,
            "mode": 0o777 if kind == "link" else self.mode,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest() if kind == "file" else None,
            "target": self.target,
        }


def text(content: str, mode: int = 0o644, **more: Any) -> Thing:
    """A file."""
    return Thing(content.encode(), mode=mode, **more)


def folder(mode: int = 0o755, **more: Any) -> Thing:
    """A directory."""
    return Thing(mode=mode, **more)


def link(target: str) -> Thing:
    """A symbolic link."""
    return Thing(target=target)


@dataclass(frozen=True)
class Release:
    """A version and its content, in the words of a manifest."""

    version: str
    tree: Tree
    fetched: Tree = field(default_factory=dict)
    """Configuration from elsewhere that comes with it."""

    @property
    def whole(self) -> Tree:
        """What a node gets."""
        return {**self.tree, **self.fetched}

    @property
    def configuration(self) -> list[dict[str, Any]]:
        """What comes from elsewhere, as it is announced to the node."""
        return [thing.entry(path) for path, thing in self.fetched.items()]

    @property
    def files(self) -> list[dict[str, Any]]:
        """The list of what a node gets."""
        return configured(self.packaged_files, self.configuration)

    @property
    def packaged_files(self) -> list[dict[str, Any]]:
        """The manifest's list, with the directories that lie above."""
        found = {path: thing.entry(path) for path, thing in self.tree.items()}
        for path in list(found):
            for above in _above(path):
                found.setdefault(above, folder().entry(above))
        return [found[path] for path in sorted(found)]

    @property
    def digest(self) -> str:
        """The digest of what a node gets."""
        return files_digest(self.files)

    @property
    def packaged(self) -> str:
        """The digest of what is in the tarball."""
        return files_digest(self.packaged_files)

    @property
    def manifest(self) -> bytes:
        """What travels to the node."""
        about = {"version": self.version, "created": "2026-11-14T22:13:20Z", "sequence": 2}
        return json.dumps({**about, "files": self.packaged_files}).encode()

    def blob(self, sha256: str) -> bytes:
        """The bytes of a blob."""
        for thing in self.tree.values():
            if thing.content is not None and hashlib.sha256(thing.content).hexdigest() == sha256:
                return thing.content
        raise KeyError(sha256)


def lay(top: Path, tree: Tree) -> None:
    """Make a tree, each thing with a time of its own."""
    top.mkdir(parents=True, exist_ok=True)
    for path in sorted(tree, key=lambda each: (bool(tree[each].same_as), each)):
        tree[path].make(top / path, top)
    for number, path in enumerate([*sorted(top.rglob("*")), top]):
        when = WHEN + number * 1_000_000_007
        os.utime(path, ns=(when, when), follow_symlinks=False)


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    for count in range(1, len(parts)):
        yield "/".join(parts[:count])


# --- the versions -------------------------------------------------------------------------------

_SHIPPED: Tree = {
    "VERSION": text("1.0\n"),
    "unit": text("unit 1\n"),
    "bin/tool": text("tool 1\n", 0o755),
    "bin/same": text("same\n", 0o755),
    "lib/one": text("one 1\n"),
    "lib/gone": text("no longer shipped\n"),
    "plugins/a": text("plugin a\n"),
    "plugins/deep/b": text("plugin b\n"),
    "mixed/ours": text("shipped into a mixed directory\n"),
    "etc/default": text("level = 1\n"),
    "etc/edited": text("colour = red\n"),
    "etc/kept.conf": text("shipped default 1\n"),
    "now": link("lib/one"),
    "dir_to_file/inner": text("inner\n"),
    "file_to_dir": text("was a file\n"),
    "link_to_file": link("bin/tool"),
    "file_to_link": text("was a file, too\n"),
    "dir_to_link": folder(),
    "other_mode": folder(0o755),
    "other_mode/same": text("same in both\n"),
    "pair/a": text("one file 1\n"),
    "pair/b": text("one file 1\n"),
}

_OWN: Tree = {
    # What an operator and the service made of it.
    "etc/edited": text("colour = blue\n", 0o600),
    "etc/kept.conf": text("mine\n", 0o640),
    "mixed/theirs": text("nobody's\n"),
    "log/today": text("a line\n" * 40),
    "setuid": text("x", 0o4755),
    "sticky": folder(0o1777),
    "nowhere": link("not/there"),
    "odd \n\udcff name": text("odd\n"),
    "bin/tool": text("tool 1\n", 0o755, xattrs={"user.note": b"a\0b"}),
    "pair/b": Thing(same_as="pair/a"),
    "lib/second name": Thing(same_as="lib/one"),
    "owned": text("by somebody else\n", owner=12345),
}

OLD = Release("1.0", _SHIPPED)

NEW = Release(
    "2.0",
    {
        "VERSION": text("2.0\n"),
        "unit": text("unit 2\n"),
        "bin/tool": text("tool 2\n", 0o755),
        "bin/same": text("same\n", 0o755),
        "lib/one": text("one 2\n"),
        "lib/new/two": text("two 2\n" * 999),
        "etc/default": text("level = 2\n"),
        "etc/edited": text("colour = green\n"),
        "etc/kept.conf": text("shipped default 2\n"),
        "now": link("lib/new/two"),
        "dir_to_file": text("is a file\n"),
        "file_to_dir/inner": text("is in a directory\n"),
        "link_to_file": text("is a file\n", 0o755),
        "file_to_link": link("bin/tool"),
        "dir_to_link": link("lib"),
        "other_mode": folder(0o750),
        "other_mode/same": text("same in both\n"),
        "pair/a": text("one file 2\n"),
        "pair/b": text("one file 2\n"),
    },
)

KEEP = ["*.conf"]

CONFIG = ["etc/edited", "inputs/etc/edited", "etc/fetched", "inputs/etc/fetched"]
"""Their default changes, and where others have worked on the node, they have changed it, too."""


def inside(part: str, release: Release) -> Release:
    """The release with all of it in a directory."""
    tree, fetched = (
        {f"{part}/{path}": thing for path, thing in each.items()}
        for each in (release.tree, release.fetched)
    )
    return Release(release.version, tree, fetched)


def live(release: Release, own: bool) -> Tree:
    """The old version as it lies there; with `own`, what others made of it, too."""
    found = {entry["path"]: folder() for entry in release.files if entry["type"] == "dir"}
    return {**found, **release.whole, **(_OWN if own else {})}


def drifted(layout: str) -> tuple[Release, Release, Tree]:
    """As `of_layout`, where the new release lies there already and somebody has changed it."""
    _, new, before = of_layout(layout)
    part = "inputs/" if layout == "swap" else ""
    tree = live(new, own=False)
    tree[f"{part}bin/tool"] = text("tool 2, and a byte\n", 0o755)
    del tree[f"{part}lib/new/two"]
    if layout == "versions":
        tree = {f"2.0/{path}": thing for path, thing in tree.items()}
        return new, new, {**tree, "2.0": folder(), ".version": text("2.0\n", 0o640)}
    beside = {path: thing for path, thing in before.items() if path == "beside"}
    return new, new, {**tree, **beside}


_FETCHED_FIRST: Tree = {
    "lib/one": text("from elsewhere 1\n"),
    "etc/fetched": text("from elsewhere 1\n"),
    "lib/new/gone": text("no longer fetched\n"),
}
_FETCHED_THEN: Tree = {
    "lib/one": text("from elsewhere 2\n"),
    "etc/fetched": text("from elsewhere 2\n"),
    "etc/fresh": text("new\n"),
}


def reconfigured(layout: str) -> tuple[Release, Release, Tree]:
    """As `of_layout`, where the release is there already, with other configuration."""
    _, plain, _ = of_layout(layout)
    part = "inputs/" if layout == "swap" else ""
    old, new = (
        Release("2.0", plain.tree, {f"{part}{path}": thing for path, thing in fetched.items()})
        for fetched in (_FETCHED_FIRST, _FETCHED_THEN)
    )
    tree = {**live(old, own=False), f"{part}etc/fetched": text("mine\n", 0o640)}
    if layout == "versions":
        tree = {f"2.0/{path}": thing for path, thing in tree.items()}
        return old, new, {**tree, "2.0": folder(), ".version": text("2.0\n", 0o640)}
    return old, new, tree


_SMALL = {
    "etc/fetched",
    "etc/fresh",
    "lib/new/gone",
    "VERSION",
    "unit",
    "bin/tool",
    "lib/one",
    "plugins/a",
    "etc/kept.conf",
    "mixed/ours",
    "lib/new/two",
    "dir_to_file",
    "dir_to_file/inner",
    "file_to_dir",
    "file_to_dir/inner",
    "other_mode",
    "other_mode/same",
    "pair/a",
    "pair/b",
}
"""One of each kind: what is crashed twice and three times has the square and the cube of cases."""


def small(whole: tuple[Release, Release, Tree]) -> tuple[Release, Release, Tree]:
    """The same with one thing of each kind."""
    old, new, tree = whole
    return _fewer(old), _fewer(new), {path: tree[path] for path in tree if _is_small(path)}


def _fewer(release: Release) -> Release:
    tree = release.tree
    fewer = {path: tree[path] for path in tree if _is_small(path)}
    return Release(release.version, fewer, release.fetched)


def _is_small(path: str) -> bool:
    """By its end: releases of `swap` and trees of `versions` have it in another directory."""
    ends = _SMALL | {above for each in _SMALL for above in _above(each)}
    ends |= {"1.0", "2.0", ".version", "inputs", "deep", "deep/ncf", "deep/ncf/lib", "beside"}
    for start in ("1.0/", "2.0/", "inputs/", ""):
        if path.startswith(start):
            return path[len(start) :] in ends
    return False


def of_layout(layout: str) -> tuple[Release, Release, Tree]:
    """Old release, new release, and what lies on the node, relative to the product's directory."""
    if layout == "versions":
        kept = {"etc/kept.conf": _OWN["etc/kept.conf"], "etc/second.conf": text("also mine\n")}
        tree = {f"1.0/{path}": thing for path, thing in {**live(OLD, own=False), **kept}.items()}
        return OLD, NEW, {**tree, "1.0": folder(), ".version": text("1.0\n", 0o640)}
    if layout == "overlay":
        return OLD, NEW, live(OLD, own=True)
    old = Release("1.0", {**inside("inputs", OLD).tree, "deep/ncf/lib": text("ncf 1\n")})
    new = Release("2.0", {**inside("inputs", NEW).tree, "deep/ncf/lib": text("ncf 2\n")})
    mine = {f"inputs/{path}": thing for path, thing in live(OLD, own=True).items()}
    for path, thing in _OWN.items():
        if thing.same_as:
            mine[f"inputs/{path}"] = Thing(same_as=f"inputs/{thing.same_as}")
    return old, new, {**live(old, own=False), **mine, "beside": text("not swapped\n")}
