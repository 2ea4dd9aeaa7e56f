"""`verify` on a simulated node, and what its watch tells of drift."""

from typing import Any

from backends.node import wire
from backends.sim import facts
from backends.sim.call import OK, Answer, Call, Refused
from backends.sim.checks import vouched
from backends.sim.content import Content, compare
from backends.sim.node import SimNode

_BAD = ("refused", "unknown")
_NAMES = 20

Found = tuple[str, str]


def verify(call: Call) -> Answer:
    """Say each row, then what differs; ok when nothing does, failed when something does."""
    version, digest = _at_rest(call)
    manifest = call.disk.record_of(version, digest)
    if manifest is None:
        text = f"nothing is recorded of {version} here"
        raise Refused("nothing-recorded", text, "", "adopt it first")
    found = compare(call.disk.trees.get(version), manifest.files)
    rows: list[tuple[str, Found]] = [
        ("recorded", _recorded(version, manifest.digest, digest)),
        ("signature", _signature(call, manifest)),
        ("installed files", ("ok" if found.is_whole else "refused", found.text())),
    ]
    bad = [name for name, (result, _) in rows if result in _BAD]
    parse = f"not asked: {bad[0]} has not passed" if bad else _parse(call)
    rows.append(("parse", ("unknown" if bad else "ok", parse)))
    for name, (result, evidence) in rows:
        about = {"name": name, "result": result, "evidence": evidence[:2000], "seconds": 0.0}
        call.send({"t": "row", **about})
    call.send(
        {
            "t": "verified",
            "version": version,
            "changed": found.changed,
            "missing": found.missing,
            "foreign": found.extra,
            "count": {
                "changed": len(found.changed),
                "missing": len(found.missing),
                "foreign": len(found.extra),
            },
        }
    )
    refused = [name for name, (result, _) in rows if result in _BAD]
    call.book().append(
        "VERIFY",
        operator=call.args["operator"],
        version=version,
        ok=not refused,
        text=found.text(),
        changed=found.changed,
        missing=found.missing,
        foreign=len(found.extra),
        refused=refused,
        **wire.request_of(call.args),
    )
    if not refused:
        return OK
    advice = "nothing is changed or missing; settle what the rows say"
    if not found.is_whole:
        advice = (
            "find out who did that; upgrade to the same release with --reinstall REASON repairs it"
        )
    return "failed", wire.problem(
        "not-verified" if found.is_whole else "drift",
        f"{version}: {', '.join(refused)}",
        "\n".join(f"{name}: {evidence}" for name, (result, evidence) in rows if result in _BAD),
        advice,
    )


def drift(node: SimNode, found: facts.Facts) -> Any:
    """What a watch tells of the version that is selected, while it is at rest."""
    version, opened = found["selected"], found["transaction"]
    if version is None or found["state"] == "inconsistent":
        return None
    if opened is not None and (opened["driver"] or opened["decision"] != "ACCEPT"):
        return None
    decided = opened["to"] if opened is not None else found["finalized"] or {}
    manifest = node.disk.record_of(version, decided.get("digest"))
    if manifest is None or decided.get("version") != version:
        return {"unknown": f"nothing is recorded of {version}"}
    differs = compare(node.disk.trees.get(version), manifest.files)
    return {
        "version": version,
        "files": len(manifest.files),
        "changed": sorted(differs.changed)[:_NAMES],
        "missing": sorted(differs.missing)[:_NAMES],
        "count": len(differs.changed) + len(differs.missing),
        "read": node.stamp()["wt"],
    }


def _at_rest(call: Call) -> tuple[str, str | None]:
    """The version that is selected and the digest that was decided on, at rest."""
    call.refuse_busy()
    found = facts.quick(call.node, call.document)
    opened, version = found["transaction"], found["selected"]
    if found["state"] == "inconsistent" or (opened and opened["decision"] != "ACCEPT"):
        raise Refused("upgrade-open", "an upgrade is in the middle on this node")
    if version is None:
        raise Refused("nothing-to-verify", "the product is not here")
    decided = opened["to"] if opened else found["finalized"] or {}
    return version, decided.get("digest") if decided.get("version") == version else None


def _recorded(version: str, found: str, wanted: str | None) -> Found:
    if wanted is None:
        return "refused", f"{version} is selected, and neither accepted nor final"
    if found != wanted:
        return "refused", f"the record was changed: its digest is {found}, not {wanted}"
    return "ok", found


def _signature(call: Call, record: Content) -> Found:
    if record.packaged is None:
        return "ok", f"{record.version} was adopted as it lay there: no release, no signature"
    return vouched(call, record)


def _parse(call: Call) -> str:
    return "exit 0" if call.document["check"]["parse"] else "the profile names no parse command"
