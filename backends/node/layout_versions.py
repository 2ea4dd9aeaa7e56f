"""The `versions` layout: `<directory>/<version>/` and a pointer that is switched by one rename.

The pointer is the file `.version` or the link `current`. Source: the ops-updater of the seeds.
"""

import os
from typing import Dict, List, Optional

from backends.node import contexts, images, ownership
from backends.node.layout import Entry, Layout, PointerUnreadable, is_version_name
from backends.node.places import remove_if_there, sync_directory, write_file
from backends.node.steps import Intent, Step, intend


class VersionsLayout(Layout):
    """Every version has a directory of its own."""

    @property
    def pointer(self) -> str:
        """Where the pointer is."""
        return os.path.join(self.places.directory, self.document["pointer"])

    def selected(self) -> Optional[str]:
        """The version that the pointer names, or None when there is no pointer."""
        path = self.pointer
        found = images.image(path, content=False)
        if found["kind"] == "absent":
            return None
        if found["kind"] == "link":
            name = str(found["target"])
        elif found["kind"] == "file" and found["size"] <= 256:
            try:
                with open(path, "rb") as stream:
                    name = stream.read().decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise PointerUnreadable("%s is no text" % path) from error
            except OSError as error:
                raise PointerUnreadable("%s: %s" % (path, error.strerror)) from error
        else:
            raise PointerUnreadable("%s is a %s, not a pointer" % (path, found["kind"]))
        if not is_version_name(name):
            raise PointerUnreadable("%s names %r, no version" % (path, name[:100]))
        return name

    def installed(self) -> List[str]:
        """Versions whose directory is there."""
        places = self.places
        try:
            names = sorted(os.listdir(places.directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            name for name in names if is_version_name(name) and os.path.isdir(places.tree(name))
        ]

    def is_there(self, files: List[Entry], version: str) -> bool:
        """Staged, or in place already from an earlier time."""
        return self.staged_fits(files, version) or self._is_in_place(files, version)

    def _is_in_place(self, files: List[Entry], version: str) -> bool:
        """What lives on is copied into a tree of its own, never into one that is in place."""
        if self.document["keep"] or self.document["config"]:
            return False
        tree = self.places.tree(version)
        return os.path.isdir(tree) and images.compare(tree, files).is_exact

    def compile(self, version: str, txn: str) -> List[Intent]:
        """The tree, unless it is there already."""
        manifest = self.coming(version) or {"files": []}
        tree = self.places.tree(version)
        if self._is_in_place(manifest["files"], version):
            return []
        staged = self.places.staged_tree(version)
        self.refuse_collisions(version)
        ownership.give_all(self.document, staged)
        contexts.follow(staged, self.places.tree(self.selected() or version))
        return [intend(0, "tree", tree, staged, self.store(txn, 0))]

    def point(self, number: int, version: str, txn: str) -> Intent:
        """The pointer, by one rename."""
        prepared = os.path.join(self.places.new, "%s.pointer" % txn)
        self._prepare_pointer(prepared, version)
        return intend(number, "put", self.pointer, prepared, self.store(txn, number))

    def _prepare_pointer(self, path: str, version: str) -> None:
        if self.document["pointer"] == ".version":
            write_file(path, version.encode("utf-8") + b"\n", 0o644)
            return
        remove_if_there(path)
        os.symlink(version, path)
        sync_directory(os.path.dirname(path))

    def forget_prepared(self, txn: str) -> None:
        """The pointer that was not needed any more."""
        remove_if_there(os.path.join(self.places.new, "%s.pointer" % txn))

    def untouched(self, previous: str, target: str, steps: List[Step]) -> Optional[List[Entry]]:
        """The whole old tree: nothing in it is anybody's step.

        A version that is installed again has its tree exchanged: that step proves it. Without
        such a step what was to be installed lay there already.
        """
        own = self.places.tree(previous)
        if previous == target and (not steps or any(step.path == own for step in steps)):
            return []
        manifest = self.coming(target) if previous == target else self.manifest(previous)
        return None if manifest is None else list(manifest["files"])

    def compare_old(self, version: str, files: List[Entry]) -> images.Comparison:
        """Its configuration may have been edited since: nothing of ours is in the old tree."""
        is_left = [self.is_kept, self.is_config]
        tree = self.places.tree(version)
        return images.compare(tree, files, lambda path: any(leaves(path) for leaves in is_left))

    def carried(self, previous: str, version: str) -> Dict[str, str]:
        """What lives on is copied into the new tree; the old one keeps its own."""
        return self.living_on(
            self.places.tree(previous), self.places.staged_tree(version), self.is_kept
        )

    def lost_with(self, step: Step, previous: Optional[str]) -> Dict[str, str]:
        """A directory that stood where the new tree is: what is not the release's is kept."""
        if not step.parks:
            return {}
        version = os.path.basename(step.path)
        found = self.unknown_in(step.store, self.manifest(version), "")
        return {path: os.path.join(version, name) for path, name in found.items()}
