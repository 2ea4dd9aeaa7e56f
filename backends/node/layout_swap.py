"""The `swap` layout: checked directories take the place of the live ones, all or none.

Either the product's directory itself, or those named in `directories`, which lie in it and are
the top of the release's tree. Source: Rudder's story #5641 of the seeds.
"""

import os
from typing import Dict, List, Optional

from backends.node import contexts, images, keeping, ownership
from backends.node.layout import Entry, FlatLayout, Unfit, below
from backends.node.steps import Intent, Step, intend


class SwapLayout(FlatLayout):
    """Whole directories are exchanged."""

    @property
    def parts(self) -> List[str]:
        """The swapped directories, relative to the product's; [""] is that one itself."""
        return list(self.document["directories"]) or [""]

    @property
    def top(self) -> str:
        """The directory that the swapped ones lie in."""
        directory = self.places.directory
        return directory if self.document["directories"] else os.path.dirname(directory)

    def _is_empty(self) -> bool:
        return not any(os.path.lexists(self._live(part)) for part in self.parts)

    def _live(self, part: str) -> str:
        return os.path.join(self.places.directory, part) if part else self.places.directory

    def _staged(self, version: str, part: str) -> str:
        tree = self.places.staged_tree(version)
        return os.path.join(tree, part) if part else tree

    def _kept_in(self, part: str) -> keeping.Leave:
        return lambda path: self.is_kept(os.path.join(part, path))

    def does_not_count(self, path: str) -> bool:
        """Also what lies beside the swapped directories."""
        return super().does_not_count(path) or not any(
            not part or path == part or path.startswith(part + "/") or part.startswith(path + "/")
            for part in self.parts
        )

    def compare(self, version: str, files: List[Entry]) -> images.Comparison:
        """Only the swapped directories count."""
        whole = images.Comparison()
        for part in self.parts:
            found = images.compare(self._live(part), below(files, part), self._kept_in(part))
            whole.add(found, part)
        return whole

    def counted(self, files: List[Entry]) -> List[Entry]:
        """Only what lies in the swapped directories."""
        inside = [part + "/" if part else "" for part in self.parts]
        return [
            entry
            for entry in super().counted(files)
            if any(entry["path"].startswith(start) for start in inside)
        ]

    def compile(self, version: str, txn: str) -> List[Intent]:
        """One step a directory; those above it that are missing come with it."""
        files = (self.coming(version) or {"files": []})["files"]
        self._refuse_outside(files)
        self.refuse_collisions(version)
        steps: List[Intent] = []
        for part in sorted({self._missing_above(part) for part in self.parts}):
            live, staged = self._live(part), self._staged(version, part)
            if not os.path.isdir(staged):
                raise Unfit("the release has no directory %s" % part)
            if os.path.lexists(live) and (os.path.islink(live) or not os.path.isdir(live)):
                raise Unfit("%s is no directory of its own" % live)
            ownership.give_all(self.document, staged)
            contexts.follow(staged, live)
            number = len(steps)
            steps.append(intend(number, "tree", live, staged, self.store(txn, number)))
        return steps

    def _missing_above(self, part: str) -> str:
        """The outermost directory above a part that is not there; else the part itself."""
        for above in images.directories_above(part):
            if not os.path.lexists(self._live(above)):
                return above
        return part

    def _refuse_outside(self, files: List[Entry]) -> None:
        for entry in files:
            path = entry["path"]
            within = any(
                not part or path == part or path.startswith(part + "/") for part in self.parts
            )
            above = entry["type"] == "dir" and any(
                part.startswith(path + "/") for part in self.parts
            )
            if not within and not above:
                raise Unfit("%s lies in none of %s" % (path, ", ".join(self.parts)))

    def untouched(self, previous: str, target: str, steps: List[Step]) -> Optional[List[Entry]]:
        """Nothing: each step proves a whole directory."""
        return []

    def carried(self, previous: str, version: str) -> Dict[str, str]:
        """What lives on is copied into the new directories; the old ones keep their own."""
        found: Dict[str, str] = {}
        for part in self.parts:
            found.update(
                self.living_on(self._live(part), self._staged(version, part), self._kept_in(part))
            )
        return found

    def lost_with(self, step: Step, previous: Optional[str]) -> Dict[str, str]:
        """What the old directory holds that its release does not know."""
        if not step.parks:
            return {}
        part = (
            ""
            if step.path == self.places.directory
            else os.path.relpath(step.path, self.places.directory)
        )
        return self.unknown_in(step.store, self.manifest(previous) if previous else None, part)
