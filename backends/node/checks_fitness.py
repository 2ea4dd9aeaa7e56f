"""What `doctor` asks besides preflight: room, tools, and whether a boot would find the way back.

It reads only. What is wrong here need not stop an upgrade: that is what `refused` says.
"""

import os
import pwd
import shutil
from typing import List, Optional

from backends.node import (
    locks,
    processes,
    recover,
    second_layer,
    standing,
    systemd,
    transaction,
)
from backends.node.checks_order import Answer, Checks, Order
from backends.node.expand import ExpandError, expand
from backends.node.services import service_of

_SCARCE = 0.05
"""With a smaller part of it free, a file system is nearly full."""


def _account(order: Order) -> Answer:
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = "nobody known"
    return "ok", "%s, uid %d" % (name, number)


def _disk(order: Order) -> Answer:
    return _room(order, "bytes")


def _inodes(order: Order) -> Answer:
    return _room(order, "inodes")


def _room(order: Order, what: str) -> Answer:
    said: List[str] = []
    is_scarce = False
    seen = set()
    for path in (_nearest(order.places.home), _nearest(order.places.directory)):
        device = os.stat(path).st_dev
        if device in seen:
            continue
        seen.add(device)
        found = os.statvfs(path)
        unit = found.f_frsize if what == "bytes" else 1
        whole = (found.f_blocks if what == "bytes" else found.f_files) * unit
        free = (found.f_bavail if what == "bytes" else found.f_favail) * unit
        if not whole:
            said.append("%s: %s are not counted there" % (path, what))
            continue
        is_scarce = is_scarce or free < whole * _SCARCE
        said.append("%s: %d of %d %s free" % (path, free, whole, what))
    return "warn" if is_scarce else "ok", "; ".join(said)


def _ssh_keygen(order: Order) -> Answer:
    found = shutil.which("ssh-keygen", path=processes.SAFE_PATH)
    if found is None:
        return "warn", "not on %s: a signature is verified by the operator's side alone" % (
            processes.SAFE_PATH
        )
    return "ok", found


def _service_tools(order: Order) -> Answer:
    """What has to be there so that the service can be started and stopped at all."""
    settings = order.document["service"]
    return _TOOLS[settings["kind"]](order)


def _control(order: Order) -> Answer:
    version = order.layout.selected()
    name = order.document["service"]["control"]
    if version is None:
        return "ok", "%s comes with the release; nothing is installed" % name
    path = os.path.join(service_of(order.document, order.places, version).tree, name)
    if not os.path.isfile(path):
        return "refused", "%s is not there" % path
    if not os.access(path, os.X_OK):
        return "refused", "%s cannot be run by user %d" % (path, os.geteuid())
    return "ok", path


def _commands(order: Order) -> Answer:
    commands = order.document["service"]["commands"]
    wanted = [commands[verb][0] for verb in ("start", "stop") if commands.get(verb)]
    missing = [word for word in wanted if _why_missing(order, word)]
    if missing:
        return "refused", "; ".join(
            "%s: %s" % (each, _why_missing(order, each)) for each in missing
        )
    return "ok", ", ".join(wanted)


def _systemd(order: Order) -> Answer:
    unit, definition = (order.document["service"][key] for key in ("unit", "definition"))
    if shutil.which("systemctl", path=processes.SAFE_PATH) is None:
        return "refused", "systemctl is not on %s" % processes.SAFE_PATH
    if not systemd.is_here():
        return "refused", "systemd is not PID 1"
    try:
        loaded = systemd.show(unit, ["LoadState"])["LoadState"]
    except systemd.Silent as error:
        return "unknown", str(error)
    if loaded == "loaded" or (loaded == "not-found" and definition):
        return "ok", "%s is %s" % (unit, loaded)
    return "refused", "%s is %s" % (unit, loaded or "unknown to systemd")


def _sysv(order: Order) -> Answer:
    path = os.path.join("/etc/init.d", order.document["service"]["script"])
    if os.access(path, os.X_OK) or order.document["service"]["definition"]:
        return "ok", path
    return "refused", "%s is not there, or cannot be run" % path


_TOOLS = {"control": _control, "command": _commands, "systemd": _systemd, "sysv": _sysv}


def _profile_commands(order: Order) -> Answer:
    """The programs that the profile names: checks, hooks, facts, data."""
    document = order.document
    named = [document["check"]["parse"], document["data"]["old_can_read"]]
    named += [check["command"] for check in document["health"]]
    named += [hook[key] for hook in document["hooks"] for key in ("command", "undo")]
    named.append((document["facts"]["version"] or {}).get("command"))
    words = sorted({words[0] for words in named if words})
    missing = [(word, why) for word in words for why in [_why_missing(order, word)] if why]
    folder = document["check"]["directory"]
    if folder is not None and not os.path.isdir(_expanded(order, folder) or folder):
        missing.append((folder, "no such directory"))
    if missing:
        return "warn", "; ".join("%s: %s" % each for each in missing)
    return "ok", ", ".join(words) or "the profile names none"


def _why_missing(order: Order, word: str) -> str:
    """Why a program cannot be run; empty where it can, or where it comes with the release."""
    program = _expanded(order, word)
    if program is None:
        return ""
    if "/" not in program:
        found = shutil.which(program, path=processes.SAFE_PATH)
        return "" if found else "not on %s" % processes.SAFE_PATH
    if not os.path.isabs(program):
        version = order.layout.selected()
        if version is None:
            return ""
        tree = service_of(order.document, order.places, version).tree
        program = os.path.join(tree, program)
    if not os.path.isfile(program):
        return "not there"
    return "" if os.access(program, os.X_OK) else "cannot be run"


def _expanded(order: Order, text: str) -> Optional[str]:
    """With the version that is selected; None where it needs one and there is none."""
    version = order.layout.selected()
    values = dict(order.document["values"], **({"version": version} if version else {}))
    try:
        return expand(text, values)
    except ExpandError:
        return None


def _boot_hook(order: Order) -> Answer:
    """Whether the second layer stands where it is needed, and nowhere else."""
    there = second_layer.standing_of(order.places)
    opened = transaction.load(order.places)
    if opened is not None:
        opened.close()
    if opened is None or not recover.needs_recovery(opened):
        if there.is_any and not locks.is_held(order.places):
            return "warn", "left over, nothing is to be taken up: %s" % there.text
        return "ok", "none has to be armed: nothing is to be taken up"
    hook = standing.last(opened.records, "HOOK") or {"layer": "none", "why": "none was recorded"}
    if hook["layer"] == "none":
        return "warn", "an upgrade is open and none is armed: %s" % hook["why"]
    if there.whole != hook["layer"]:
        return "refused", "%s should be armed for the open upgrade: %s" % (
            hook["layer"],
            there.text,
        )
    return "ok", "%s is armed: %s" % (hook["layer"], there.text)


def _nearest(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


CHECKS: Checks = [
    ("account", _account),
    ("disk", _disk),
    ("inodes", _inodes),
    ("ssh-keygen", _ssh_keygen),
    ("service tools", _service_tools),
    ("profile commands", _profile_commands),
    ("boot hook", _boot_hook),
]
