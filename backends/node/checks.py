"""The `check` command: each check a named row with a result and its evidence; none is silent.

`preflight` and `installed` read only and leave nothing; `staged` looks at the staged tree, tries
what the switch will need, and rehearses the way back. Source: design.md, section 6.
"""

import os
import shutil
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from backends.node import (
    checks_service,
    data,
    fitting,
    health,
    images,
    locks,
    processes,
    provenance,
    second_layer,
    transaction,
)
from backends.node.layout import Layout, PointerUnreadable
from backends.node.layouts import layout_of
from backends.node.places import Places, UnsafePlace, read_json, refuse_unsafe
from backends.node.services import service_of

Row = Dict[str, Any]
Answer = Tuple[str, str]
"""Result (`ok | warn | refused | unknown`) and evidence."""


class Order(NamedTuple):
    """What a check is about."""

    places: Places
    document: Dict[str, Any]
    args: Dict[str, Any]

    @property
    def layout(self) -> Layout:
        """How the product's versions lie on this node."""
        return layout_of(self.document, self.places)


def run(order: Order, scope: str) -> Iterator[Row]:
    """The rows of a scope.

    `preflight` is about the node before anything is sent to it, `staged` about the staged version
    before the switch, `installed` about the version that runs.
    """
    for name, check in _SCOPES[scope]:
        began = time.monotonic()
        try:
            result, evidence = check(order)
        except (OSError, ValueError, PointerUnreadable) as error:
            result, evidence = "unknown", str(error)
        yield {
            "t": "row",
            "name": name,
            "result": result,
            "evidence": evidence[:2000],
            "seconds": round(time.monotonic() - began, 3),
        }


def _python(order: Order) -> Answer:
    found = "%d.%d.%d" % sys.version_info[:3]
    wanted = str(order.args.get("needs", {}).get("python", "3.6"))
    if sys.version_info[:2] < tuple(int(part) for part in wanted.split(".")):
        return "refused", "%s, the release needs %s" % (found, wanted)
    return "ok", found


def _commands(order: Order) -> Answer:
    """O13: tools that the release needs and that nobody finds on this node."""
    wanted = [str(name) for name in order.args.get("needs", {}).get("commands", [])]
    missing = [name for name in wanted if shutil.which(name, path=processes.SAFE_PATH) is None]
    if missing:
        return "refused", "not on %s: %s" % (processes.SAFE_PATH, ", ".join(missing))
    return "ok", ", ".join(wanted) or "none needed"


def _state(order: Order) -> Answer:
    here = _nearest(order.places.home)
    try:
        refuse_unsafe(here)
    except UnsafePlace as error:
        return "refused", str(error)
    if not os.access(here, os.W_OK | os.X_OK):
        return "refused", "%s cannot be written by user %d" % (here, os.geteuid())
    return "ok", order.places.state_dir


def _directory(order: Order) -> Answer:
    path = order.places.directory
    if os.path.lexists(path) and not os.path.isdir(path):
        return "refused", "%s is there and is no directory" % path
    here = _nearest(path)
    if not os.path.isdir(here) or not os.access(here, os.W_OK | os.X_OK):
        return "refused", "%s cannot be written by user %d" % (here, os.geteuid())
    return "ok", path if here == path else "%s does not exist yet" % path


def _space(order: Order) -> Answer:
    """Staged and unpacked at once, and 10 %; files count, too."""
    needed = int(order.args["bytes"] * 2 * 1.1) + (1 << 20)
    for path in (_nearest(order.places.home), _nearest(order.places.directory)):
        why_not = _too_small(path, needed, order.args["files"] * 2)
        if why_not:
            return "refused", why_not
    return "ok", "%d bytes needed" % needed


def _too_small(path: str, needed: int, files: int) -> str:
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        return "%s has %d bytes free, %d are needed" % (path, free, needed)
    if found.f_files and found.f_favail < files + 100:
        return "%s has %d inodes free" % (path, found.f_favail)
    return ""


