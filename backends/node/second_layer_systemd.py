"""The second layer by systemd: a timer, what it starts, and a unit for the next boot.

The units go away by themselves: what they start takes them away when there is nothing left to do.
"""

import os
from typing import Dict, List, Tuple

from backends.node import systemd
from backends.node.places import (
    Places,
    make_directories,
    remove_if_there,
    sync_directory,
    write_file,
)
from backends.node.processes import Ran

EVERY_SECONDS = 60

_BOOT_SECONDS = 900
"""How long a boot waits for the node to be brought back; longer than any undo may take."""

STARTERS = ("rc-local.service", "cron.service", "crond.service")
"""What else may start a product at boot, besides a unit of its own."""

_TICK = """\
# Takes up the work of an updater of Liftlock that died or hangs. Goes away by itself.
[Unit]
Description=Liftlock: take up the upgrade of {product} if nobody drives it

[Service]
Type=oneshot
KillMode=process
ExecStart={tick}
"""

_TIMER = """\
# Looks whether an updater of Liftlock is at work. Goes away by itself.
[Unit]
Description=Liftlock: look after the upgrade of {product}

[Timer]
OnActiveSec={every}
OnUnitInactiveSec={every}
AccuracySec=1
"""

_BOOT = """\
# Brings the node back before its service starts. Goes away by itself.
[Unit]
Description=Liftlock: bring {product} back before it starts
DefaultDependencies=no
After=local-fs.target
RequiresMountsFor={mounts}
Before={before} shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
KillMode=process
TimeoutStartSec={limit}
ExecStart={boot}
"""


def why_not() -> str:
    """Why this node cannot have it; empty when it can."""
    if not systemd.is_here():
        return "systemd is not PID 1"
    if not os.access(systemd.UNITS, os.W_OK):
        return "%s cannot be written" % systemd.UNITS
    return ""


def arm(places: Places, command: List[str], before: List[str]) -> None:
    """Put the units there, durable, and start the timer.

    Raises:
        OSError: They are not there, or systemd does not take them.
    """
    name, where = places.second_layer, [places.state_dir, places.product]
    values: Dict[str, object] = {
        "product": places.product,
        "every": EVERY_SECONDS,
        "limit": _BOOT_SECONDS,
        "tick": _command(command + ["tick"] + where),
        "boot": _command(command + ["boot"] + where),
        "mounts": _words([places.home, places.directory]),
        "before": " ".join(before),
    }
    changed = [
        _place(os.path.join(systemd.UNITS, "%s%s" % (name, suffix)), text.format(**values))
        for suffix, text in _FILES.items()
    ]
    for link, target in _links(name).items():
        _link(link, target)
    if any(changed) and _is_known(name):
        # Reading everything again is a burden on a large system: what is new is read anyway.
        _must(systemd.order("daemon-reload"))
    _must(systemd.order("start", "%s.timer" % name))


def disarm(places: Places) -> None:
    """Stop the timer and take the units away, the links first.

    Raises:
        OSError: One is still there.
    """
    name = places.second_layer
    paths = list(_links(name))
    paths += [os.path.join(systemd.UNITS, "%s%s" % (name, suffix)) for suffix in _FILES]
    paths += [_part(path) for path in paths]
    there = [path for path in paths if os.path.lexists(path)]
    if not there:
        return
    if systemd.is_here():
        systemd.order("stop", "%s.timer" % name)
    for path in there:
        remove_if_there(path)
    for folder in sorted({os.path.dirname(path) for path in there}):
        sync_directory(folder)


def standing(places: Places) -> Tuple[List[str], List[str]]:
    """What of it is there, and what is missing; only read."""
    name = places.second_layer
    wanted = [os.path.join(systemd.UNITS, "%s%s" % (name, suffix)) for suffix in _FILES]
    wanted += list(_links(name))
    there = [path for path in wanted if os.path.lexists(path)]
    missing = [path for path in wanted if path not in there]
    timer = "%s.timer" % name
    if there and _is_waiting(timer):
        there.append("%s is active" % timer)
    elif there:
        missing.append("the active state of %s" % timer)
    return there, missing


def _is_waiting(timer: str) -> bool:
    try:
        return systemd.show(timer, ["ActiveState"])["ActiveState"] == "active"
    except systemd.Silent:
        return False  # whoever does not answer starts nothing


def start_tick(places: Places) -> None:
    """Have the timer's work begun now, without waiting for it: what must not delay a boot."""
    systemd.order("start", "--no-block", "%s.service" % places.second_layer)


_FILES = {".service": _TICK, ".timer": _TIMER, "-boot.service": _BOOT}


def _links(name: str) -> Dict[str, str]:
    """What makes systemd start them at boot, as `systemctl enable` would."""
    timers, sysinit = (
        os.path.join(systemd.UNITS, "%s.target.wants" % target) for target in ("timers", "sysinit")
    )
    return {
        os.path.join(timers, "%s.timer" % name): "../%s.timer" % name,
        os.path.join(sysinit, "%s-boot.service" % name): "../%s-boot.service" % name,
    }


def _place(path: str, text: str) -> bool:
    """Whether the file had to be written."""
    content = text.encode("utf-8", "surrogateescape")
    try:
        with open(path, "rb") as stream:
            if stream.read() == content:
                return False
    except FileNotFoundError:
        pass  # as before every upgrade
    write_file(path, content, 0o644, part=_part(path))
    return True


def _part(path: str) -> str:
    """Of a name that systemd does not read."""
    return path + ".part"


def _is_known(name: str) -> bool:
    """Whether systemd has one of the units in memory, perhaps as it was before."""
    for suffix in _FILES:
        try:
            if systemd.show(name + suffix, ["NeedDaemonReload"])["NeedDaemonReload"] == "yes":
                return True
        except systemd.Silent:
            return True
    return False


def _link(path: str, target: str) -> None:
    if os.path.islink(path) and os.readlink(path) == target:
        return
    make_directories(os.path.dirname(path), private=path)
    remove_if_there(path)
    os.symlink(target, path)
    sync_directory(os.path.dirname(path))


def _must(ran: Ran) -> None:
    if ran.status != 0:
        raise OSError("systemctl: %s" % ran.said())


def _words(words: List[str]) -> str:
    """Words for a unit's file: each is taken as it is, whatever is in it."""
    return " ".join('"%s"' % _escaped(word) for word in words)


def _command(words: List[str]) -> str:
    """Words that are run: there, a dollar would be a variable."""
    return _words(words).replace("$", "$$")


def _escaped(word: str) -> str:
    for sign, instead in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        word = word.replace(sign, instead)
    return word
