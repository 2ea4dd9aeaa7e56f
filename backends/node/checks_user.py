"""Checks of the operator's own: executables in a directory on the node, in lexical order.

0 passes, 1 to 31 fail and end the row of checks, 32 to 63 warn, 21 is "not now": ask again later.
One that takes longer than 2 s is named, and ended after its time. What others could have changed
is not run. Source: feature R7; design.md, section 6.
"""

import os
import stat
import time
from typing import Any, Dict, Iterator, List, Tuple

from backends.node import processes

LATER = 21
SLOW_SECONDS = 2.0

Answer = Tuple[str, str]

_NAGIOS = {0: "ok", 1: "warn", 2: "refused", 3: "unknown"}


def run(
    directory: str, settings: Dict[str, Any], environment: Dict[str, str], cwd: str
) -> Iterator[Tuple[str, Answer]]:
    """Name, result and evidence of each; after one that fails none is begun.

    `settings` has `timeout` in seconds, and `contract`: "exit" as above, or "nagios" (0 ok,
    1 warning, 2 critical, 3 unknown).
    """
    directory = os.path.realpath(directory)  # where it is, not by which links one comes to it
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        yield "user checks", ("unknown", "%s: %s" % (directory, error.strerror or error))
        return
    found = [name for name in names if not name.startswith(".")]
    if not found:
        yield "user checks", ("ok", "%s holds none" % directory)
    for name in found:
        answer = _one(os.path.join(directory, name), settings, environment, cwd)
        yield "user check %s" % name, answer
        if answer[0] in ("refused", "unknown"):
            return


def _one(path: str, settings: Dict[str, Any], environment: Dict[str, str], cwd: str) -> Answer:
    why_not = _unsafe(path)
    if why_not:
        return "refused", "%s is not run: %s" % (path, why_not)
    began = time.monotonic()
    ran = processes.run([path], settings["timeout"], cwd, environment)
    took = time.monotonic() - began
    slow = "took %.1f s; " % took if took > SLOW_SECONDS else ""
    if ran.status is None:
        return "refused", slow + ran.said()
    if settings["contract"] == "exit" and ran.status == LATER:
        return "refused", "not now, ask again later; %s%s" % (slow, ran.said())
    result = _result(ran.status, settings["contract"])
    return ("warn" if slow and result == "ok" else result), slow + ran.said()


def _result(status: int, contract: str) -> str:
    if contract == "nagios":
        return _NAGIOS.get(status, "unknown")
    if status == 0:
        return "ok"
    if 32 <= status <= 63:
        return "warn"
    return "refused" if 1 <= status <= 31 else "unknown"


def _unsafe(path: str) -> str:
    """Why it is not run; empty when only we and root could have written it, and it can be run."""
    try:
        found = os.lstat(path)
    except OSError as error:
        return "it cannot be looked at: %s" % (error.strerror or error)
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if not os.access(path, os.X_OK):
        return "it cannot be executed"
    for place in _upwards(path):
        about = os.lstat(place)
        if about.st_uid not in (0, os.geteuid()):
            return "%s belongs to user %d" % (place, about.st_uid)
        sticky = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
        if about.st_mode & 0o022 and not sticky:
            return "others can write %s" % place
    return ""


def _upwards(path: str) -> List[str]:
    places = [path]
    while places[-1] != "/":
        places.append(os.path.dirname(places[-1]))
    return places
