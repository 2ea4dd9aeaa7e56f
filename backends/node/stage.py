"""Staging: bring what this node lacks of a release, build the tree, hold it against the manifest.

Nothing of what runs is touched. How bytes arrive (`stage_push`, `stage_fetch`) is separate from
whether they are used: `check` decides that.
"""

import calendar
import hashlib
import time
from typing import Any, BinaryIO, Callable, Dict, List, Tuple

from backends.node import (
    blobs,
    configuration,
    provenance,
    stage_fetch,
    stage_push,
    stage_tree,
    wire,
)
from backends.node.canonical import StrictError, configured, files_digest, parse
from backends.node.journal import Journal
from backends.node.layout import Layout, is_version_name
from backends.node.places import (
    Places,
    make_directories,
    read_json,
    remove_tree,
    write_json,
)
from backends.node.refusal import Refused
from backends.node.tree import ArchiveError, Tree

MAX_MANIFEST = 64 << 20
"""Bytes of a release manifest: 200,000 files of the longest names that are usual."""

_UNSAFE = (StrictError, ArchiveError, KeyError, TypeError, ValueError, AttributeError)

Send = Callable[[Dict[str, Any]], None]


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
    content, manifest = _receive_manifest(args, source)
    fetched = stage_push.receive_unasked(args.get("configuration") or [], source)
    files = _configured(args, manifest)
    version = args["version"]
    fresh = bool(args.get("fresh"))
    if fresh:
        blobs.clear(places)
    received = 0
    if fresh or not layout.is_there(files, version):
        blobs.put(places, fetched)
        received = _bring(places, args, manifest, files, source, send)
        stage_tree.build(places, version, files, _seconds(manifest["created"]))
    else:
        stage_push.receive(places, [], source, send)
    provenance.keep(places, args, content)
    _record(layout, args, manifest, files)
    write_json(
        places.stage_mark(version),
        {
            "version": version,
            "digest": args["digest"],
            "run": args["run"],
            "checked": False,
            "time": time.time(),
        },
    )
    blobs.clear(places)
    journal = Journal(places.journal, create=True)
    try:
        journal.append(
            "STAGE",
            run=args["run"],
            version=version,
            digest=args["digest"],
            received=received,
            configuration=[each["path"] for each in args.get("configuration") or []],
            signed=(args.get("signature") or {}).get("by", ""),
            **wire.request_of(args),
        )
    finally:
        journal.close()
    return {"version": version, "files": len(files), "received": received}


def _record(
    layout: Layout, args: Dict[str, Any], manifest: Dict[str, Any], files: List[Dict[str, Any]]
) -> None:
    """What is known of the content, and its configuration files as they were shipped.

    Of the version that is final nothing is forgotten until its other content is, too.
    """
    places, version = layout.places, args["version"]
    marker = read_json(places.finalized) or {}
    is_next = marker.get("version") == version and marker.get("digest") != args["digest"]
    remove_tree(places.next(version))  # of what was staged before this
    if is_next:
        make_directories(places.next(version))
    goal = places.next_manifest(version) if is_next else places.manifest(version)
    write_json(
        goal,
        {
            "version": version,
            "digest": args["digest"],
            "packaged": provenance.packaged(args),
            "sequence": manifest.get("sequence"),
            "files": files,
            "source": "release",
        },
    )
    folder = places.next_default(version) if is_next else places.default(version)
    configuration.keep_defaults(layout, version, files, folder)


def _bring(
    places: Places,
    args: Dict[str, Any],
    manifest: Dict[str, Any],
    files: List[Dict[str, Any]],
    source: BinaryIO,
    send: Send,
) -> int:
    """Have all blobs, by the way that was ordered; how many bytes came."""
    way, fresh = args.get("way") or {"how": "push"}, bool(args.get("fresh"))
    if way["how"] == "push":
        return stage_push.receive(places, blobs.lacking(places, files, fresh), source, send)
    more = stage_fetch.left_of(places, manifest) if way["how"] == "pull" else 0
    lacking = blobs.lacking(places, files, fresh, more)
    return stage_fetch.fetch(places, way, manifest, lacking, send) if lacking else 0


def _refuse_version(places: Places, args: Dict[str, Any]) -> None:
    """A name that leaves its place; another release under the version that is final (O18)."""
    version = args["version"]
    if not is_version_name(version):
        raise Refused("version-unsafe", "%r cannot be a version's directory" % version[:100])
    marker = read_json(places.finalized) or {}
    is_other = marker.get("version") == version and marker.get("digest") != args["digest"]
    if is_other and not provenance.is_same_release(marker, args):
        raise Refused(
            "version-taken",
            "%s is installed with other content" % version,
            "finalized: %s" % marker.get("digest"),
            "give the release another version",
        )


def _receive_manifest(args: Dict[str, Any], source: BinaryIO) -> Tuple[bytes, Dict[str, Any]]:
    """The manifest as it came, which a signature is over, and what it says."""
    sha256, size = args["manifest"]["sha256"], args["manifest"]["size"]
    if size > MAX_MANIFEST:
        raise Refused("manifest-too-big", "the manifest has %d bytes" % size)
    if stage_push.frame_header(source.readline(wire.MAX_LINE)) != (sha256, 0, size):
        raise Refused("frame-unasked", "a frame that is not the manifest")
    content = source.read(size)
    if len(content) != size:
        raise Refused("stage-cut", "the manifest did not arrive")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Refused("manifest-damaged", "the manifest was changed on the way")
    try:
        manifest = parse(content, MAX_MANIFEST)
        _refuse_unsafe(manifest["files"])
        _seconds(manifest["created"])
    except _UNSAFE as error:
        raise Refused("manifest-unsafe", "the manifest is refused", str(error)) from error
    packaged = provenance.packaged(args)
    if manifest["version"] != args["version"] or files_digest(manifest["files"]) != packaged:
        raise Refused("manifest-other", "the manifest is not the one that was planned")
    found: Dict[str, Any] = manifest
    return content, found


def _configured(args: Dict[str, Any], manifest: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The release's files, with the configuration that came from elsewhere."""
    fetched = args.get("configuration") or []
    if not fetched and args["digest"] == provenance.packaged(args):
        return list(manifest["files"])  # they were looked at
    try:
        files = configured(manifest["files"], fetched)
        _refuse_unsafe(files)
    except _UNSAFE as error:
        raise Refused(
            "configuration-unsafe", "the configuration does not fit into the release", str(error)
        ) from error
    if files_digest(files) != args["digest"]:
        raise Refused("manifest-other", "the configuration is not what was planned")
    return files


def _refuse_unsafe(files: List[Dict[str, Any]]) -> None:
    tree = Tree()
    for entry in files:
        if entry["type"] not in ("file", "dir", "link"):
            raise ArchiveError("type", entry["path"], "a %s" % entry["type"])
        tree.add(entry["path"], entry["type"], int(entry["size"]), entry["target"])
        if entry["type"] == "file" and len(bytes.fromhex(entry["sha256"])) != 32:
            raise ArchiveError("header", entry["path"], "no SHA-256")


def _seconds(created: str) -> int:
    """A release's time in seconds since 1970: what all its files get as their time."""
    return calendar.timegm(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ"))
