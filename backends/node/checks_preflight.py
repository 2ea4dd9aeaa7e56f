"""Preflight: what must hold of a node before anything is sent to it. It reads only."""

import os
import shutil
import sys
import time

from backends.node import (
    checks_release,
    data,
    health,
    locks,
    processes,
    second_layer,
    transaction,
)
from backends.node.checks_order import Answer, Checks, Order
from backends.node.places import UnsafePlace, read_json, refuse_unsafe
from backends.node.services import service_of


def _python(order: Order) -> Answer:
    found = "%d.%d.%d" % sys.version_info[:3]
    wanted = str(order.release.get("python", "3.6"))
    if sys.version_info[:2] < tuple(int(part) for part in wanted.split(".")):
        return "refused", "%s, the release needs %s" % (found, wanted)
    return "ok", found


def _commands(order: Order) -> Answer:
    """O13: tools that the release needs and that nobody finds on this node."""
    wanted = [str(name) for name in order.release.get("commands", [])]
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
    """A hard check that fails before would fail afterwards for a reason that is not ours.

    Not where what is there is installed again: that may be the way to mend it. But it has to be
    stopped first: a process whose service does not know of it is left to a person.
    """
    answer, text = _before(order)
    again = order.args.get("reinstall")
    if answer != "refused" or not again or _cannot_be_stopped(order):
        return answer, text
    return "warn", "%s; installed again: %s" % (text, again)


def _cannot_be_stopped(order: Order) -> bool:
    version = order.layout.selected()
    if version is None or order.document["service"]["on_stop_timeout"] == "kill":
        return False
    service = service_of(order.document, order.places, version)
    return service.status()[0] == "unknown" and bool(service.living())


def _before(order: Order) -> Answer:
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


def _nearest(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


CHECKS: Checks = [
    ("python", _python),
    ("needed commands", _commands),
    ("needed libraries", checks_release.libraries),
    ("architecture", checks_release.architecture),
    ("sequence", checks_release.sequence),
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
