"""`stage` on a simulated node: ask for what is lacking, take the frames, build the tree.

Bytes are taken and hashed as the updater does it; whole blobs and partial ones stay when the line
is cut.
"""

from collections.abc import Generator, Mapping
from typing import Any

from backends.node import wire
from backends.node.archive import ArchiveError
from backends.node.canonical import StrictError
from backends.sim.call import OK, Answering, Call, Refused
from backends.sim.content import (
    MAX_MANIFEST,
    Content,
    Tree,
    compare,
    content_of,
    refuse_unsafe,
    sha256_of,
)

_NEEDED_PER_LINE = 500
_SAID_EVERY = 1 << 20
_UNSAFE = (StrictError, ArchiveError, KeyError, TypeError, ValueError, AttributeError)
_NO_VERSION = frozenset(["", "current"])


def stage(call: Call) -> Answering:
    """Receive a release and build its tree."""
    disk, args = call.disk, call.args
    if disk.active is not None:
        raise Refused("upgrade-open", "an upgrade is open on this node; nothing is staged over it")
    call.refuse_disabled()
    _refuse_version(call)
    disk.has_home = disk.has_beside = True
    disk.run = dict(args["plan"])
    packaged = yield from _receive_manifest(call)
    fetched = yield from _receive_configuration(call)
    manifest = _configured(call, packaged)
    version = manifest.version
    _refuse_mirror(call)
    fresh = bool(args.get("fresh"))
    if fresh:
        disk.blobs.clear()
        disk.parts.clear()
    there = not fresh and _is_there(call, manifest)
    if not there:
        disk.blobs.update(fetched)
    lacking = {} if there else _lacking(call, manifest, fresh)
    _ask(call, lacking)
    received = yield from _receive(call, lacking)
    if not there:
        disk.staging[version] = Tree(manifest)
    _record(call, manifest)
    signature = args.get("signature") or {}
    disk.provenance[version] = {
        "by": signature.get("by", ""),
        "key": signature.get("key", ""),
        "imported": args.get("imported", ""),
        "packaged": manifest.packaged,
    }
    disk.marks[version] = {
        "digest": args["digest"],
        "run": args["run"],
        "checked": False,
        "time": call.node.clock.now(),
    }
    disk.blobs.clear()
    disk.parts.clear()
    call.book().append(
        "STAGE",
        run=args["run"],
        version=version,
        digest=args["digest"],
        received=received,
        configuration=[each["path"] for each in args.get("configuration") or []],
        signed=signature.get("by", ""),
        **wire.request_of(args),
    )
    call.send(
        {"t": "staged", "version": version, "files": len(manifest.files), "received": received}
    )
    return OK


def _refuse_version(call: Call) -> None:
    version, marker = call.args["version"], call.disk.finalized or {}
    if version in _NO_VERSION or "/" in version or version.startswith("."):
        raise Refused("version-unsafe", f"{version[:100]!r} cannot be a version's directory")
    is_other = marker.get("version") == version and marker.get("digest") != call.args["digest"]
    if is_other and _packaged(call) != marker.get("packaged"):
        raise Refused(
            "version-taken",
            f"{version} is installed with other content",
            f"finalized: {marker.get('digest')}",
            "give the release another version",
        )


def _refuse_mirror(call: Call) -> None:
    way = call.args.get("way") or {"how": "push"}
    if way["how"] != "push":
        raise Refused("pull-refused", "a simulated node reaches no mirror", str(way))


def _receive_manifest(call: Call) -> Generator[None, None, Content]:
    sha256, size = call.args["manifest"]["sha256"], call.args["manifest"]["size"]
    if size > MAX_MANIFEST:
        raise Refused("manifest-too-big", f"the manifest has {size} bytes")
    line = yield from call.intake.line(wire.MAX_LINE)
    if _frame_header(line) != (sha256, 0, size):
        raise Refused("frame-unasked", "a frame that is not the manifest")
    data = yield from call.intake.exactly(size)
    if len(data) != size:
        raise Refused("stage-cut", "the manifest did not arrive")
    if sha256_of(data) != sha256:
        raise Refused("manifest-damaged", "the manifest was changed on the way")
    try:
        manifest = content_of(data)
    except _UNSAFE as error:
        raise Refused("manifest-unsafe", "the manifest is refused", str(error)) from error
    if (manifest.version, manifest.digest) != (call.args["version"], _packaged(call)):
        raise Refused("manifest-other", "the manifest is not the one that was planned")
    return manifest


def _packaged(call: Call) -> str:
    """The digest of the release, without configuration from elsewhere."""
    return str(call.args.get("packaged", call.args["digest"]))


def _receive_configuration(call: Call) -> Generator[None, None, dict[str, int]]:
    """Take what comes right behind the manifest, in the order in which it was announced."""
    found: dict[str, int] = {}
    announced = call.args.get("configuration") or []
    if sum(each["size"] for each in announced) > wire.MAX_CONFIGURATION:
        raise Refused("configuration-too-big", f"more than {wire.MAX_CONFIGURATION} bytes")
    for each in announced:
        path, sha, size = each["path"], each["sha256"], each["size"]
        line = yield from call.intake.line(wire.MAX_LINE)
        if _frame_header(line) != (sha, 0, size):
            raise Refused("frame-unasked", f"a frame that is not {path}")
        data = yield from call.intake.exactly(size)
        if len(data) != size:
            raise Refused("stage-cut", f"{path} did not arrive")
        if sha256_of(data) != sha:
            raise Refused("blob-damaged", f"{path} was changed on the way")
        found[sha] = size
    return found


