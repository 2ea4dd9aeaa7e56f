"""What lies on a simulated node: the content of versions, and how a tree differs from it.

Contents are shared by all nodes that have them; only what differs is kept per node.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from backends.node.archive import ArchiveError
from backends.node.archive import Tree as Names
from backends.node.canonical import StrictError, configured, files_digest, parse
from backends.releases.build import build

MAX_MANIFEST = 64 << 20
"""Bytes of the longest release manifest, as for the updater."""

Entry = Mapping[str, Any]
"""A path in the words of a release manifest: path, type, mode, size, sha256, target."""


@dataclass(frozen=True)
class Content:
    """The content of one version."""

    version: str
    files: tuple[Entry, ...]
    sequence: int | None = None
    packaged: str | None = None
    """The content digest of the release that it came in; None: it came in none."""

    @cached_property
    def digest(self) -> str:
        """The content digest; see `canonical.files_digest`."""
        return files_digest(self.files)

    def configured(self, configuration: Iterable[Entry]) -> "Content":
        """With configuration from elsewhere in it.

        Raises:
            ValueError: It does not fit into the release.
        """
        files = tuple(configured(self.files, configuration))
        return replace(self, files=files)

    @cached_property
    def blobs(self) -> Mapping[str, int]:
        """SHA-256 -> bytes of each different file content."""
        return {each["sha256"]: int(each["size"]) for each in self.files if each["sha256"]}


@lru_cache(maxsize=64)
def content_of(manifest: bytes) -> Content:
    """The content that a release manifest states.

    Raises:
        StrictError, KeyError, TypeError, ValueError: It is none.
    """
    found = parse(manifest, MAX_MANIFEST)
    if not isinstance(found, dict):
        raise StrictError("no JSON object")
    files = tuple(found["files"])
    refuse_unsafe(files)
    return Content(found["version"], files, found.get("sequence"), files_digest(files))


def refuse_unsafe(files: Iterable[Entry]) -> None:
    """Raises ValueError or ArchiveError for what no tree may hold."""
    tree = Names()
    for each in files:
        if each["type"] not in ("file", "dir", "link"):
            raise ArchiveError("type", each["path"], f"a {each['type']}")
        tree.add(each["path"], each["type"], int(each["size"]), each["target"])
        if each["type"] == "file" and len(bytes.fromhex(each["sha256"])) != 32:
            raise ArchiveError("header", each["path"], "no SHA-256")


class Tree:
    """One version's directory: its content, and what became of it since."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.extra: set[str] = set()
        """What the service or a person wrote beside it."""

        self.changed: set[str] = set()
        self.missing: set[str] = set()

    def listing(self, leave_out: Iterable[str] = ()) -> list[Entry]:
        """All paths with their content, in order; not those to leave out."""
        left = {*leave_out, *self.missing}
        found = [
            {**each, "sha256": sha256_of(b"changed:" + each["path"].encode())}
            if each["path"] in self.changed
            else each
            for each in self.content.files
            if each["path"] not in left
        ]
        found += [file_entry(name, b"written since", 0o644) for name in self.extra - left]
        return sorted(found, key=lambda each: str(each["path"]))


@dataclass
class Comparison:
    """How a tree differs from a manifest's files."""

    equal: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything the manifest names is there and right; extra files may be."""
        return not self.missing and not self.changed

    @property
    def is_exact(self) -> bool:
        """Whether the tree is exactly what the manifest says, and nothing else."""
        return self.is_whole and not self.extra

    def text(self) -> str:
        """In words, at most five paths of each kind."""
        parts = []
        for word in ("missing", "changed", "extra"):
            paths: list[str] = getattr(self, word)
            if paths:
                more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
                parts.append(f"{word}: {', '.join(paths[:5])}{more}")
        whole = self.equal + len(self.missing) + len(self.changed)
        return "; ".join([f"{self.equal} of {whole} as recorded", *parts])


def compare(tree: Tree | None, files: Sequence[Entry]) -> Comparison:
    """Hold a tree against a manifest's list of files."""
    result = Comparison()
    wanted = {str(each["path"]): each for each in files}
    for each in tree.listing() if tree else ():
        expected = wanted.pop(each["path"], None)
        if expected is None:
            result.extra.append(each["path"])
        elif _comparable(expected) == _comparable(each):
            result.equal += 1
        else:
            result.changed.append(each["path"])
    result.missing = sorted(wanted)
    return result


def _comparable(entry: Entry) -> tuple[object, ...]:
    if entry["type"] == "link":
        return ("link", entry["target"])
    if entry["type"] == "dir":
        return ("dir", entry["mode"])
    return (entry["type"], entry["mode"], entry["size"], entry["sha256"])


def sha256_of(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_entry(path: str, data: bytes, mode: int) -> Entry:
    """A file in the words of a manifest."""
    return {
        "path": path,
        "type": "file",
        "mode": mode,
        "size": len(data),
        "sha256": sha256_of(data),
        "target": None,
    }


# --- releases that scenes are made with ---------------------------------------------------------

_CREATED = "2026-10-01T00:00:00Z"
_CONTROL = b"#!/bin/sh\n# start | stop | status | restart | tail\n"


@dataclass(frozen=True)
class SimRelease:
    """A release in memory: small, and with the digest that it also has when it is built."""

    name: str
    version: str
    data: Mapping[str, tuple[int, bytes]]
    """Path -> mode and bytes; no directories."""

    @cached_property
    def content(self) -> Content:
        """The content that a node has of it."""
        return content_of(self.manifest)

    @property
    def digest(self) -> str:
        """The content digest."""
        return self.content.digest

    @cached_property
    def manifest(self) -> bytes:
        """What travels to the node first."""
        files = [file_entry(path, data, mode) for path, (mode, data) in sorted(self.data.items())]
        found = {
            "name": self.name,
            "version": self.version,
            "created": _CREATED,
            "sequence": 1_790_812_800,
            "files": files,
        }
        return json.dumps(found, sort_keys=True).encode()

    def blobs(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """SHA-256 and bytes of the wanted contents."""
        by_sha = {sha256_of(data): data for _, data in self.data.values()}
        for sha in wanted:
            yield sha, by_sha[sha]

    def build(self, folder: Path) -> Path:
        """Build it for real below a folder that is there; the tarball, its manifest beside it."""
        source = folder / f"source-{self.name}-{self.version}"
        source.mkdir(parents=True)
        for path, (mode, data) in self.data.items():
            (source / path).write_bytes(data)
            (source / path).chmod(mode)
        built = build(source, self.name, self.version, folder / "releases")
        if built.digest != self.digest:
            raise AssertionError("what was built is other content than the nodes have")
        return built.tarball


@lru_cache(maxsize=64)
def sim_release(version: str, name: str = "beacon") -> SimRelease:
    """A small release of a product that only exists in here."""
    text = f"{name} {version}\n".encode()
    data = {
        "VERSION": (0o644, f"{version}\n".encode()),
        f"{name}.bin": (0o755, text * 64),
        "control": (0o755, _CONTROL),
    }
    return SimRelease(name, version, data)
