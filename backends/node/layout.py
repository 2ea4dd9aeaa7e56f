"""How versions lie on the disk, and which steps lead to another one.

Three layouts, each a plan of the same transaction (design.md, section 5, "Layouts"): `versions`,
`overlay` and `swap`. This file holds what they share; `of` gives the one of a product.
"""

import os
import stat
from typing import Any, Dict, List, Optional, Set

from backends.node import images, keeping
from backends.node.canonical import FILE_KEYS
from backends.node.places import Places, read_json, remove_if_there, write_file
from backends.node.steps import Intent, Step, intend

Entry = Dict[str, Any]
"""One of a manifest's files: `{path, type, mode, size, sha256, target}`."""

Manifest = Dict[str, Any]

_PLAIN = (stat.S_ISREG, stat.S_ISLNK, stat.S_ISDIR)

_NO_VERSION = frozenset(["", "current"])


NEW = ".new"
"""The end of the name under which a new default is put beside an edited configuration file."""


class PointerUnreadable(Exception):
    """It cannot be said which version the next start runs."""


class Unfit(Exception):
    """The release does not fit on what lies here; the text names the path. Nothing was changed."""


def is_version_name(name: str) -> bool:
    """Whether a version can be the name of a directory."""
    return name not in _NO_VERSION and "/" not in name and not name.startswith(".")


class Layout:
    """One product's layout on this node."""

    def __init__(self, document: Dict[str, Any], places: Places) -> None:
        self.document = document
        self.places = places
        patterns = document.get("config", [])
        # In an upgrade it was decided of each configuration file by its path whether it stays.
        decided = document.get("decided")
        self.is_config = keeping.kept(patterns)
        if decided is None:
            self.is_kept = keeping.kept(document["keep"] + patterns)
        else:
            self.is_kept = keeping.kept_or(document["keep"], decided["stays"])
        self.beside = frozenset(decided["beside"] if decided else ())
        self._goes_to: Optional[str] = decided.get("digest") if decided else None

    @property
    def top(self) -> str:
        """The outermost directory in which a step may change a name."""
        return self.places.directory

    # --- what lies there ---

    def selected(self) -> Optional[str]:
        """The version that the next start runs; None when the product is not there.

        Raises:
            PointerUnreadable: There is something, but what it is cannot be said.
        """
        raise NotImplementedError

    def installed(self) -> List[str]:
        """Versions whose files are in place."""
        raise NotImplementedError

    def does_not_count(self, path: str) -> bool:
        """Whether a path in the product's tree is ours, or lives on across versions."""
        return keeping.ours(path) or self.is_kept(path)

    def compare(self, version: str, files: List[Entry]) -> images.Comparison:
        """Hold what lies in place against a manifest's list. What lives on does not count.

        Raises:
            OSError: Something cannot be read.
        """
        return images.compare(self.places.tree(version), files, self.is_kept)

    def compare_old(self, version: str, files: List[Entry]) -> images.Comparison:
        """As `compare`, on the way back to a version of which an upgrade changed nothing itself.

        Raises:
            OSError: Something cannot be read.
        """
        return self.compare(version, files)

    def counted(self, files: List[Entry]) -> List[Entry]:
        """What of a manifest's list is held against what lies there."""
        return [entry for entry in files if not self.is_kept(entry["path"])]

    def manifest(self, version: str) -> Optional[Manifest]:
        """What is known of a version's content; of the final version, as it was made final."""
        return read_json(self.places.manifest(version))

    def record_of(self, version: str, digest: Optional[str]) -> Optional[Manifest]:
        """As `manifest`, of the content with this digest where both are known.

        The version that is final may have come once more, with other configuration.
        """
        coming = read_json(self.places.next_manifest(version))
        if coming is not None and coming.get("digest") == digest:
            return coming
        return self.manifest(version)

    def coming(self, version: str) -> Optional[Manifest]:
        """What is known of the content that the upgrade leads to which this layout is for."""
        return self.record_of(version, self._goes_to)

    def recorded(self, version: str, digest: Optional[str]) -> Optional[List[Entry]]:
        """The list of a version's files, see `record_of`; None when nothing is recorded of it.

        Raises:
            OSError, ValueError: It cannot be read, or a part of it is no entry.
        """
        manifest = self.record_of(version, digest)
        if manifest is None:
            return None
        try:
            return [{key: each[key] for key in FILE_KEYS} for each in manifest["files"]]
        except (KeyError, TypeError) as error:
            raise ValueError("what is recorded of %s is damaged: %r" % (version, error)) from error

    def staged_fits(self, files: List[Entry], version: str) -> bool:
        """Whether the staged tree is there and exactly the release."""
        tree = self.places.staged_tree(version)
        return os.path.isdir(tree) and images.compare(tree, files).is_exact

    def is_there(self, files: List[Entry], version: str) -> bool:
        """Whether nothing needs to be staged."""
        return self.staged_fits(files, version)

    # --- the way to another version ---

    def compile(self, version: str, txn: str) -> List[Intent]:
        """The steps to a staged version, new files prepared and before-images taken.

        Raises:
            Unfit, ownership.NoSuchOwner: The release does not fit on what lies here.
            OSError: Something cannot be read or prepared.
        """
        raise NotImplementedError

    def point(self, number: int, version: str, txn: str) -> Intent:
        """The last step: the next start runs this version.

        Raises:
            OSError: It cannot be prepared.
        """
        raise NotImplementedError

    def carried(self, previous: str, version: str) -> Dict[str, str]:
        """Files that are copied from the old tree into the staged one: source -> goal.

        Asked once the old service is gone.
        """
        return {}

    def kept_in_place(self, own: Set[str], txn: str, number: int) -> List[Intent]:
        """Steps for files that live on where they are, numbered from `number`.

        Not for the paths in `own`, which have steps already.
        """
        return []

    def untouched(self, previous: str, target: str, steps: List[Step]) -> Optional[List[Entry]]:
        """What the old version needs and no step owns: proven beside the steps' own paths.

        None when it is not known what that was.
        """
        raise NotImplementedError

    def forget_prepared(self, txn: str) -> None:
        """Remove what `point` has prepared."""
        raise NotImplementedError

    def left_by_a_first_install(self) -> Dict[str, str]:
        """What lies there after the way back to nothing: path -> name to keep it under."""
        return {}

    def lost_with(self, step: Step, previous: Optional[str]) -> Dict[str, str]:
        """What a step's backup holds that nobody could bring back: path -> name to keep it under.

        Foreign and edited files: they are set aside before the backups are given up.
        """
        raise NotImplementedError

    # --- for the layouts themselves ---

    def store(self, txn: str, number: int) -> str:
        """Where a step's backup lies."""
        return os.path.join(self.places.store, "%s.%d" % (txn, number))

    def living_on(self, old: str, new: str, is_kept: keeping.Leave) -> Dict[str, str]:
        """What lives on below `old`, with its place below `new`; no sockets and the like."""
        found = {}
        for relative, about in images.walk(old) if os.path.isdir(old) else ():
            is_plain = any(is_it(about.st_mode) for is_it in _PLAIN)
            if relative.endswith(NEW) and relative[: -len(NEW)] in self.beside:
                continue  # a newer one comes there
            if is_plain and is_kept(relative):
                found[os.path.join(old, relative)] = os.path.join(new, relative)
        return found

    def refuse_collisions(self, version: str) -> None:
        """Raises Unfit when something that lives on has no place in the new tree."""
        selected = self.selected()
        carried = self.carried(selected, version) if selected else {}
        top = self.places.staged_tree(version)
        for source, goal in carried.items():
            inside = os.path.relpath(goal, top)
            above = [os.path.join(top, part) for part in images.directories_above(inside)]
            blocked = [path for path in above if os.path.lexists(path) and not _is_folder(path)]
            if os.path.lexists(goal) and _is_folder(goal) != _is_folder(source):
                blocked.append(goal)
            if blocked:
                raise Unfit("%s lives on, but the release has %s" % (source, blocked[0]))

    def unknown_in(
        self, tree: str, manifest: Optional[Manifest], under: str, kept_elsewhere: bool = True
    ) -> Dict[str, str]:
        """Files in a parked directory that are not what its manifest says; all without one.

        What lives on does not count, if it was copied out of there (`kept_elsewhere`).
        What was adopted was recorded as it lay there: nobody can tell an edited file from a
        shipped one, so all of it counts.
        """
        known = manifest if manifest and manifest["source"] == "release" else {"files": []}

        def is_kept(path: str) -> bool:
            return kept_elsewhere and self.is_kept(os.path.join(under, path))

        found = images.compare(tree, below(known["files"], under), is_kept)
        return {
            os.path.join(tree, path): os.path.join(under, path)
            for path in found.extra + found.changed
        }


