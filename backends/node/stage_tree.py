"""The staged tree: built aside from copies of the blobs, and named when it is durable."""

import os
import stat
from typing import Any, Dict, List

from backends.node import blobs, images
from backends.node.places import Places, make_directories, remove_tree, sync_directory
from backends.node.refusal import Refused


def build(places: Places, version: str, files: List[Dict[str, Any]], created: int) -> None:
    """Build the tree of a version.

    Owner is who we are, modes are the manifest's, times are the release's.
    """
    goal = places.staged_tree(version)
    beside = os.path.join(places.staging, ".part-" + version)
    remove_tree(beside)
    make_directories(beside)
    for entry in sorted(files, key=lambda entry: str(entry["path"])):
        path = os.path.join(beside, entry["path"])
        parent = os.path.dirname(path)
        if not os.path.isdir(parent):
            os.makedirs(parent, 0o755)
        if entry["type"] == "dir":
            os.makedirs(path, 0o755, exist_ok=True)
        elif entry["type"] == "link":
            os.symlink(entry["target"], path)
        else:
            if not blobs.copy(blobs.path_of(places, entry["sha256"]), path, entry["sha256"]):
                raise Refused("blob-damaged", "blob %s was changed here" % entry["sha256"])
    _finish_metadata(beside, files, created)
    remove_tree(goal)
    os.rename(beside, goal)
    sync_directory(places.staging)


def _finish_metadata(top: str, files: List[Dict[str, Any]], created: int) -> None:
    """Modes and times, deepest first, because writing into a directory changes its time."""
    stated = {entry["path"]: entry for entry in files}
    paths = [relative for relative, _ in images.walk(top)]
    for relative in sorted(paths, reverse=True):
        path = os.path.join(top, relative)
        found = os.lstat(path)
        if not stat.S_ISLNK(found.st_mode):
            mode = stated[relative]["mode"] if relative in stated else 0o755
            os.chmod(path, int(mode) & 0o777)
        os.utime(path, (created, created), follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            sync_directory(path)
    os.chmod(top, 0o755)  # noqa: S103 - a version's directory is for everybody to read
    os.utime(top, (created, created))
    sync_directory(top)
