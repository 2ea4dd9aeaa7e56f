"""The rows of `check` on a simulated node, in the updater's order and words."""

from collections.abc import Iterator
from typing import Any

from backends.node import wire
from backends.sim import checks_preflight
from backends.sim.call import Answer, Call
from backends.sim.checks_preflight import Checks, Found
from backends.sim.content import Comparison, Content, Tree, compare
from backends.sim.service import first_failure

_BAD = ("refused", "unknown")
_RUNS = frozenset(["service", "parse"])
"""Checks that run something of the staged version."""

Row = dict[str, Any]


def check(call: Call) -> Answer:
    """Say every row of a scope; what came of them together."""
    scope = call.args["scope"]
    rows = list(_rows(call, scope))
    for row in rows:
        call.send(row)
    bad = [row for row in rows if row["result"] in _BAD]
    if scope == "staged":
        _remember(call, rows, not bad)
    if not bad:
        return "ok", None
    return "refused", wire.problem(
        "locked" if any(row["name"] == "lock" for row in bad) else "check-refused",
        f"{bad[0]['name']}: {bad[0]['result']}",
        "\n".join(f"{row['name']}: {row['evidence']}" for row in bad),
        "nothing was changed; repair it, then start again",
    )


def _rows(call: Call, scope: str) -> Iterator[Row]:
    told = dict(call.node.rows)
    if scope == "staged":
        refuses = call.node.behaviour(call.args["version"]).refuses
        told |= {name: ("refused", evidence) for name, evidence in refuses.items()}
    before = ""
    for name, ask in _SCOPES[scope]:
        result, evidence = told.get(name) or ask(call)
        if before and name in _RUNS:
            result, evidence = "unknown", f"not asked: {before} has not passed"
        before = before or (name if result in _BAD else "")
        yield {
            "t": "row",
            "name": name,
            "result": result,
            "evidence": evidence[:2000],
            "seconds": 0.0,
        }


def _remember(call: Call, rows: list[Row], passed: bool) -> None:
    mark = call.disk.marks.get(call.args["version"])
    if mark is None:
        return
    mark["checked"] = passed
    call.node.changed()
    for row in rows:
        call.book().append(
            "ROW",
            run=call.args["run"],
            **wire.request_of(call.args),
            **{key: row[key] for key in ("name", "result", "evidence", "seconds")},
        )


# --- staged -------------------------------------------------------------------------------------


def _signature(call: Call) -> Found:
    version, record = call.args["version"], _record(call)
    if record is None:
        return "refused", f"{version} is not staged"
    return vouched(call, record)


def vouched(call: Call, record: Content) -> Found:
    """Who vouches for a content, by what was said when its release was staged."""
    said = call.disk.provenance.get(record.version)
    if said is None or said["packaged"] != record.packaged:
        return "refused", f"nothing is known of where {record.version} comes from"
    more = f"; imported from {said['imported']}" if said["imported"] else ""
    if record.digest != record.packaged:
        more += "; the configuration that was put into it is signed by nobody"
    if not said["by"]:
        return "warn", f"NOT SIGNED; the cluster file allows it{more}"
    return "ok", f"{said['by']}, {said['key']}, verified again here{more}"


def _digest(call: Call) -> Found:
    version, wanted = call.args["version"], call.args["digest"]
    manifest, mark = _record(call), call.disk.marks.get(version)
    if manifest is None or mark is None:
        return "refused", f"{version} is not staged"
    for found in (mark["digest"], manifest.digest):
        if found != wanted:
            return "refused", f"other content is staged: {found}, planned was {wanted}"
    return "ok", wanted


def _tree(call: Call) -> Found:
    version, manifest = call.args["version"], _record(call)
    if manifest is None:
        return "refused", f"{version} is not staged"
    found = compare(_tree_of(call), manifest.files)
    return ("ok" if found.is_exact else "refused"), found.text()


