"""The `overlay` layout: the files of an install directory are replaced one by one.

What both versions ship with equal content stays untouched. What the old release shipped and the
new one does not is removed; of a version that was only adopted nobody knows what it shipped, so
there nothing is removed. Source: the BindPlane updater of the seeds, features B5 to B10 and B20.
"""

import os
from typing import Dict, Iterator, List, Optional, Set

from backends.node import contexts, images, keeping, ownership
from backends.node.layout import NEW, Entry, FlatLayout, Manifest, Unfit
from backends.node.places import names_in
from backends.node.steps import Intent, Step, intend, intend_keep, intend_mode


class OverlayLayout(FlatLayout):
    """Files are exchanged where they lie."""

    _shipped: Optional[Dict[str, Entry]] = None
    """By the old release; read once for all steps."""

    def _is_empty(self) -> bool:
        try:
            names = os.listdir(self.places.directory)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return all(keeping.ours(name) for name in names)

    def compare(self, version: str, files: List[Entry]) -> images.Comparison:
        """Only what the manifest names is looked at: the directory holds other things, too."""
        return images.compare(self.places.directory, files, self.is_kept, named_only=True)

    def compile(self, version: str, txn: str) -> List[Intent]:
        """Removals and replacements in order of path, parents first."""
        for path in self._kept_here():
            if not os.path.islink(path) and os.stat(path).st_nlink > 1:
                raise Unfit("%s lives on and has other names: no copy could bring it back" % path)
        new = self._entries(version)
        return _Compiler(self, new, self._shipped_before(), version, txn).steps()

    def _entries(self, version: str) -> Dict[str, Entry]:
        """The release's entries by path, with the directories that it only implies."""
        files = (self.coming(version) or {"files": []})["files"]
        found: Dict[str, Entry] = {}
        for entry in files:
            for parent in images.directories_above(entry["path"]):
                found.setdefault(parent, {"path": parent, "type": "dir", "mode": None})
            found[entry["path"]] = entry
        return found

    def _shipped_before(self) -> Dict[str, Entry]:
        previous = self.selected()
        return _shipped_by(self.manifest(previous) if previous else None)

    def kept_in_place(self, own: Set[str], txn: str, number: int) -> List[Intent]:
        """A copy of each file that lives on, so that it comes back as it was.

        Also of configuration that is equal in both versions: somebody may edit it before the end.
        """
        found: List[Intent] = []
        for path in self._kept_here(self.is_config):
            if path in own:
                continue
            store = self.store(txn, number + len(found))
            found.append(intend_keep(number + len(found), path, store))
        return found

    def _kept_here(self, also: keeping.Leave = images.nothing) -> Iterator[str]:
        top = self.places.directory
        for relative, _ in images.walk(top, keeping.ours):
            path = os.path.join(top, relative)
            lives_on = self.is_kept(relative) or also(relative)
            if lives_on and (os.path.islink(path) or os.path.isfile(path)):
                yield path

    def untouched(self, previous: str, target: str, steps: List[Step]) -> Optional[List[Entry]]:
        """What was equal in both versions: the new one may have written into it."""
        manifest = self.coming(target)
        if manifest is None:
            return None
        if not steps:
            return []  # before the intents nothing was touched at all
        top = self.places.directory
        own = {os.path.relpath(step.path, top) for step in steps}
        whole = {os.path.relpath(step.path, top) for step in steps if step.op != "mode"}
        return [
            entry
            for entry in manifest["files"]
            if entry["path"] not in own
            and not whole.intersection(images.directories_above(entry["path"]))
        ]

    def left_by_a_first_install(self) -> Dict[str, str]:
        """All that is not ours: before there was nothing, so the new version left it."""
        top = self.places.directory
        return {os.path.join(top, name): name for name in names_in(top) if not keeping.ours(name)}

    def lost_with(self, step: Step, previous: Optional[str]) -> Dict[str, str]:
        """Replaced or removed files that are not what the old release shipped."""
        if step.path == self.places.selected or step.op in ("keep", "mode"):
            return {}
        relative = os.path.relpath(step.path, self.places.directory)
        if step.parks:
            manifest = self.manifest(previous) if previous else None
            return self.unknown_in(step.store, manifest, relative, kept_elsewhere=False)
        if step.before["kind"] == "absent" or not os.path.lexists(step.store):
            return {}
        if self._shipped is None:
            self._shipped = _shipped_by(self.manifest(previous) if previous else None)
        expected = self._shipped.get(relative)
        if expected is not None and images.is_as_listed(step.store, expected):
            return {}
        return {step.store: relative}


def _shipped_by(manifest: Optional[Manifest]) -> Dict[str, Entry]:
    """What a release brought, by path; nothing is known of a version that was adopted."""
    if manifest is None or manifest["source"] != "release":
        return {}
    return {entry["path"]: entry for entry in manifest["files"]}


