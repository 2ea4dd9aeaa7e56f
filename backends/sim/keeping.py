"""`adopt` and `clean` on a simulated node: done at once, under the driver's lock."""

from datetime import UTC, datetime

from backends.node.canonical import files_digest
from backends.sim.call import OK, Answer, Call, Refused
from backends.sim.content import Content
from backends.sim.node import Disk


def _refuse_busy(call: Call) -> None:
    """Raises Refused while a driver has the lock."""
    if call.node.driver is None:
        return
    owner = call.node.owner
    since = datetime.fromtimestamp(owner["since"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    raise Refused(
        "locked",
        "another run works on this node",
        f"run {owner.get('run')} of {owner.get('operator')}, {owner.get('command')}, "
        f"since {since}",
        "wait for it, or watch it with status",
    )


def adopt(call: Call) -> Answer:
    """Record what runs, and its content, as finalized; with `preview` only say it."""
    disk, args = call.disk, call.args
    if disk.active is not None:
        raise Refused("upgrade-open", "an upgrade is open on this node")
    content, own = _adoptable(call)
    if not args.get("preview"):
        _refuse_busy(call)
        disk.has_home = True
        if (content.version, content.digest) != (args["version"], args["digest"]):
            raise Refused(
                "changed-meanwhile",
                "what runs is no longer what was shown",
                f"{content.version} {content.digest}",
                "look again, then adopt",
            )
        _record_adopted(call, content)
    call.send(
        {
            "t": "adopted",
            "version": content.version,
            "digest": content.digest,
            "files": len(content.files),
            "own": own[:1000],
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


def _record_adopted(call: Call, content: Content) -> None:
    disk, args = call.disk, call.args
    disk.manifests[content.version] = content
    disk.finalized = {
        "version": content.version,
        "digest": files_digest(content.files),
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
    _refuse_busy(call)
    if everything:
        call.node.disk = Disk(trees=disk.trees, pointer=disk.pointer)
    else:
        for kept in (disk.staging, disk.blobs, disk.parts, disk.marks):
            kept.clear()
        call.book().append("CLEAN", operator=call.args["operator"], paths=found["paths"])
    call.node.changed()
    return OK


def _to_be_cleaned(call: Call, everything: bool) -> dict[str, list[str]]:
    disk, places = call.disk, call.places
    if not everything:
        there = (
            (f"{places.beside}/staging", disk.staging),
            (f"{places.home}/blobs", disk.blobs or disk.parts),
            (f"{places.home}/staged", disk.marks),
        )
        return {"paths": [path for path, found in there if found], "kept": [], "stays": []}
    exists = ((places.beside, disk.has_beside), (places.home, disk.has_home))
    return {
        "paths": [path for path, found in exists if found],
        "kept": [f"{places.home}/conflicts/{path}" for path in disk.conflicts],
        "stays": [places.tree(version) for version in sorted(disk.trees)],
    }
