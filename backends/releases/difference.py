"""How two releases differ, file by file: pure, from their manifests."""

from dataclasses import dataclass
from typing import Any

from backends.releases.manifest import FileEntry, Manifest


@dataclass(frozen=True, slots=True)
class Changed:
    """One path in both releases, and not the same."""

    old: FileEntry
    new: FileEntry

    @property
    def what(self) -> str:
        """In words: type, content, mode, target."""
        said = []
        if self.old.type != self.new.type:
            said.append(f"a {self.old.type} became a {self.new.type}")
        elif self.old.sha256 != self.new.sha256:
            said.append(f"{self.old.size} -> {self.new.size} bytes")
        if self.old.target != self.new.target and self.new.type == self.old.type:
            said.append(f"to {self.new.target} instead of {self.old.target}")
        if self.old.mode != self.new.mode and self.new.type == self.old.type:
            said.append(f"{self.old.mode:04o} -> {self.new.mode:04o}")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Difference:
    """What an upgrade from one to the other changes. Everything sorted by path."""

    added: tuple[FileEntry, ...]
    removed: tuple[FileEntry, ...]
    changed: tuple[Changed, ...]
    new_bytes: int
    """Bytes of contents that the old release does not have under any name."""

    @property
    def is_empty(self) -> bool:
        """Whether both hold the same."""
        return not (self.added or self.removed or self.changed)


def difference(old: Manifest, new: Manifest) -> Difference:
    """From the old one to the new one."""
    before = {entry.path: entry for entry in old.files}
    after = {entry.path: entry for entry in new.files}
    known = {entry.sha256 for entry in old.files}
    fresh = {entry.sha256: entry.size for entry in new.files if entry.sha256 not in known}
    return Difference(
        added=tuple(entry for path, entry in after.items() if path not in before),
        removed=tuple(entry for path, entry in before.items() if path not in after),
        changed=tuple(
            Changed(before[path], entry)
            for path, entry in after.items()
            if path in before and before[path] != entry
        ),
        new_bytes=sum(fresh.values()),
    )


def to_json(found: Difference) -> dict[str, Any]:
    """As plain JSON values: paths, and for what changed, what."""
    return {
        "added": [entry.path for entry in found.added],
        "removed": [entry.path for entry in found.removed],
        "changed": [{"path": each.new.path, "what": each.what} for each in found.changed],
        "new_bytes": found.new_bytes,
    }
