"""Configuration files: shipped with a default, edited by people. Whose stays is decided once.

Three are held against each other, before anything is changed: the old default, what lies there
now, and the new default. What nobody edited is replaced; what was edited stays; where the default
has changed as well, the new one is put beside it, and a person is told. Source: notes on
reliability, 4.9.
"""

import os
import stat
from typing import Any, Dict, List, NamedTuple, Optional

from backends.node import images, keeping
from backends.node.layout import NEW, Layout, PointerUnreadable
from backends.node.places import make_directories, names_in, read_json, remove_tree, write_file

_MOST_BYTES = 1 << 20
"""A larger file is no text that somebody edits."""


class Decided(NamedTuple):
    """Paths relative to the version's tree."""

    kept: List[str]
    """Edited, or of unknown origin: what lies there stays."""

    beside: List[str]
    """Those of them whose default has changed, too: the new one is put beside."""

    removed: List[str]
    """Shipped by the old version, and taken away since: they come with the new one."""


def decide(layout: Layout, version: str, digest: Optional[str]) -> Decided:
    """What becomes of each configuration file when `version` with this content is installed.

    Raises:
        PointerUnreadable: It is not known what lies there.
        OSError: Something cannot be read.
    """
    found = Decided([], [], [])
    selected = layout.selected()
    if selected is None or not layout.document["config"]:
        return found
    is_config = layout.is_config
    # Of an adopted version nobody knows which of its files were edited.
    old = layout.manifest(selected) or {"files": [], "source": ""}
    before = _by_path(old["files"] if old["source"] == "release" else [])
    after = _by_path((layout.record_of(version, digest) or {"files": []})["files"])
    tree = layout.places.tree(selected)
    for path, about in images.walk(tree, keeping.ours) if os.path.isdir(tree) else ():
        if not is_config(path) or stat.S_ISDIR(about.st_mode) or _is_new_of(tree, path):
            continue
        live, old_entry, new_entry = os.path.join(tree, path), before.get(path), after.get(path)
        if old_entry is not None and images.is_as_listed(live, old_entry):
            continue
        found.kept.append(path)
        is_other = new_entry is not None and not images.is_as_listed(live, new_entry)
        if is_other and not _same(old_entry, new_entry):
            found.beside.append(path)
    gone = (path for path in sorted(before) if is_config(path))
    found.removed.extend(path for path in gone if not os.path.lexists(os.path.join(tree, path)))
    return found


def settled(document: Dict[str, Any], decided: Decided, digest: Optional[str]) -> Dict[str, Any]:
    """The document of the upgrade to this content.

    What somebody touched stays, and what was put beside it.
    """
    news = [path + NEW for path in decided.kept]
    stays = decided.kept + news + decided.removed
    return dict(document, decided=dict(decided._asdict(), stays=stays, digest=digest))


def edited_since(layout: Layout) -> List[str]:
    """Configuration that was edited since it was decided about: it must not be taken for old.

    `layout` is that of the upgrade; nothing of it is in place yet.

    Raises:
        PointerUnreadable, OSError: It cannot be read.
    """
    decided = set(layout.document["decided"]["kept"])
    return [path for path in decide(layout, "", None).kept if path not in decided]


def _is_new_of(tree: str, path: str) -> bool:
    """Whether this is a new default that was put beside an edited file."""
    return path.endswith(NEW) and os.path.lexists(os.path.join(tree, path[: -len(NEW)]))


def keep_defaults(layout: Layout, version: str, files: List[Dict[str, Any]], folder: str) -> None:
    """Keep in a folder what a staged version ships: nothing else tells it once it was edited.

    Those of other versions than this one, the selected one and the one before are given up.
    """
    places, is_config = layout.places, layout.is_config
    staged = places.staged_tree(version)
    tree = staged if os.path.isdir(staged) else places.tree(version)
    remove_tree(folder)
    if layout.document["config"]:
        make_directories(folder)  # also of none: then it is known that it ships none
    for entry in files:
        path = entry["path"]
        if entry["type"] != "file" or not is_config(path) or entry["size"] > _MOST_BYTES:
            continue
        goal = os.path.join(folder, path)
        make_directories(os.path.dirname(goal))
        with open(os.path.join(tree, path), "rb") as stream:
            write_file(goal, stream.read())
    marker = read_json(places.finalized) or {}
    try:
        stays = (version, layout.selected(), (marker.get("previous") or {}).get("version"))
    except PointerUnreadable:
        return
    for name in names_in(places.defaults):
        if name not in stays:
            remove_tree(places.default(name))


def in_words(decided: Decided) -> str:
    """What becomes of them, in one line."""
    parts = []
    if decided.kept:
        parts.append("edited, and stays: %s" % _few(decided.kept))
    if decided.beside:
        named = [path + NEW for path in decided.beside]
        parts.append("the default has changed, too, and is put beside it: %s" % _few(named))
    if decided.removed:
        parts.append("was removed, and comes with the release: %s" % _few(decided.removed))
    return "; ".join(parts) or "none was edited"


def _few(paths: List[str]) -> str:
    more = " and %d more" % (len(paths) - 5) if len(paths) > 5 else ""
    return ", ".join(paths[:5]) + more


def _by_path(files: List[Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    return {entry["path"]: entry for entry in files if entry["type"] != "dir"}


def _same(one: Any, other: Any) -> bool:
    """Whether two entries of manifests are the same content."""
    names = ("type", "mode", "sha256", "target")
    return bool(one) and all(one[name] == other[name] for name in names)
