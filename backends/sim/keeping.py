"""`adopt` and `clean` on a simulated node: done at once, under the driver's lock."""

from backends.node import wire
from backends.sim.call import OK, Answer, Call, Refused
from backends.sim.content import Comparison, Content, compare
from backends.sim.node import Disk


def adopt(call: Call) -> Answer:
    """Record what runs, and its content, as finalized; with `preview` only say it."""
    disk, args = call.disk, call.args
    if disk.active is not None:
        raise Refused("upgrade-open", "an upgrade is open on this node")
    released = bool(args.get("released"))
    found = Comparison()
    if released:
        content, found = _as_released(call)
        own = found.extra
    else:
        content, own = _adoptable(call)
    if not args.get("preview"):
        call.refuse_busy()
        disk.has_home = True
        if (content.version, content.digest) != (args["version"], args["digest"]):
            raise Refused(
                "changed-meanwhile",
                "what runs is no longer what was shown",
                f"{content.version} {content.digest}",
                "look again, then adopt",
            )
        _record_adopted(call, content, released, len(found.changed) + len(found.missing))
    call.send(
        {
            "t": "adopted",
            "version": content.version,
            "digest": content.digest,
            "files": len(content.files),
            "own": own[:1000],
            "changed": found.changed[:1000],
            "missing": found.missing[:1000],
        }
    )
    return OK


def _adoptable(call: Call) -> tuple[Content, list[str]]:
    """What would be recorded, and the service's own files, which do not count."""
    disk, version = call.disk, call.disk.pointer
    if version is None:
        raise Refused("nothing-to-adopt", "no version is selected here")
    tree = disk.trees.get(version)
    if tree is None:
        raise Refused("nothing-to-adopt", f"{call.places.tree(version)} is not there")
    if disk.finalized is not None:
        raise Refused("already-managed", "a finalized record exists here already")
    service = call.service(version)
    if service.process is not None:
        tree.extra |= service.own_files
    own = sorted(tree.extra) if service.process is not None else []
    files = tuple(tree.listing(leave_out=own))
    return Content(version, files), own


def _as_released(call: Call) -> tuple[Content, Comparison]:
    """The release that was staged, and how what runs differs from it."""
    disk, (runs, _) = call.disk, _adoptable(call)
    version, manifest = runs.version, disk.manifests.get(runs.version)
    advice = "name the release that it came from, or adopt it without one"
    if version not in disk.marks or manifest is None:
        text = f"{version} runs here, and no release of it was staged"
        raise Refused("other-release", text, "", advice)
    found = compare(disk.trees.get(version), manifest.files)
    if not found.equal:
        text = f"nothing of what runs is as in the release {version}"
        raise Refused("other-release", text, found.text(), advice)
    return manifest, found


def _record_adopted(call: Call, content: Content, released: bool, differ: int) -> None:
    disk, args = call.disk, call.args
    if released:
        disk.floor = max(disk.floor, content.sequence or -1)
        disk.marks.pop(content.version, None)
        disk.staging.pop(content.version, None)
    disk.manifests[content.version] = content
    disk.finalized = {
        "version": content.version,
        "digest": content.digest,
        "packaged": content.packaged,
        "run": args["run"],
        "previous": None,
        "time": call.node.clock.now(),
    }
    call.book().append(
        "ADOPT",
        run=args["run"],
        version=content.version,
        digest=content.digest,
        operator=args["operator"],
        files=len(content.files),
        released=released,
        differ=differ,
        **wire.request_of(args),
    )


def clean(call: Call) -> Answer:
    """Give back what we keep here, after saying what goes; with `preview` only say it."""
    disk, everything = call.disk, bool(call.args["everything"])
    if disk.active is not None:
        plan = disk.active.plan
        raise Refused(
            "upgrade-open",
            f"run {plan['run']} to {plan['to']['version']} is not finalized",
            "",
            "finalize it or roll it back first",
        )
    found = _to_be_cleaned(call, everything)
    call.send({"t": "clean", **found})
    if call.args.get("preview") or not found["paths"]:
        return OK
    call.refuse_busy()
    if everything:
        call.node.disk = Disk(trees=disk.trees, pointer=disk.pointer)
    else:
        for kept in (disk.staging, disk.blobs, disk.parts, disk.marks, disk.nexts):
            kept.clear()
        said = wire.request_of(call.args)
        call.book().append("CLEAN", operator=call.args["operator"], paths=found["paths"], **said)
    call.node.changed()
    return OK


def _to_be_cleaned(call: Call, everything: bool) -> dict[str, list[str]]:
    disk, places = call.disk, call.places
    if not everything:
        there = (
            (f"{places.beside}/staging", disk.staging),
            (f"{places.home}/blobs", disk.blobs or disk.parts),
            (f"{places.home}/staged", disk.marks),
            (f"{places.home}/next", disk.nexts),
        )
        return {"paths": [path for path, found in there if found], "kept": [], "stays": []}
    exists = ((places.beside, disk.has_beside), (places.home, disk.has_home))
    return {
        "paths": [path for path, found in exists if found],
        "kept": [f"{places.home}/conflicts/{path}" for path in disk.conflicts],
        "stays": [places.tree(version) for version in sorted(disk.trees)],
    }
