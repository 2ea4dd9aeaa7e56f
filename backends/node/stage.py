"""Staging: take the blobs that this node lacks, build the tree, hold it against the manifest.

Nothing of what runs is touched. A cut line leaves the whole blobs and the partial one, which is
taken up where it ended; a blob counts only when its whole content was hashed. How bytes arrive is
separate from whether they are used: `check` decides that.
"""

import calendar
import errno
import hashlib
import os
import stat
import time
from typing import Any, BinaryIO, Callable, Dict, List, Set, Tuple

from backends.node import images, provenance, wire
from backends.node.canonical import StrictError, files_digest, parse
from backends.node.journal import Journal
from backends.node.layout import Layout, is_version_name
from backends.node.places import (
    Places,
    make_directories,
    names_in,
    read_json,
    remove_if_there,
    remove_tree,
    sync_directory,
    write_all,
    write_json,
)
from backends.node.tree import ArchiveError, Tree

MAX_MANIFEST = 64 << 20
"""Bytes of a release manifest: 200,000 files of the longest names that are usual."""

_NEEDED_PER_LINE = 500

_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Nothing there, or a link or socket, where a file is looked for."""

Send = Callable[[Dict[str, Any]], None]


class Refused(Exception):
    """The order cannot be carried out, and nothing was changed; carries a problem."""

    def __init__(self, code: str, summary: str, evidence: str = "", advice: str = "") -> None:
        super().__init__(summary)
        self.problem = wire.problem(code, summary, evidence, advice)


def stage(layout: Layout, args: Dict[str, Any], source: BinaryIO, send: Send) -> Dict[str, Any]:
    """Receive a release and build its tree; what was staged.

    Raises:
        Refused: Not the bytes that were announced, no space, an unsafe name.
        OSError: The disk said no; what was received stays and is used the next time.
    """
    places = layout.places
    _refuse_version(places, args)
    places.make_home()
    places.make_beside()
    write_json(places.run, args["plan"])
    content, manifest = _receive_manifest(places, args, source)
    files: List[Dict[str, Any]] = manifest["files"]
    version = args["version"]
    lacking = [] if layout.is_there(files, version) else _lacking(places, files)
    _ask(places, lacking, send)
    received = _receive(places, dict(lacking), source, send)
    if not layout.is_there(files, version):
        _build(places, version, files, _seconds(manifest["created"]))
    provenance.keep(places, args, content)
    write_json(
        places.manifest(version),
        {
            "version": version,
            "digest": args["digest"],
            "sequence": manifest.get("sequence"),
            "files": files,
            "source": "release",
        },
    )
    write_json(
        os.path.join(places.staged, version + ".json"),
        {"version": version, "digest": args["digest"], "run": args["run"], "checked": False},
    )
    for name in names_in(places.blobs):
        remove_if_there(os.path.join(places.blobs, name))
    journal = Journal(places.journal, create=True)
    try:
        journal.append(
            "STAGE",
            run=args["run"],
            version=version,
            digest=args["digest"],
            received=received,
            signed=(args.get("signature") or {}).get("by", ""),
        )
    finally:
        journal.close()
    return {"version": version, "files": len(files), "received": received}


def _refuse_version(places: Places, args: Dict[str, Any]) -> None:
    """A name that leaves its place; other content under the version that is finalized (O18)."""
    version = args["version"]
    if not is_version_name(version):
        raise Refused("version-unsafe", "%r cannot be a version's directory" % version[:100])
    marker = read_json(places.finalized) or {}
    if marker.get("version") == version and marker.get("digest") != args["digest"]:
        raise Refused(
            "version-taken",
            "%s is installed with other content" % version,
            "finalized: %s" % marker.get("digest"),
            "give the release another version",
        )


def _receive_manifest(
    places: Places, args: Dict[str, Any], source: BinaryIO
) -> Tuple[bytes, Dict[str, Any]]:
    """The manifest as it came, which a signature is over, and what it says."""
    sha256, size = args["manifest"]["sha256"], args["manifest"]["size"]
    if size > MAX_MANIFEST:
        raise Refused("manifest-too-big", "the manifest has %d bytes" % size)
    if _frame_header(source.readline(wire.MAX_LINE)) != (sha256, 0, size):
        raise Refused("frame-unasked", "a frame that is not the manifest")
    content = source.read(size)
    if len(content) != size:
        raise Refused("stage-cut", "the manifest did not arrive")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Refused("manifest-damaged", "the manifest was changed on the way")
    try:
        manifest = parse(content, MAX_MANIFEST)
        _refuse_unsafe(manifest)
        _seconds(manifest["created"])
    except (StrictError, ArchiveError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused("manifest-unsafe", "the manifest is refused", str(error)) from error
    if manifest["version"] != args["version"] or files_digest(manifest["files"]) != args["digest"]:
        raise Refused("manifest-other", "the manifest is not the one that was planned")
    found: Dict[str, Any] = manifest
    return content, found


def _frame_header(line: bytes) -> Tuple[str, int, int]:
    if not line.endswith(b"\n"):
        raise Refused("stage-cut", "the line was cut; what arrived is kept")
    try:
        return wire.parse_frame_header(line)
    except wire.WireError as error:
        raise Refused("frame-unasked", "this is no frame", str(error)) from error


def _refuse_unsafe(manifest: Dict[str, Any]) -> None:
    tree = Tree()
    for entry in manifest["files"]:
        if entry["type"] not in ("file", "dir", "link"):
            raise ArchiveError("type", entry["path"], "a %s" % entry["type"])
        tree.add(entry["path"], entry["type"], int(entry["size"]), entry["target"])
        if entry["type"] == "file" and len(bytes.fromhex(entry["sha256"])) != 32:
            raise ArchiveError("header", entry["path"], "no SHA-256")


def _seconds(created: str) -> int:
    """A release's time in seconds since 1970: what all its files get as their time."""
    return calendar.timegm(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ"))


def _lacking(places: Places, files: List[Dict[str, Any]]) -> List[Tuple[str, int]]:
    """Digest and size of each blob that is not on this node; what is, is copied to the blobs."""
    wanted = {entry["sha256"]: int(entry["size"]) for entry in files if entry["type"] == "file"}
    for name in names_in(places.blobs):
        path = os.path.join(places.blobs, name)
        if name in wanted and images.hash_file(path) != name:
            os.unlink(path)
    have = {name for name in names_in(places.blobs) if name in wanted}
    have |= _copy_from_versions(places, {sha for sha in wanted if sha not in have})
    lacking = sorted((sha, size) for sha, size in wanted.items() if sha not in have)
    _refuse_no_space(places, sum(size for _, size in lacking), sum(wanted.values()), len(files))
    return lacking


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
                if _copy_blob(path, os.path.join(places.blobs, sha), sha):
                    copied.add(sha)
    return copied


def _copy_blob(path: str, goal: str, sha256: str) -> bool:
    """Copy a regular file if it has this content; False when it is something else by now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return False
        raise
    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        return is_file and _write_blob(goal, lambda size: os.read(fd, size), sha256)
    finally:
        os.close(fd)


def _write_blob(goal: str, read: Callable[[int], bytes], sha256: str) -> bool:
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


def _ask(places: Places, lacking: List[Tuple[str, int]], send: Send) -> None:
    asked: List[Tuple[str, int, int]] = []
    for sha, size in lacking:
        part = os.path.join(places.blobs, sha + ".part")
        have = os.path.getsize(part) if os.path.exists(part) else 0
        if have > size:
            os.unlink(part)
            have = 0
        asked.append((sha, have, size))
    for start in range(0, len(asked), _NEEDED_PER_LINE):
        send({"t": "need", "blobs": asked[start : start + _NEEDED_PER_LINE]})
    send({"t": "send", "blobs": len(asked), "bytes": sum(size - have for _, have, size in asked)})


def _receive(places: Places, lacking: Dict[str, int], source: BinaryIO, send: Send) -> int:
    """Take frames until END; bytes received."""
    received = 0
    said = 0
    done: Set[str] = set()
    while True:
        line = source.readline(wire.MAX_LINE)
        if line == wire.END_OF_FRAMES:
            break
        sha, offset, length = _frame_header(line)
        if sha not in lacking or offset + length > lacking[sha]:
            raise Refused("frame-unasked", "a frame that was not asked for", repr(line[:100]))
        received += _receive_frame(places, sha, offset, length, source)
        if offset + length == lacking[sha]:
            _finish_blob(places, sha)
            done.add(sha)
        if received - said >= 1 << 20:
            said = received
            send({"t": "progress", "bytes": received})
    missing = sorted(set(lacking) - done)
    if missing:
        raise Refused("stage-cut", "%d blobs did not arrive" % len(missing), missing[0])
    sync_directory(places.blobs)
    return received


def _receive_frame(places: Places, sha: str, offset: int, length: int, source: BinaryIO) -> int:
    part = os.path.join(places.blobs, sha + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(fd).st_size < offset:
            raise Refused("frame-gap", "a frame that leaves a gap in %s" % sha)
        os.ftruncate(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        left = length
        while left:
            piece = source.read(min(left, wire.CHUNK))
            if not piece:
                raise Refused("stage-cut", "the line was cut; what arrived is kept")
            write_all(fd, piece)
            left -= len(piece)
        os.fsync(fd)
    finally:
        os.close(fd)
    return length


def _finish_blob(places: Places, sha: str) -> None:
    part = os.path.join(places.blobs, sha + ".part")
    if images.hash_file(part) != sha:
        os.unlink(part)
        raise Refused("blob-damaged", "the bytes of blob %s are not what was announced" % sha)
    os.rename(part, os.path.join(places.blobs, sha))


def _build(places: Places, version: str, files: List[Dict[str, Any]], created: int) -> None:
    """Build the tree aside from copies of the blobs, durable, then give it its name.

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
            blob = os.path.join(places.blobs, entry["sha256"])
            if not _copy_blob(blob, path, entry["sha256"]):
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
