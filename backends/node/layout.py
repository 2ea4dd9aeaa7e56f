"""The `versions` layout: `<directory>/<version>/` and a pointer that is switched by one rename.

Source: design.md, section 5, "Layouts". The pointer is the file `.version` or the link `current`.
"""

import os
from typing import Any, Dict, List, Optional

from backends.node import images
from backends.node.places import Places, read_json, remove_if_there, sync_directory, write_file
from backends.node.steps import Intent, intend

_NO_VERSION = frozenset(["", "current"])


def is_version_name(name: str) -> bool:
    """Whether a version can be the name of a directory beside the pointer."""
    return name not in _NO_VERSION and "/" not in name and not name.startswith(".")


class PointerUnreadable(Exception):
    """There is a pointer, but it names no version."""


def pointer_path(document: Dict[str, Any], places: Places) -> str:
    """Where the pointer is."""
    return os.path.join(places.directory, document["pointer"])


def selected(document: Dict[str, Any], places: Places) -> Optional[str]:
    """The version that the pointer names, or None when there is no pointer.

    Raises:
        PointerUnreadable: There is one, but it names no version beside it.
    """
    path = pointer_path(document, places)
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


def installed(places: Places) -> List[str]:
    """Versions whose directory is there."""
    try:
        names = sorted(os.listdir(places.directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if is_version_name(name) and os.path.isdir(places.tree(name))]


def compile_steps(
    document: Dict[str, Any], places: Places, version: str, txn: str
) -> List[Intent]:
    """The steps to `version`, with their new files prepared and their before-images taken.

    A tree that is already in place and exactly the release is left alone.

    Raises:
        OSError: Something cannot be read or prepared.
    """
    steps: List[Intent] = []
    manifest = read_json(places.manifest(version)) or {"files": []}
    tree = places.tree(version)
    if not os.path.isdir(tree) or not images.compare(tree, manifest["files"]).is_exact:
        steps.append(
            intend(0, "tree", tree, os.path.join(places.staging, version), _store(places, txn, 0))
        )
    pointer = pointer_path(document, places)
    prepared = os.path.join(places.new, "%s.pointer" % txn)
    _prepare_pointer(document, prepared, version)
    number = len(steps)
    steps.append(intend(number, "put", pointer, prepared, _store(places, txn, number)))
    return steps


def _store(places: Places, txn: str, number: int) -> str:
    return os.path.join(places.store, "%s.%d" % (txn, number))


def _prepare_pointer(document: Dict[str, Any], path: str, version: str) -> None:
    if document["pointer"] == ".version":
        write_file(path, version.encode("utf-8") + b"\n", 0o644)
        return
    remove_if_there(path)
    os.symlink(version, path)
    sync_directory(os.path.dirname(path))
