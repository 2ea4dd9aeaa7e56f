"""Blobs over the line: what this node lacks is asked for, and taken up where it was cut."""

import hashlib
import os
from typing import Any, BinaryIO, Callable, Dict, List, Set, Tuple

from backends.node import images, wire
from backends.node.places import Places, sync_directory, write_all
from backends.node.refusal import Refused

_NEEDED_PER_LINE = 500

Send = Callable[[Dict[str, Any]], None]


def receive(places: Places, lacking: List[Tuple[str, int]], source: BinaryIO, send: Send) -> int:
    """Ask for blobs and take them; how many bytes came.

    Raises:
        Refused: Not what was asked for, or the line was cut; what arrived is kept.
    """
    _ask(places, lacking, send)
    return _receive(places, dict(lacking), source, send)


def receive_unasked(entries: List[Dict[str, Any]], source: BinaryIO) -> Dict[str, bytes]:
    """Take what comes right behind the manifest, in this order: SHA-256 -> content.

    Raises:
        Refused: Not what was announced, too much, or the line was cut.
    """
    found: Dict[str, bytes] = {}
    if sum(entry["size"] for entry in entries) > wire.MAX_CONFIGURATION:
        raise Refused("configuration-too-big", "more than %d bytes" % wire.MAX_CONFIGURATION)
    for entry in entries:
        sha, size = entry["sha256"], entry["size"]
        if frame_header(source.readline(wire.MAX_LINE)) != (sha, 0, size):
            raise Refused("frame-unasked", "a frame that is not %s" % entry["path"])
        content = source.read(size)
        if len(content) != size:
            raise Refused("stage-cut", "%s did not arrive" % entry["path"])
        if hashlib.sha256(content).hexdigest() != sha:
            raise Refused("blob-damaged", "%s was changed on the way" % entry["path"])
        found[sha] = content
    return found


def frame_header(line: bytes) -> Tuple[str, int, int]:
    """SHA-256, offset and length, as a frame announces them.

    Raises:
        Refused: It is none, or it was cut.
    """
    if not line.endswith(b"\n"):
        raise Refused("stage-cut", "the line was cut; what arrived is kept")
    try:
        return wire.parse_frame_header(line)
    except wire.WireError as error:
        raise Refused("frame-unasked", "this is no frame", str(error)) from error


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
        sha, offset, length = frame_header(line)
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
