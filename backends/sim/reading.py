"""`value` on a simulated node, and what its `finalize` says before it."""

from typing import Any

from backends.sim import records as standing
from backends.sim.call import OK, Answer, Call, Refused
from backends.sim.content import compare
from backends.sim.node import SimNode, Transaction
from backends.sim.service import expanded

_SINCE = ("VERIFY", "RESTARTED")
_BLOCK_BYTES = 4096


def value(call: Call) -> Answer:
    """Say a value that the profile names: the version where that is asked, else what was set."""
    name = call.args["name"]
    how = call.document["named"].get(name)
    if how is None:
        raise Refused("value-unknown", f"the profile names no value {name}")
    call.send({"t": "value", "name": name, "value": _value(call, name, how)})
    return OK


def _value(call: Call, name: str, how: dict[str, Any]) -> object:
    node, process = call.node, call.node.process
    version = process.version if process is not None else node.disk.pointer
    if version is None:
        return {"unknown": "the product is not installed"}
    if how.get("http") and process is None:
        url = expanded(how["http"], call.document, version)
        return {"unknown": f"{url}: [Errno 111] Connection refused"}
    if how.get("field") == "version":
        return version
    return node.values.get(name, {"unknown": "a simulated node was told no value of this name"})


def begun_as(call: Call) -> Answer:
    """What was written down of a run when it was staged."""
    found = call.disk.run or {}
    call.send({"t": "begun_as", "run": found if found.get("run") == call.args["run"] else None})
    return OK


def finality(call: Call) -> Answer:
    """Say what would become final here, what is freed, and how the time since accept was."""
    disk, opened = call.disk, call.disk.active
    if opened is None:
        if disk.finalized is None:
            raise Refused("no-upgrade-open", "no upgrade is open on this node")
        about = {name: disk.finalized[name] for name in ("version", "run")}
        call.send({"t": "already", **about})
        return OK
    accepted = standing.last(opened.records, "ACCEPT")
    reason = standing.why_not_finalize(opened.records)
    if accepted is None or reason is not None:
        raise Refused("not-accepted", reason or "not accepted", "", "only that is finalized")
    version, aside = opened.plan["to"]["version"], _aside(opened, call.node)
    run = disk.run or {}
    call.send(
        {
            "t": "finality",
            "version": version,
            "run": opened.plan["run"],
            "since": accepted["wt"],
            "seconds": round(call.node.since_boot() - float(accepted["bt"]), 1),
            "frees": {
                "backups_bytes": _BLOCK_BYTES * len(opened.steps),
                "staged_bytes": _BLOCK_BYTES * (version in disk.staging),
                "data_bytes": _copied(opened),
            },
            "aside": aside,
            "count": len(aside),
            "stays": sorted(each for each in disk.trees if each != version),
            "irreversible": run.get("irreversible")
            if run.get("run") == opened.plan["run"]
            else None,
            "process": _process(call.node),
            "trial": {
                "unhealthy": _count(opened, "UNHEALTHY"),
                "restarts": _count(opened, "RESTART"),
            },
            "events": _events(call, accepted),
        }
    )
    return OK


def _aside(opened: Transaction, node: SimNode) -> list[str]:
    version = opened.plan["to"]["version"]
    found = [
        compare(tree, node.disk.manifests[version].files) for tree in node.disk.store.values()
    ]
    return [f"{version}/{path}" for each in found for path in each.extra + each.changed]


def _copied(opened: Transaction) -> int:
    copied = standing.last(opened.records, "DATA")
    return sum(each["bytes"] for each in copied["copied"]) if copied is not None else 0


def _process(node: SimNode) -> str:
    if node.process is None:
        return "none"
    return "same" if node.process is node.disk.started else "other"


def _count(opened: Transaction, kind: str) -> int:
    return len([record for record in opened.records if record["t"] == kind])


def _events(call: Call, accepted: standing.Record) -> list[dict[str, Any]]:
    records = call.disk.own.all if call.disk.own is not None else []
    return [
        {"t": each["t"], "time": each["wt"], "ok": each["ok"], "text": each["text"][:500]}
        for each in records
        if each["t"] in _SINCE and each["wt"] >= accepted["wt"]
    ]