def _data(order: Order) -> Answer:
    """How much is copied while the service is down, how long that takes, and whether it fits."""
    service = service_of(order.document, order.places, "")
    paths = data.directories(service, order.document)
    said = []
    for path in paths:
        size = data.size_of(path)
        why_not = _too_small(_nearest(path), int(size.bytes * 1.1) + (1 << 20), size.files)
        if why_not:
            return "refused", why_not
        seconds = size.bytes / data.BYTES_A_SECOND
        told = "%s: %d files, %d bytes, some %.0f s"
        said.append(told % (path, size.files, size.bytes, seconds))
    try:
        data.refuse_unfit(paths, [])
    except data.Unfit as error:
        return "refused", str(error)
    return "ok", "; ".join(said) or "none is copied"


def _lock(order: Order) -> Answer:
    if not locks.is_held(order.places):
        return "ok", "free"
    owner = read_json(order.places.owner) or {}
    return "refused", "held: run %s of %s" % (owner.get("run"), owner.get("operator"))


def _transaction(order: Order) -> Answer:
    opened = transaction.load(order.places)
    if opened is None:
        return "ok", "none is open"
    opened.close()
    return "refused", "run %s to %s is open since %s" % (
        opened.run,
        opened.to["version"],
        time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(opened.records[0]["wt"])),
    )


def _disabled(order: Order) -> Answer:
    if os.path.exists(order.places.disabled):
        reason = processes.tail(order.places.disabled, 300).decode("utf-8", "replace").strip()
        return "refused", reason or "marked disabled"
    return "ok", "not disabled"


def _finalized(order: Order) -> Answer:
    """N9: an upgrade begins only where the last one is finalized, or from nothing."""
    selected = order.layout.selected()
    marker = read_json(order.places.finalized)
    if marker is None and selected is None:
        return "ok", "nothing is installed"
    if marker is None:
        return (
            "refused",
            "%s is selected and no finalized record exists: adopt it first" % selected,
        )
    if marker["version"] != selected:
        return "refused", "%s is finalized, %s is selected" % (marker["version"], selected)
    return "ok", "%s, run %s" % (marker["version"], marker["run"])


def _baseline(order: Order) -> Answer:
    """A hard check that fails before would fail afterwards for a reason that is not ours."""
    version = order.layout.selected()
    if version is None:
        return "ok", "nothing is installed"
    service = service_of(order.document, order.places, version)
    word, text = service.status()
    if word != "started":
        return "refused", "the service is %s before the upgrade: %s" % (word, text)
    checks = health.run_all(order.document, service)
    failure = health.first_failure(checks)
    if failure is not None:
        return "refused", "%s fails before the upgrade: %s" % (failure.name, failure.evidence)
    soft = health.first_failure(checks, "soft")
    if soft is not None:
        return "warn", "%s fails before the upgrade: %s" % (soft.name, soft.evidence)
    return "ok", ", ".join(check.name for check in checks) or "no checks"


def _second_layer(order: Order) -> Answer:
    """Which one there is, and what follows if there is none."""
    found = second_layer.choose(str(order.args.get("second_layer", "auto")))
    if found.kind == "systemd":
        return (
            "ok",
            "systemd: at boot the node is back before its service starts; else within 60 s",
        )
    if found.kind == "cron":
        return (
            "ok",
            "cron: back within 60 s, after a boot too; then the new version may run before",
        )
    return "warn", "none (%s): after a power cut the next acting command brings the node back" % (
        found.why
    )


def _clock(order: Order) -> Answer:
    there = float(order.args["now"])
    skew = abs(time.time() - there)
    text = "%.1f s from the operator's clock" % skew
    return ("refused" if skew > 60 else "warn" if skew > 5 else "ok"), text


def _signature(order: Order) -> Answer:
    return provenance.check(order.places, order.args)


