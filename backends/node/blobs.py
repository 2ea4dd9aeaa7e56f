"""The store of blobs: content by its SHA-256, from wherever this node has it.

A blob has its name only when its whole content was hashed and is durable; what is still coming
has another one.
"""

import errno
import fcntl
import hashlib
import io
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

from backends.node import images, wire
from backends.node.places import Places, names_in, read_json, remove_if_there, write_all
from backends.node.refusal import Refused

_PATIENCE_SECONDS = 1.0
"""One that was just cut may need a moment to notice."""

_COUNTED = 1000
"""A look at a node may not take long, however much lies there."""

_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Nothing there, or a link or socket, where a file is looked for."""


@contextmanager
def held(places: Places) -> Iterator[None]:
    """One at a time stages here, or checks what is staged: they use the same names.

    It is no driver's lock: what runs is not touched, and who looks is not told of an upgrade.

    Raises:
        Refused: Somebody else does.
    """
    fd = os.open(places.blobs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while not _is_ours(fd):
            if time.monotonic() > give_up:
                raise Refused(
                    "locked",
                    "somebody else stages on this node, or checks what is staged",
                    "",
                    "wait until that has ended, then start again",
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def _is_ours(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clear(places: Places) -> None:
    """Have none, whole or in part."""
    for name in names_in(places.blobs):
        remove_if_there(os.path.join(places.blobs, name))


def bytes_here(places: Places) -> int:
    """Bytes that have come of a release that is not staged yet; of many, those of the first."""
    found = names_in(places.blobs)[:_COUNTED]
    total = 0
    for name in found:
        with suppress(FileNotFoundError):
            total += os.lstat(os.path.join(places.blobs, name)).st_size
    return total


def size_of(places: Places, name: str) -> int:
    """Bytes of a file in the store; 0 for none."""
    try:
        return os.lstat(os.path.join(places.blobs, name)).st_size
    except FileNotFoundError:
        return 0


def path_of(places: Places, sha256: str) -> str:
    """Where a blob lies."""
    return os.path.join(places.blobs, sha256)


def lacking(
    places: Places, files: List[Dict[str, Any]], fresh: bool = False, more: int = 0
) -> List[Tuple[str, int]]:
    """Digest and size of each blob that is not on this node; what is, is copied to the blobs.

    With `fresh` nothing that is here counts. `more` bytes come beside the blobs.

    Raises:
        Refused: There is no room for all of it.
    """
    wanted = {entry["sha256"]: int(entry["size"]) for entry in files if entry["type"] == "file"}
    for name in names_in(places.blobs):
        path = os.path.join(places.blobs, name)
        if name in wanted and images.hash_file(path) != name:
            os.unlink(path)
    have = {name for name in names_in(places.blobs) if name in wanted}
    if not fresh:
        have |= _copy_from_versions(places, {sha for sha in wanted if sha not in have})
    found = sorted((sha, size) for sha, size in wanted.items() if sha not in have)
    # What has come in part needs no room a second time.
    there = sum(size_of(places, sha + ".part") for sha, _ in found)
    coming = sum(size for _, size in found) + (more if found else 0) - there
    _refuse_no_space(places, coming, sum(wanted.values()), len(files))
    return found


def _copy_from_versions(places: Places, wanted: Set[str]) -> Set[str]:
    """Blobs that a version on this node has: copied, never linked into a live tree."""
    copied: Set[str] = set()
    for name in names_in(places.manifests):
        if not name.endswith(".json"):
            continue  # what a write left that was killed
        manifest = read_json(os.path.join(places.manifests, name)) or {"files": [], "version": ""}
        for entry in manifest["files"]:
            sha = entry["sha256"]
            if sha in wanted and sha not in copied:
                path = os.path.join(places.tree(manifest["version"]), entry["path"])
                if copy(path, os.path.join(places.blobs, sha), sha):
                    copied.add(sha)
    return copied


def copy(path: str, goal: str, sha256: str) -> bool:
    """Copy a regular file if it has this content; False when it is something else by now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return False
        raise
    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        return is_file and write(goal, lambda size: os.read(fd, size), sha256)
    finally:
        os.close(fd)


def write(goal: str, read: Callable[[int], bytes], sha256: str) -> bool:
    """Write a blob, durably, if what is read has this content; else False, and nothing is left."""
    part = goal + ".copy"
    sha = hashlib.sha256()
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while True:
            piece = read(wire.CHUNK)
            if not piece:
                break
            sha.update(piece)
            write_all(fd, piece)
        os.fsync(fd)
    finally:
        os.close(fd)
    if sha.hexdigest() != sha256:
        os.unlink(part)
        return False
    os.rename(part, goal)
    return True


def put(places: Places, contents: Dict[str, bytes]) -> None:
    """Have these, by their SHA-256.

    Raises:
        ValueError: One of them is another content.
    """
    for sha, content in contents.items():
        if not write(path_of(places, sha), io.BytesIO(content).read, sha):
            raise ValueError("not the content of %s" % sha)


def _refuse_no_space(places: Places, lacking: int, whole: int, files: int) -> None:
    """Space for what comes, for the tree and 10 % more; and inodes (design.md, section 6)."""
    if os.stat(places.blobs).st_dev == os.stat(places.staging).st_dev:
        whole += lacking
    for path, needed in ((places.blobs, lacking), (places.staging, whole)):
        found = os.statvfs(path)
        free = found.f_bavail * found.f_frsize
        if free < needed * 1.1 + (1 << 20):
            raise Refused(
                "disk-full",
                "%s has %d bytes free, %d are needed"
                % (path, free, int(needed * 1.1) + (1 << 20)),
                "",
                "make room there, then stage again: what has arrived is kept",
            )
        if found.f_files and found.f_favail < files + 100:
            raise Refused("no-inodes", "%s has %d inodes free" % (path, found.f_favail))