def _configured(call: Call, packaged: Content) -> Content:
    try:
        found = packaged.configured(call.args.get("configuration") or [])
        refuse_unsafe(found.files)
    except _UNSAFE as error:
        text = "the configuration does not fit into the release"
        raise Refused("configuration-unsafe", text, str(error)) from error
    if found.digest != call.args["digest"]:
        raise Refused("manifest-other", "the configuration is not what was planned")
    return found


def _record(call: Call, content: Content) -> None:
    """Of the version that is final nothing is forgotten until its other content is, too."""
    disk, marker = call.disk, call.disk.finalized or {}
    disk.nexts.pop(content.version, None)
    is_next = (marker.get("version"), marker.get("digest")) != (content.version, content.digest)
    is_next = is_next and marker.get("version") == content.version
    (disk.nexts if is_next else disk.manifests)[content.version] = content


def _frame_header(line: bytes) -> tuple[str, int, int]:
    if not line.endswith(b"\n"):
        raise Refused("stage-cut", "the line was cut; what arrived is kept")
    try:
        return wire.parse_frame_header(line)
    except wire.WireError as error:
        raise Refused("frame-unasked", "this is no frame", str(error)) from error


def _is_there(call: Call, manifest: Content) -> bool:
    disk = call.disk
    return any(
        tree is not None and compare(tree, manifest.files).is_exact
        for tree in (disk.staging.get(manifest.version), disk.trees.get(manifest.version))
    )


def _lacking(call: Call, manifest: Content, fresh: bool) -> Mapping[str, int]:
    """Digest and size of each blob that is not on this node."""
    disk = call.disk
    have = set(disk.blobs)
    for version, known in disk.manifests.items():
        tree = disk.trees.get(version)
        if tree is not None and not fresh:
            here = {each["sha256"] for each in tree.listing()}
            have |= here & set(known.blobs)
    lacking = {sha: size for sha, size in sorted(manifest.blobs.items()) if sha not in have}
    _refuse_no_space(call, sum(lacking.values()), sum(manifest.blobs.values()))
    return lacking


def _refuse_no_space(call: Call, lacking: int, whole: int) -> None:
    free = call.node.free_bytes
    if free is None:
        return
    places = call.places
    for path, needed in (
        (f"{places.home}/blobs", lacking),
        (f"{places.beside}/staging", whole + lacking),
    ):
        wanted = int(needed * 1.1) + (1 << 20)
        if free < wanted:
            raise Refused(
                "disk-full",
                f"{path} has {free} bytes free, {wanted} are needed",
                "",
                "make room there, then stage again: what has arrived is kept",
            )


def _ask(call: Call, lacking: Mapping[str, int]) -> None:
    parts = call.disk.parts
    asked = [(sha, len(parts.get(sha, b"")), size) for sha, size in lacking.items()]
    for start in range(0, len(asked), _NEEDED_PER_LINE):
        call.send({"t": "need", "blobs": asked[start : start + _NEEDED_PER_LINE]})
    left = sum(size - have for _, have, size in asked)
    call.send({"t": "send", "blobs": len(asked), "bytes": left})


def _receive(call: Call, lacking: Mapping[str, int]) -> Generator[None, None, int]:
    """Take frames until END; bytes received."""
    received = said = 0
    done: set[str] = set()
    while (line := (yield from call.intake.line(wire.MAX_LINE))) != wire.END_OF_FRAMES:
        sha, offset, length = _frame_header(line)
        if sha not in lacking or offset + length > lacking[sha]:
            raise Refused("frame-unasked", "a frame that was not asked for", repr(line[:100]))
        yield from _receive_frame(call, sha, offset, length)
        received += length
        if offset + length == lacking[sha]:
            _finish_blob(call.disk.parts, call.disk.blobs, sha)
            done.add(sha)
        if received - said >= _SAID_EVERY:
            said = received
            call.send({"t": "progress", "bytes": received})
    missing = sorted(set(lacking) - done)
    if missing:
        raise Refused("stage-cut", f"{len(missing)} blobs did not arrive", missing[0])
    return received


def _receive_frame(call: Call, sha: str, offset: int, length: int) -> Generator[None, None, None]:
    part = call.disk.parts.setdefault(sha, bytearray())
    if len(part) < offset:
        raise Refused("frame-gap", f"a frame that leaves a gap in {sha}")
    del part[offset:]
    while length:
        piece = yield from call.intake.some(min(length, wire.CHUNK))
        if not piece:
            raise Refused("stage-cut", "the line was cut; what arrived is kept")
        part += piece
        length -= len(piece)


def _finish_blob(parts: dict[str, bytearray], blobs: dict[str, Any], sha: str) -> None:
    part = parts.pop(sha)
    if sha256_of(bytes(part)) != sha:
        raise Refused("blob-damaged", f"the bytes of blob {sha} are not what was announced")
    blobs[sha] = len(part)