def _tree(order: Order) -> Answer:
    """R4: one altered, missing or extra file in the staged tree, and it is refused by name."""
    version = order.args["version"]
    manifest = _manifest(order)
    mark = read_json(os.path.join(order.places.staged, version + ".json"))
    if manifest is None or mark is None:
        return "refused", "%s is not staged" % version
    if manifest["digest"] != order.args["digest"] or mark["digest"] != order.args["digest"]:
        return "refused", "other content is staged: %s" % manifest["digest"]
    found = images.compare(_tree_of(order), manifest["files"])
    return ("ok" if found.is_exact else "refused"), found.text()


def _service(order: Order) -> Answer:
    service = service_of(order.document, order.places, order.args["version"])
    return checks_service.check(service, order.layout, _tree_of(order))


def _same(order: Order) -> Answer:
    """O18: other content under the version that is installed is never put over it."""
    version = order.args["version"]
    if order.layout.selected() != version:
        return "ok", "%s is not what is selected now" % version
    marker = read_json(order.places.finalized) or {}
    if marker.get("digest") != order.args["digest"]:
        return "refused", "%s is installed with other content" % version
    return "ok", "the same content"


def _fitting(order: Order) -> Answer:
    return fitting.check(order.layout, order.args["version"])


def _rehearsal(order: Order) -> Answer:
    """The way back, proven before the way forward: its target is there and whole."""
    version = order.layout.selected()
    if version is None:
        return "ok", "the way back is to remove the product"
    manifest = order.layout.manifest(version)
    if manifest is None:
        return "refused", "nothing is recorded about %s: adopt it first" % version
    found = order.layout.compare(version, manifest["files"])
    if not found.is_whole and order.places.flat:
        return "warn", (
            "%s is not what was recorded: %s. The way back is to what lies here now; what is "
            "replaced of it is kept in conflicts when %s is finalized"
            % (version, found.text(), order.args["version"])
        )
    if not found.is_whole:
        return "refused", "%s is not what was recorded: %s" % (version, found.text())
    return "ok", "back to %s: %s" % (version, found.text())


def _installed(order: Order) -> Answer:
    """Z10: a version that is there already is left alone, after its bytes were looked at."""
    version = order.args["version"]
    selected = order.layout.selected()
    if selected != version:
        return "refused", "%s is selected, not %s" % (selected, version)
    manifest = _manifest(order)
    if manifest is None or manifest["digest"] != order.args["digest"]:
        return "refused", "what is recorded of %s is other content" % version
    found = order.layout.compare(version, manifest["files"])
    return ("ok" if found.is_whole else "refused"), found.text()


def _serving(order: Order) -> Answer:
    """The version that is there runs, says so itself, and is healthy."""
    service = service_of(order.document, order.places, order.args["version"])
    word, text = service.status()
    if word != "started":
        return "refused", "the service is %s: %s" % (word, text)
    checks = health.run_all(order.document, service)
    failure = health.first_failure(checks)
    if failure is not None:
        return "refused", "%s fails: %s" % (failure.name, failure.evidence)
    return "ok", ", ".join(check.name for check in checks) or "no checks"


def _manifest(order: Order) -> Optional[Dict[str, Any]]:
    return read_json(order.places.manifest(order.args["version"]))


def _tree_of(order: Order) -> str:
    staged_tree = order.places.staged_tree(order.args["version"])
    placed = order.places.tree(order.args["version"])
    return staged_tree if os.path.isdir(staged_tree) else placed


def _nearest(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


_PREFLIGHT: List[Tuple[str, Callable[[Order], Answer]]] = [
    ("python", _python),
    ("needed commands", _commands),
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

_STAGED: List[Tuple[str, Callable[[Order], Answer]]] = [
    ("signature", _signature),
    ("staged files", _tree),
    ("service", _service),
    ("same version, other content", _same),
    ("rename and link", _fitting),
    ("rollback rehearsal", _rehearsal),
]

_SCOPES: Dict[str, List[Tuple[str, Callable[[Order], Answer]]]] = {
    "preflight": _PREFLIGHT,
    "staged": _STAGED,
    "installed": [("installed files", _installed), ("serving", _serving)],
}