def _control(call: Call) -> Found:
    settings = call.document["service"]
    if settings["kind"] != "control":
        return "ok", "the service is started by commands"
    tree = _tree_of(call)
    if tree is None or settings["control"] not in {each["path"] for each in tree.listing()}:
        path = f"{call.places.beside}/staging/{call.args['version']}/{settings['control']}"
        return "refused", f"{path} is missing or cannot be executed"
    return "ok", "status said exit 0: stoped"


def _same(call: Call) -> Found:
    version = call.args["version"]
    if call.disk.pointer != version:
        return "ok", f"{version} is not what is selected now"
    marker, record = call.disk.finalized or {}, _record(call)
    if marker.get("digest") == call.args["digest"]:
        return "ok", "the same content"
    if record is None or record.packaged is None or record.packaged != marker.get("packaged"):
        return "refused", f"{version} is installed with other content"
    return "ok", "the same release, with other configuration"


def _links(call: Call) -> Found:
    placed, record = call.disk.trees.get(call.args["version"]), _record(call)
    if record is not None and compare(placed, record.files).is_exact:
        return "ok", "rename and link work; nothing differs"
    return "ok", "rename and link work; to %s 1" % ("replace" if placed else "create")


def _rehearsal(call: Call) -> Found:
    version = call.disk.pointer
    if version is None:
        return "ok", "the way back is to remove the product"
    found = _recorded(call, version)
    if found is None:
        return "refused", f"nothing is recorded about {version}: adopt it first"
    if not found.is_whole and version == call.args["version"]:
        return "warn", (
            f"{version} is not what was recorded: {found.text()}. The way back is to what lies "
            f"here now; what is replaced of it is kept in conflicts when {version} is finalized"
        )
    if not found.is_whole:
        return "refused", f"{version} is not what was recorded: {found.text()}"
    return "ok", f"back to {version}: {found.text()}"


def _configuration(call: Call) -> Found:
    return "ok", "none was edited" if call.document["config"] else "the profile names none"


def _parse(call: Call) -> Found:
    words = call.document["check"]["parse"]
    return "ok", "exit 0" if words else "the profile names no parse command"


# --- installed ----------------------------------------------------------------------------------


def _installed(call: Call) -> Found:
    version, selected = call.args["version"], call.disk.pointer
    if selected != version:
        return "refused", f"{selected} is selected, not {version}"
    manifest, found = _record(call), _recorded(call, version)
    if manifest is None or found is None or manifest.digest != call.args["digest"]:
        return "refused", f"what is recorded of {version} is other content"
    return ("ok" if found.is_whole else "refused"), found.text()


def _serving(call: Call) -> Found:
    service = call.service(call.args["version"])
    word, text = service.status()
    if word != "started":
        return "refused", f"the service is {word}: {text}"
    checks = service.health()
    failure = first_failure(checks)
    if failure is not None:
        return "refused", f"{failure.name} fails: {failure.evidence}"
    return "ok", ", ".join(each.name for each in checks) or "no checks"


def _record(call: Call) -> Content | None:
    """Of the content that it is asked about."""
    return call.disk.record_of(call.args["version"], call.args.get("digest"))


def _recorded(call: Call, version: str) -> Comparison | None:
    """How what lies there differs from what was made final."""
    manifest = call.disk.manifests.get(version)
    return None if manifest is None else compare(call.disk.trees.get(version), manifest.files)


def _tree_of(call: Call) -> Tree | None:
    version = call.args["version"]
    return call.disk.staging.get(version) or call.disk.trees.get(version)


_STAGED: Checks = [
    ("signature", _signature),
    ("digest", _digest),
    ("staged files", _tree),
    ("architecture", checks_preflight.architecture),
    ("sequence", checks_preflight.sequence),
    ("service", _control),
    ("same version, other content", _same),
    ("rename and link", _links),
    ("rollback rehearsal", _rehearsal),
    ("configuration", _configuration),
    ("parse", _parse),
]

_SCOPES: dict[str, Checks] = {
    "preflight": checks_preflight.CHECKS,
    "staged": _STAGED,
    "installed": [("installed files", _installed), ("serving", _serving)],
}