class _Compiler:
    """Holds the new release against what lies there, path by path."""

    def __init__(
        self,
        layout: OverlayLayout,
        new: Dict[str, Entry],
        old: Dict[str, Entry],
        version: str,
        txn: str,
    ) -> None:
        self._layout = layout
        self._top = layout.places.directory
        self._staged = layout.places.staged_tree(version)
        self._new = new
        self._old = old
        self._txn = txn
        self._found: List[Intent] = []
        self._whole: Set[str] = set()
        """Directories that one step moves as they are: no other step lies inside."""

    def steps(self) -> List[Intent]:
        """All steps, in order of path."""
        for path in sorted(set(self._new) | set(self._old)):
            if self._whole.intersection(images.directories_above(path)):
                continue
            if path in self._new:
                self._place(path, self._new[path])
            else:
                self._take_away(path)
        for path in sorted(self._layout.beside):
            self._add("put", path + NEW, path)
        return self._found

    def _place(self, path: str, entry: Entry) -> None:
        live = os.path.join(self._top, path)
        now = images.image(live, content=False)
        if now["kind"] == "other":
            raise Unfit("%s is no file, directory or link" % live)
        if self._layout.is_kept(path) and now["kind"] in ("file", "link"):
            self._whole.add(path)  # nothing of the release is put behind a link that stays
            return
        if entry["type"] == "dir":
            self._place_directory(path, entry, now)
        elif not self._is_equal(live, entry, now):
            if now["kind"] == "dir":
                self._refuse_kept(path)
                self._whole.add(path)
            self._add("put", path)

    def _refuse_kept(self, path: str) -> None:
        """Raises Unfit when a directory that a file shall replace holds what lives on."""
        for relative, _ in images.walk(os.path.join(self._top, path)):
            if self._layout.is_kept(os.path.join(path, relative)):
                raise Unfit(
                    "%s lives on, but the release has a file %s"
                    % (os.path.join(self._top, path, relative), path)
                )
        if self._layout.is_kept(path):
            raise Unfit("%s lives on, but the release has a file there" % path)

    def _place_directory(self, path: str, entry: Entry, now: images.Image) -> None:
        live = os.path.join(self._top, path)
        if now["kind"] == "link" and self._old.get(path, {}).get("type") != "link":
            raise Unfit(
                "%s is a link that the old release did not ship; the new one has a directory there"
                % live
            )
        if now["kind"] != "dir":
            self._whole.add(path)
            self._add("tree", path)
            return
        uid, gid = ownership.wanted(self._layout.document, now)
        mode = now["mode"] if entry["mode"] is None else entry["mode"]
        if (mode, uid, gid) != (now["mode"], now["uid"], now["gid"]):
            number = len(self._found)
            after = {"mode": mode, "uid": uid, "gid": gid}
            store = self._layout.store(self._txn, number)
            self._found.append(intend_mode(number, live, after, store))

    def _is_equal(self, live: str, entry: Entry, now: images.Image) -> bool:
        if now["kind"] == "absent" or not images.is_as_listed(live, entry):
            return False
        return ownership.wanted(self._layout.document, now) == (now["uid"], now["gid"])

    def _take_away(self, path: str) -> None:
        live = os.path.join(self._top, path)
        now = images.image(live, content=False)
        if now["kind"] in ("absent", "other") or self._layout.is_kept(path):
            return
        if self._is_led_away(path):
            return
        if now["kind"] == "dir":
            if self._old[path]["type"] != "dir" or self._holds_foreign(path):
                return  # it stays, with what is foreign in it; our files in it go one by one
            self._whole.add(path)
        self._add("remove", path)

    def _is_led_away(self, path: str) -> bool:
        """Whether somebody put a link in the place of a directory on the way."""
        return any(
            os.path.islink(os.path.join(self._top, parent))
            for parent in images.directories_above(path)
        )

    def _holds_foreign(self, path: str) -> bool:
        for relative, _ in images.walk(os.path.join(self._top, path)):
            whole = os.path.join(path, relative)
            if whole not in self._old or self._layout.is_kept(whole):
                return True
        return os.path.ismount(os.path.join(self._top, path))

    def _add(self, op: str, path: str, source: Optional[str] = None) -> None:
        """One more step; what is put comes from `source`, by default the release's own path."""
        live = os.path.join(self._top, path)
        number = len(self._found)
        new = None
        if op != "remove":
            new = os.path.join(self._staged, source or path)
            ownership.give_like(self._layout.document, new, live)
            contexts.follow(new, live)
        self._found.append(intend(number, op, live, new, self._layout.store(self._txn, number)))
