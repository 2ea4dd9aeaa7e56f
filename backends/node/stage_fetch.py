"""Blobs out of a tarball that this node gets by itself: from a mirror, or where it lies already.

Its size and its digest come from the release's manifest, which came another way; it is read
strictly, and of each file the content is held against the manifest before it counts.
"""

import hashlib
import os
import re
import stat
import time
from typing import Any, BinaryIO, Callable, Dict, List, Tuple

from backends.node import archive, blobs, wire
from backends.node.download import Download
from backends.node.places import Places, remove_if_there, sync_directory
from backends.node.refusal import Refused

Send = Callable[[Dict[str, Any]], None]

_SAY_SECONDS = 0.5
_TARBALL = ".tarball"

_OF_THE_WHOLE = ("truncated", "damaged", "trailing", "not-gzip")
"""What can be wrong with an archive and not with one of its members."""

_GO = {
    "x86_64": "amd64",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "aarch64": "arm64",
    "armv6l": "arm",
    "armv7l": "arm",
}
"""Architectures as mirrors name them, by the kernel's word."""


def fetch(
    places: Places,
    way: Dict[str, Any],
    manifest: Dict[str, Any],
    lacking: List[Tuple[str, int]],
    send: Send,
) -> int:
    """Have the lacking blobs; how many bytes came over the network.

    `way` has `how`: "pull" with a `url`, or "present" with a `path`; `{arch}` in it stands for
    this machine's word, such as linux_amd64.

    Raises:
        Refused: It is not there, or is not what the manifest says.
        OSError: The disk said no; what came stays, and is taken up the next time.
    """
    stated = tarball_of(manifest)
    if way["how"] == "present":
        path = way["path"].replace("{arch}", arch())
        with _opened(path) as stream:
            _refuse_other(path, stream, stated)
            _take_blobs(path, places, stream, manifest, dict(lacking))
        return 0
    url = way["url"].replace("{arch}", arch())
    part = os.path.join(places.blobs, stated["sha256"] + _TARBALL)
    download = Download(url, part, int(stated["size"]), _teller(int(stated["size"]), send))
    download.run()
    try:
        with open(part, "rb") as stream:
            _refuse_other(url, stream, stated)
            _take_blobs(url, places, stream, manifest, dict(lacking))
    except Refused:
        remove_if_there(part)  # other bytes are no beginning of these
        raise
    remove_if_there(part)
    return download.received


def tarball_of(manifest: Dict[str, Any]) -> Dict[str, Any]:
    """What the manifest says of its tarball: `sha256` and `size`.

    Raises:
        Refused: That is no digest and no size.
    """
    stated = manifest.get("tarball")
    if (
        not isinstance(stated, dict)
        or not re.match(r"[0-9a-f]{64}\Z", str(stated.get("sha256")))
        or not isinstance(stated.get("size"), int)
        or stated["size"] < 0
    ):
        raise Refused("manifest-unsafe", "the manifest says nothing of its tarball", str(stated))
    return stated


def left_of(places: Places, manifest: Dict[str, Any]) -> int:
    """Bytes of the tarball that have not come yet."""
    stated = tarball_of(manifest)
    return max(0, int(stated["size"]) - blobs.size_of(places, stated["sha256"] + _TARBALL))


def arch() -> str:
    """This machine's word on mirrors: `linux_386`, `linux_amd64`, `darwin_amd64`, ..."""
    here = os.uname()
    return "%s_%s" % (here.sysname.lower(), _GO.get(here.machine, here.machine))


def _teller(size: int, send: Send) -> Callable[[int], None]:
    """Says how far it is, and not too often."""
    said = [0.0]

    def tell(have: int) -> None:
        if have == size or time.monotonic() - said[0] > _SAY_SECONDS:
            said[0] = time.monotonic()
            send({"t": "progress", "bytes": have, "of": size})

    return tell


def _opened(path: str) -> BinaryIO:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(
            "tarball-missing",
            "the release is not on this node",
            "%s: %s" % (path, error.strerror or error),
            "bring it there, or stage it another way",
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused("tarball-missing", "the release is not on this node", "%s is no file" % path)
    return os.fdopen(fd, "rb")


def _refuse_other(whence: str, stream: BinaryIO, stated: Dict[str, Any]) -> None:
    """Its digest, before anything in it is looked at."""
    sha256, size = hashlib.sha256(), 0
    while True:
        piece = stream.read(wire.CHUNK)
        if not piece:
            break
        sha256.update(piece)
        size += len(piece)
    if size != int(stated["size"]):
        _refuse("size", whence, "%d bytes; the manifest says %d" % (size, int(stated["size"])))
    if sha256.hexdigest() != stated["sha256"]:
        text = "sha256 %s; the manifest says %s" % (sha256.hexdigest(), stated["sha256"])
        _refuse("digest", whence, text)
    stream.seek(0)


def _take_blobs(
    whence: str,
    places: Places,
    stream: BinaryIO,
    manifest: Dict[str, Any],
    lacking: Dict[str, int],
) -> None:
    entries = {entry["path"]: entry for entry in manifest["files"]}
    try:
        for member in archive.read(stream):
            entry = entries.get(member.path)
            if entry is None:
                _refuse("member-extra", whence, "%s is not in the manifest" % _shown(member))
            elif (member.type, member.target) != (entry["type"], entry["target"]):
                _refuse("member-changed", whence, "%s is another thing there" % _shown(member))
            elif member.type == "file" and entry["sha256"] in lacking:
                goal = blobs.path_of(places, entry["sha256"])
                if not blobs.write(goal, member.content.read, entry["sha256"]):
                    _refuse("member-changed", whence, "%s has other bytes" % _shown(member))
                del lacking[entry["sha256"]]
    except archive.ArchiveError as error:
        about = "" if error.code in _OF_THE_WHOLE else "member-"
        _refuse(about + error.code, whence, str(error))
    if lacking:
        _refuse("member-missing", whence, "%d files are not in it" % len(lacking))
    sync_directory(places.blobs)


def _shown(member: archive.Member) -> str:
    return archive.shown(member.path)


def _refuse(code: str, whence: str, text: str) -> None:
    raise Refused(
        "tarball-%s" % code,
        "%s is not the release" % whence,
        text,
        "nothing was changed; put the right file there",
    )
