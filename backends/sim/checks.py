"""The rows of `check` on a simulated node, in the updater's order and words."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from backends.node import wire
from backends.sim.call import Answer, Call
from backends.sim.content import Comparison, Tree, compare
from backends.sim.service import first_failure

_BAD = ("refused", "unknown")
_RUNS = frozenset(["service", "parse"])
"""Checks that run something of the staged version."""

_DAY_SECONDS = 86_400.0

Row = dict[str, Any]
Found = tuple[str, str]
"""Result (`ok | warn | refused | unknown`) and evidence."""


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
            **{key: row[key] for key in ("name", "result", "evidence", "seconds")},
        )


# --- preflight ----------------------------------------------------------------------------------


def _python(call: Call) -> Found:
    wanted = str(_release(call).get("python", "3.6"))
    found = call.node.python
    if _numbers(found)[:2] < _numbers(wanted):
        return "refused", f"{found}, the release needs {wanted}"
    return "ok", found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _commands(call: Call) -> Found:
    return "ok", ", ".join(map(str, _release(call).get("commands", []))) or "none needed"


def _libraries(call: Call) -> Found:
    return "ok", ", ".join(map(str, _release(call).get("libraries", []))) or "none needed"


def _architecture(call: Call) -> Found:
    wanted = str(_release(call).get("arch", "any"))
    if wanted in ("any", "x86_64", "amd64"):
        return "ok", f"x86_64 here, the release is for {wanted}"
    return "refused", f"this machine is x86_64, the release is for {wanted}"


def _sequence(call: Call) -> Found:
    release, floor = _release(call), call.disk.floor
    if not release:
        return "ok", f"no release is asked about; {floor} was finalized here"
    found, why = int(release["sequence"]), str(call.args.get("downgrade", ""))
    if found > float(call.args["now"]) + _DAY_SECONDS:
        text = f"sequence {found} lies in the future: no later release could follow it here"
        return "refused", text
    if floor < 0:
        return "ok", f"sequence {found}, nothing was finalized here yet"
    if found >= floor:
        return "ok", f"sequence {found}, {floor} was finalized here"
    if why:
        return "warn", f"DOWNGRADE: sequence {found} is older than {floor}; because: {why}"
    said = f"sequence {found} is older than {floor}, which was finalized here"
    return "refused", f"{said}; if that is meant, say why: --downgrade REASON"


def _release(call: Call) -> Mapping[str, Any]:
    found: Mapping[str, Any] = call.args.get("release") or {}
    return found


def _state(call: Call) -> Found:
    return "ok", call.places.state_dir


def _directory(call: Call) -> Found:
    path = call.places.directory
    is_there = bool(call.disk.trees) or call.disk.has_beside
    return "ok", path if is_there else f"{path} does not exist yet"


def _space(call: Call) -> Found:
    needed = int(call.args["bytes"] * 2 * 1.1) + (1 << 20)
    free = call.node.free_bytes
    if free is not None and free < needed:
        return "refused", f"{call.places.directory} has {free} bytes free, {needed} are needed"
    return "ok", f"{needed} bytes needed"


def _data(call: Call) -> Found:
    paths = call.document["data"]["directories"]
    said = [f"{path}: 3 files, 4096 bytes, some 0 s" for path in paths]
    return "ok", "; ".join(said) or "none is copied"


def _lock(call: Call) -> Found:
    if call.node.driver is None:
        return "ok", "free"
    owner = call.node.owner
    return "refused", f"held: run {owner.get('run')} of {owner.get('operator')}"


def _transaction(call: Call) -> Found:
    opened = call.disk.active
    if opened is None:
        return "ok", "none is open"
    since = datetime.fromtimestamp(opened.records[0]["wt"], UTC)
    return "refused", (
        f"run {opened.plan['run']} to {opened.plan['to']['version']} is open "
        f"since {since:%Y-%m-%d %H:%M:%SZ}"
    )


def _disabled(call: Call) -> Found:
    reason = call.disk.disabled
    if reason is not None:
        return "refused", reason.strip() or "marked disabled"
    return "ok", "not disabled"


def _finalized(call: Call) -> Found:
    selected, marker = call.disk.pointer, call.disk.finalized
    if marker is None and selected is None:
        return "ok", "nothing is installed"
    if marker is None:
        text = f"{selected} is selected and no finalized record exists: adopt it first"
        return "refused", text
    if marker["version"] != selected:
        return "refused", f"{marker['version']} is finalized, {selected} is selected"
    return "ok", f"{marker['version']}, run {marker['run']}"


def _clock(call: Call) -> Found:
    """A simulated node's clock is as wrong as it was told to be, whoever asks when."""
    skew = abs(call.node.clock_skew)
    result = "refused" if skew > 60 else "warn" if skew > 5 else "ok"
    return result, f"{skew:.1f} s from the operator's clock"


