"""Talking to systemd: a few questions and orders, each with a limit."""

import os
from typing import Dict, Iterable, List

from backends.node import processes
from backends.node.places import sync_directory

_SECONDS = 10.0
"""For what systemd answers at once, unless it is in trouble."""

_GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
"""Where systemd's own hierarchy of control groups may be: version 2, both, or version 1."""


UNITS = "/etc/systemd/system"
"""Where an administrator's units are."""


class Silent(Exception):
    """systemd gave no answer that could be read; the text says what it said."""


def is_here() -> bool:
    """Whether systemd is this machine's PID 1, as sd_booted(3) finds out."""
    return os.path.isdir("/run/systemd/system")


def order(*words: str, seconds: float = _SECONDS) -> processes.Ran:
    """Run `systemctl` with these words."""
    return processes.run(["systemctl", "--no-ask-password"] + list(words), seconds, asks=False)


def show(unit: str, names: Iterable[str]) -> Dict[str, str]:
    """Properties of a unit as systemd has them in memory; empty for what it does not know.

    Raises:
        Silent: There is no systemd, or it does not answer.
    """
    wanted = ",".join(names)
    ran = processes.run(
        ["systemctl", "show", "--no-pager", "--property=" + wanted, "--", unit], _SECONDS
    )
    if ran.status != 0:
        raise Silent("systemctl show %s: %s" % (unit, ran.said()))
    found = dict.fromkeys(wanted.split(","), "")
    for line in ran.text.splitlines():
        name, sign, value = line.partition("=")
        if sign and name in found:
            found[name] = value
    return found


def sync_units() -> None:
    """Make the links durable that `systemctl enable` and `disable` have changed."""
    for name in [""] + sorted(os.listdir(UNITS)):
        path = os.path.join(UNITS, name)
        if os.path.isdir(path) and not os.path.islink(path):
            sync_directory(path)


def processes_of(group: str) -> List[int]:
    """The processes in a control group (`ControlGroup=` of a unit) and in those inside it."""
    if group in ("", "/"):
        return []
    walks = (os.walk(top + group) for top in _GROUPS)
    return sorted({pid for walk in walks for here, _, _ in walk for pid in _members(here)})


def _members(path: str) -> List[int]:
    try:
        with open(os.path.join(path, "cgroup.procs")) as stream:
            return [int(line) for line in stream]
    except OSError:
        return []  # the group went away, and its processes with it
