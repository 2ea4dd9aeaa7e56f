"""The six facts of a simulated node, in the words of the updater's `facts` message."""

from collections.abc import Mapping, Sequence
from typing import Any

from backends.node.wire import problem
from backends.sim import records as standing
from backends.sim.node import Disk, SimNode, Transaction
from backends.sim.service import Service, first_failure

Facts = dict[str, Any]

_FINAL = ("version", "run", "digest", "packaged", "time")


def full(node: SimNode, document: Mapping[str, Any]) -> Facts:
    """All facts, the service and its health asked."""
    found = quick(node, document)
    found.update(slow(node, document), drift=None)
    return found


def quick(node: SimNode, document: Mapping[str, Any]) -> Facts:
    """What the disk says: pointer, staged, finalized, transaction."""
    disk = node.disk
    marker, staged = disk.finalized, _staged(disk)
    found: Facts = {
        "product": document["name"],
        "boot_id": node.boot_id,
        "selected": disk.pointer,
        "staged": staged,
        "stages": [
            {
                "version": version,
                "since": disk.marks[version].get("time"),
                "checked": disk.marks[version]["checked"],
            }
            for version in staged
        ],
        "unsigned": _unsigned(disk, staged),
        "installed": sorted(disk.trees),
        "finalized": {name: marker[name] for name in _FINAL} if marker else None,
        "previous": None,
        "transaction": None,
        "problem": None,
        "note": "",
        "state": "idle",
        "run": (disk.run or {}).get("run"),
        "last": None,
    }
    if disk.active is not None:
        _describe(found, node, disk.active)
    else:
        _add_last(found, node)
    if disk.disabled is not None and disk.active is None:
        found["state"] = "disabled"
        found["note"] = disk.disabled.strip()
    if disk.restarting is not None:
        _tell_restart(found, node, disk.restarting)
    return found


def _tell_restart(found: Facts, node: SimNode, begun: Mapping[str, Any]) -> None:
    if node.driver is not None:
        about = f"is being restarted by {begun['operator']}: {begun['reason']}"
        found["note"] = found["note"] or about
        return
    layer = begun["layer"]
    found["problem"] = found["problem"] or problem(
        "restart-broken-off",
        f"the updater died while it restarted {begun['version']} for {begun['operator']}",
        begun["reason"],
        "any acting command starts the service first: run restart again"
        if layer == "none"
        else f"its second layer ({layer}) starts the service within a minute; restart does it "
        "at once",
    )


def _in_words(last: Mapping[str, Any]) -> str:
    before, after = last["from"] or {}, last["to"]
    if before.get("version") == after["version"] and before["digest"] != after["digest"]:
        return f"{after['version']} with other configuration"
    return str(after["version"])


def _staged(disk: Disk) -> list[str]:
    """Not the selected version, unless it is nobody's yet, or has other configuration."""
    may_be_selected = disk.active is None and (
        disk.finalized is None or disk.pointer in disk.nexts
    )
    return sorted(
        version
        for version in disk.marks
        if version in disk.staging and (version != disk.pointer or may_be_selected)
    )


def _unsigned(disk: Disk, staged: Sequence[str]) -> list[str]:
    others = [version for version in staged if version != disk.pointer]
    here = others if disk.pointer is None else [disk.pointer, *others]
    return [
        version
        for version in here
        if version in disk.provenance and not disk.provenance[version]["by"]
    ]


def slow(node: SimNode, document: Mapping[str, Any]) -> Facts:
    """What the running service says, and what has come in part."""
    disk = node.disk
    parts = sum(len(part) for part in disk.parts.values())
    return _service(node, document) | {"partial": parts + sum(disk.blobs.values())}