def _baseline(call: Call) -> Found:
    answer, text = _before(call)
    again = call.args.get("reinstall")
    if answer != "refused" or not again:
        return answer, text
    return "warn", f"{text}; installed again: {again}"


def _before(call: Call) -> Found:
    version = call.disk.pointer
    if version is None:
        return "ok", "nothing is installed"
    service = call.service(version)
    word, text = service.status()
    if word != "started":
        return "refused", f"the service is {word} before the upgrade: {text}"
    checks = service.health()
    failure = first_failure(checks)
    if failure is not None:
        return "refused", f"{failure.name} fails before the upgrade: {failure.evidence}"
    soft = first_failure(checks, "soft")
    if soft is not None:
        return "warn", f"{soft.name} fails before the upgrade: {soft.evidence}"
    return "ok", ", ".join(each.name for each in checks) or "no checks"


def _second_layer(call: Call) -> Found:
    if call.args.get("second_layer", "auto") == "none":
        back = "after a power cut the next acting command brings the node back"
        return "warn", f"none (ordered so by second_layer): {back}"
    return "ok", "systemd: at boot the node is back before its service starts; else within 60 s"


# --- staged -------------------------------------------------------------------------------------


def _signature(call: Call) -> Found:
    version = call.args["version"]
    said = call.disk.provenance.get(version)
    if said is None or said["digest"] != call.args["digest"]:
        return "refused", f"nothing is known of where {version} comes from"
    return signed(said)


def signed(said: Mapping[str, str]) -> Found:
    """Who vouches for a version, by what was said when it was staged."""
    imported = f"; imported from {said['imported']}" if said["imported"] else ""
    if not said["by"]:
        return "warn", f"NOT SIGNED; the cluster file allows it{imported}"
    return "ok", f"{said['by']}, {said['key']}, verified again here{imported}"


def _digest(call: Call) -> Found:
    version, wanted = call.args["version"], call.args["digest"]
    manifest, mark = call.disk.manifests.get(version), call.disk.marks.get(version)
    if manifest is None or mark is None:
        return "refused", f"{version} is not staged"
    for found in (mark["digest"], manifest.digest):
        if found != wanted:
            return "refused", f"other content is staged: {found}, planned was {wanted}"
    return "ok", wanted


def _tree(call: Call) -> Found:
    version = call.args["version"]
    manifest = call.disk.manifests.get(version)
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
    if (call.disk.finalized or {}).get("digest") != call.args["digest"]:
        return "refused", f"{version} is installed with other content"
    return "ok", "the same content"


def _links(call: Call) -> Found:
    placed = call.disk.trees.get(call.args["version"])
    if compare(placed, call.disk.manifests[call.args["version"]].files).is_exact:
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
    manifest, found = call.disk.manifests.get(version), _recorded(call, version)
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


def _recorded(call: Call, version: str) -> Comparison | None:
    manifest = call.disk.manifests.get(version)
    return None if manifest is None else compare(call.disk.trees.get(version), manifest.files)


def _tree_of(call: Call) -> Tree | None:
    version = call.args["version"]
    return call.disk.staging.get(version) or call.disk.trees.get(version)


_Checks = list[tuple[str, Callable[[Call], Found]]]

_PREFLIGHT: _Checks = [
    ("python", _python),
    ("needed commands", _commands),
    ("needed libraries", _libraries),
    ("architecture", _architecture),
    ("sequence", _sequence),
    ("state directory", _state),
    ("product directory", _directory),
    ("space", _space),
    ("data", _data),
    ("lock", _lock),
    ("open upgrade", _transaction),
    ("not disabled", _disabled),
    ("last upgrade finalized", _finalized),
    ("clock", _clock),
    ("baseline", _baseline),
    ("second layer", _second_layer),
]

_STAGED: _Checks = [
    ("signature", _signature),
    ("digest", _digest),
    ("staged files", _tree),
    ("architecture", _architecture),
    ("sequence", _sequence),
    ("service", _control),
    ("same version, other content", _same),
    ("rename and link", _links),
    ("rollback rehearsal", _rehearsal),
    ("configuration", _configuration),
    ("parse", _parse),
]

_SCOPES: dict[str, _Checks] = {
    "preflight": _PREFLIGHT,
    "staged": _STAGED,
    "installed": [("installed files", _installed), ("serving", _serving)],
}
