"""The rows of `check` before anything is sent, on a simulated node."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from backends.sim.call import Call
from backends.sim.service import first_failure

Found = tuple[str, str]
"""Result (`ok | warn | refused | unknown`) and evidence."""

Checks = list[tuple[str, Callable[[Call], Found]]]

_DAY_SECONDS = 86_400.0


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


def architecture(call: Call) -> Found:
    """A simulated node is an x86_64."""
    wanted = str(_release(call).get("arch", "any"))
    if wanted in ("any", "x86_64", "amd64"):
        return "ok", f"x86_64 here, the release is for {wanted}"
    return "refused", f"this machine is x86_64, the release is for {wanted}"


def sequence(call: Call) -> Found:
    """No silent downgrade, no leap that shuts out the next."""
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


CHECKS: Checks = [
    ("python", _python),
    ("needed commands", _commands),
    ("needed libraries", _libraries),
    ("architecture", architecture),
    ("sequence", sequence),
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