def _service(node: SimNode, document: Mapping[str, Any]) -> Facts:
    """What the running service says."""
    selected = node.disk.pointer
    process = node.process
    version = process.version if process is not None else selected
    if version is None:
        return {
            "running": None,
            "service": "stopped",
            "service_text": "the product is not installed",
            "health": "none",
            "health_text": "",
            "pid": None,
            "start_id": None,
            "leads": None,
        }
    service = Service(node, document, version)
    word, text = service.status()
    if word == "unknown" and process is not None:
        word = "started"
    health, evidence = _health(service, word)
    running: object = None if process is None else process.version
    if process is None and word != "stopped":
        running = {"unknown": "no process of it is known"}
    return {
        "running": running,
        "service": word,
        "service_text": text[:500],
        "health": health,
        "health_text": evidence[:2000],
        "pid": process.pid if process else None,
        "start_id": process.identity if process else None,
        "leads": (word != "stopped" and node.leads) if document.get("leader") else None,
    }


def _health(service: Service, word: str) -> tuple[str, str]:
    if not service.document["health"]:
        return "none", ""
    if word == "stopped":
        return "failing", "the service is stopped"
    checks = service.health()
    for level, found in (("hard", "failing"), ("soft", "soft_failing")):
        failure = first_failure(checks, level)
        if failure is not None:
            return found, f"{failure.name}: {failure.evidence}"
    return "healthy", ", ".join(check.name for check in checks)


def _add_last(found: Facts, node: SimNode) -> None:
    disk = node.disk
    found["previous"] = (disk.finalized or {}).get("previous")
    last = disk.last
    if last is not None:
        found["last"] = {name: last[name] for name in ("txn", "run", "outcome", "why")}
        if last["outcome"] == "undone":
            found["state"] = "rolled_back"
            found["note"] = f"rolled back from {_in_words(last)}: {last['why']}"
    if found["state"] == "idle" and found["staged"]:
        mark = disk.marks[found["staged"][-1]]
        found["state"] = "checked" if mark["checked"] else "staged"


def _describe(found: Facts, node: SimNode, opened: Transaction) -> None:
    records, plan = opened.records, opened.plan
    driver = node.driver is not None
    state = standing.state(records, driver)
    ends = standing.deadline(records)
    decided = standing.decision(records)
    counts = decided is None and not standing.is_held(records) and driver
    left = None if ends is None else round(ends - node.since_boot(), 1)
    armed = standing.last(records, "HOOK")
    layer = armed["layer"] if armed else "none"
    found["state"] = state
    found["previous"] = plan["from"]
    found["transaction"] = {
        "run": plan["run"],
        "txn": plan["txn"],
        "from": plan["from"],
        "to": plan["to"],
        "operator": plan["operator"],
        "since": records[0]["wt"],
        "driver": driver,
        "decision": decided,
        "healthy": standing.is_healthy(records),
        "seconds_left": left if counts else None,
        "then": plan["policy"]["if_operator_vanishes"] if counts else "",
        "why": standing.first_error(records),
        "last": records[-1]["t"],
        "updater": opened.updater,
        "layer": layer,
        "data": _data(records),
        "beside": [],
    }
    if state == "inconsistent":
        found["problem"] = _trouble(opened, layer)
    elif state == "held":
        held = standing.last(records, "HELD")
        found["note"] = f"held: {held['why'] if held else ''}"


def _data(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    record = standing.last(records, "DATA")
    if record is None:
        return None
    return {
        "directories": [bytes.fromhex(entry["path"]).decode() for entry in record["copied"]],
        "bytes": sum(entry["bytes"] for entry in record["copied"]),
        "since": record["wt"],
    }


def _trouble(opened: Transaction, layer: str) -> dict[str, str]:
    records = opened.records
    unproven = standing.last(records, "UNPROVEN")
    if unproven is not None:
        return problem(
            "undo-unproven",
            "the way back to the old version is not proven",
            "\n".join(unproven["paths"]),
            "repair what is named, then roll back again: it goes on where it stopped",
        )
    if standing.decision(records) == "FINALIZE":
        version = opened.plan["to"]["version"]
        return problem(
            "driver-gone",
            f"{version} is final; the updater died before it had cleaned up",
            "",
            "run finalize again: it goes on where it stopped",
        )
    return problem(
        "driver-gone",
        f"the updater on the node died at {records[-1]['t']}; nobody drives the node now",
        standing.first_error(records),
        "run upgrade or rollback again: it first brings the node back to rest"
        if layer == "none"
        else f"its second layer ({layer}) takes it up within a minute; upgrade or rollback "
        "do it at once",
    )
