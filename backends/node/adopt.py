"""`adopt`: record what runs, and its content, as finalized. It changes nothing of the product.

Where the release is known that it came from, and was staged for this, it is recorded as that: then
it is known what was shipped, and what somebody has changed since is drift.
"""

import os
from typing import Any, Dict, Optional, Tuple

from backends.node import clock, finish, images, keeping, probe, provenance, wire
from backends.node.canonical import files_digest
from backends.node.journal import Journal
from backends.node.layout import Layout, PointerUnreadable, is_version_name
from backends.node.layouts import layout_of
from backends.node.places import (
    Places,
    read_json,
    remove_if_there,
    remove_tree,
    write_file,
    write_json,
)
from backends.node.refusal import Refused
from backends.node.service import Service
from backends.node.services import service_of

_CLOCK_GRACE_SECONDS = 0.01
"""A process's start is known to a hundredth of a second. More would take files for the service's
own that somebody unpacked a moment before the start."""


def preview(places: Places, document: Dict[str, Any], released: bool = False) -> Dict[str, Any]:
    """What would be recorded: version, digest, files, and the files that do not count.

    Files that changed since the service started are its own (logs, pid file, data). They are
    named and left out, or the next look would call the version changed. With `released` it is
    the staged release that is recorded, and what differs from it is named.

    Raises:
        Refused: There is nothing to adopt, or it is recorded already.
    """
    layout = layout_of(document, places)
    version = _version(layout)
    if version is None:
        raise Refused("nothing-to-adopt", "no version is selected here")
    if not os.path.isdir(places.tree(version)):
        raise Refused("nothing-to-adopt", "%s is not there" % places.tree(version))
    if read_json(places.finalized) is not None:
        raise Refused("already-managed", "a finalized record exists here already")
    if released:
        return _as_released(layout, version)
    own = _changed_since_start(service_of(document, places, version), layout.does_not_count)
    files = images.listing(
        places.tree(version), lambda path: path in own or layout.does_not_count(path)
    )
    if not files:
        raise Refused(
            "nothing-to-adopt",
            "all files of %s changed since its service started" % version,
            ", ".join(own[:20]),
            "restart the service, then adopt",
        )
    odd = [entry["path"] for entry in files if entry["type"] == "other"]
    if odd:
        raise Refused("odd-files", "neither files, directories nor links", ", ".join(odd[:20]))
    digest = files_digest(files)
    return {
        "version": version,
        "digest": digest,
        "packaged": None,
        "files": files,
        "own": list(own),
        "changed": [],
        "missing": [],
    }


def _as_released(layout: Layout, version: str) -> Dict[str, Any]:
    mark = read_json(layout.places.stage_mark(version))
    manifest = layout.manifest(version)
    if mark is None or manifest is None or manifest["digest"] != mark["digest"]:
        raise Refused(
            "other-release",
            "%s runs here, and no release of it was staged" % version,
            "",
            "name the release that it came from, or adopt it without one",
        )
    found = layout.compare(version, manifest["files"])
    if not found.equal:
        raise Refused(
            "other-release",
            "nothing of what runs is as in the release %s" % version,
            found.text(),
            "name the release that it came from, or adopt it without one",
        )
    return {
        "version": version,
        "digest": manifest["digest"],
        "packaged": provenance.packaged(manifest),
        "files": manifest["files"],
        "own": found.extra,
        "changed": found.changed,
        "missing": found.missing,
    }


def _version(layout: Layout) -> Optional[str]:
    try:
        return layout.selected()
    except PointerUnreadable as error:
        if not layout.places.flat:
            raise Refused("pointer-unreadable", str(error)) from error
    try:
        return version_told(layout.document, layout.places)
    except probe.NoAnswer as error:
        raise Refused(
            "version-unknown",
            "the product does not say which version it is",
            str(error),
            "start it, or correct how the profile reads the version",
        ) from error


def version_told(document: Dict[str, Any], places: Places) -> str:
    """The version in the product's own words, where no record of ours names it.

    Raises:
        probe.NoAnswer: It does not say, or says what cannot be a version's name.
    """
    how = probe.version_probe(document)
    if how is None:
        raise probe.NoAnswer("the profile does not say how to read the version")
    service = service_of(document, places, "")
    version = probe.read(how, service, service.settings["request_timeout"])
    if not is_version_name(version):
        raise probe.NoAnswer("%r is no version's name" % version)
    return version


def record(places: Places, document: Dict[str, Any], args: Dict[str, Any]) -> Dict[str, Any]:
    """Write the finalized record for exactly what was shown.

    Raises:
        Refused: What runs is no longer what was shown.
    """
    released = bool(args.get("released"))
    found = preview(places, document, released)
    if (found["version"], found["digest"]) != (args["version"], args["digest"]):
        raise Refused(
            "changed-meanwhile",
            "what runs is no longer what was shown",
            "%s %s" % (found["version"], found["digest"]),
            "look again, then adopt",
        )
    places.make_home()
    if not released:  # else staging has written it
        write_json(
            places.manifest(found["version"]),
            {
                "version": found["version"],
                "digest": found["digest"],
                "sequence": None,
                "files": found["files"],
                "source": "adopted",
                "packaged": None,
            },
        )
    if released:
        finish.raise_floor(places, layout_of(document, places).manifest(found["version"]))
        remove_if_there(places.stage_mark(found["version"]))
        remove_tree(places.staged_tree(found["version"]))
    # Before the marker: with it, this could not be said again.
    if places.flat:
        write_file(places.selected, found["version"].encode("utf-8") + b"\n", 0o644)
    write_json(
        places.finalized,
        {
            "version": found["version"],
            "digest": found["digest"],
            "packaged": found["packaged"],
            "run": args["run"],
            "previous": None,
            "time": clock.wall(),
        },
    )
    journal = Journal(places.journal, create=True)
    try:
        journal.append(
            "ADOPT",
            run=args["run"],
            version=found["version"],
            digest=found["digest"],
            operator=args["operator"],
            files=len(found["files"]),
            released=released,
            differ=len(found["changed"]) + len(found["missing"]),
            **wire.request_of(args),
        )
    finally:
        journal.close()
    return found


def _changed_since_start(service: Service, leave_out: keeping.Leave) -> Tuple[str, ...]:
    pid = service.pid()
    start = clock.start_of(pid) if pid else None
    if start is None:
        return ()
    began = clock.wall() - clock.since_boot() + int(start) / os.sysconf("SC_CLK_TCK")
    return tuple(
        relative
        for relative, found in images.walk(service.tree, leave_out)
        if found.st_mtime > began - _CLOCK_GRACE_SECONDS
        and not os.path.isdir(os.path.join(service.tree, relative))
    )