class FlatLayout(Layout):
    """A layout in which the product's directory holds one version at a time.

    Which one is a record of ours, the last step of each plan.
    """

    def selected(self) -> Optional[str]:
        """What our record says; without one nothing is there, or nobody knows what."""
        path = self.places.selected
        try:
            with open(path, "rb") as stream:
                name = stream.read(300).decode("utf-8", "replace").strip()
        except FileNotFoundError:
            if self._is_empty():
                return None
            raise PointerUnreadable(
                "no record says which version lies in %s: adopt it" % self.places.directory
            ) from None
        except OSError as error:
            raise PointerUnreadable("%s: %s" % (path, error.strerror)) from error
        if not is_version_name(name):
            raise PointerUnreadable("%s names %r, no version" % (path, name[:100]))
        return name

    def _is_empty(self) -> bool:
        raise NotImplementedError

    def installed(self) -> List[str]:
        """The selected version, if one is known."""
        try:
            name = self.selected()
        except PointerUnreadable:
            return []
        return [] if name is None else [name]

    def point(self, number: int, version: str, txn: str) -> Intent:
        """Our record, switched by one rename like a pointer."""
        new = self._prepared(txn)
        write_file(new, version.encode("utf-8") + b"\n", 0o644)
        return intend(number, "put", self.places.selected, new, new + ".old")

    def forget_prepared(self, txn: str) -> None:
        """The new record and the backup of the old one."""
        for path in (self._prepared(txn), self._prepared(txn) + ".old"):
            remove_if_there(path)

    def _prepared(self, txn: str) -> str:
        """In the state directory, where the record is: `new/` may lie on another file system."""
        return os.path.join(self.places.active, "selected")


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def below(files: List[Entry], under: str) -> List[Entry]:
    """The entries inside a directory of a manifest, with paths relative to it."""
    if not under:
        return files
    start = under + "/"
    return [
        dict(entry, path=entry["path"][len(start) :])
        for entry in files
        if entry["path"].startswith(start)
    ]
