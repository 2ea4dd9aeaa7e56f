"""The second layer by cron: one file in /etc/cron.d, which goes away by itself.

cron looks at it each minute, and runs it once after each boot. That may be after the service was
started: then the new version runs for a moment, is stopped, and the old one is put back.
"""

import os
import shlex
from typing import List, Tuple

from backends.node.places import Places, remove_if_there, sync_directory, write_file
from backends.node.processes import SAFE_PATH

_FOLDER = "/etc/cron.d"

_DAEMONS = frozenset(["cron", "crond"])

_TEXT = """\
# Takes up the work of an updater of Liftlock that died or hangs. Goes away by itself.
SHELL=/bin/sh
PATH={path}
@reboot root {tick} >/dev/null 2>&1
* * * * * root {tick} >/dev/null 2>&1
"""


def why_not() -> str:
    """Why this node cannot have it; empty when it can."""
    if not os.path.isdir(_FOLDER) or not os.access(_FOLDER, os.W_OK):
        return "%s cannot be written" % _FOLDER
    return "" if _is_running() else "no cron runs that reads %s" % _FOLDER


def arm(places: Places, command: List[str]) -> None:
    """Put the file there, durable.

    Raises:
        OSError: It is not there.
    """
    words = command + ["tick", places.state_dir, places.product]
    tick = " ".join(shlex.quote(word) for word in words).replace("%", "\\%")
    content = os.fsencode(_TEXT.format(path=SAFE_PATH, tick=tick))
    path = _path(places)
    try:
        with open(path, "rb") as stream:
            if stream.read() == content:
                return
    except FileNotFoundError:
        pass  # as before every upgrade
    write_file(path, content, 0o644, part=_part(path))


def disarm(places: Places) -> None:
    """Take the file away.

    Raises:
        OSError: It is still there.
    """
    path = _path(places)
    if [each for each in (path, _part(path)) if remove_if_there(each)]:
        sync_directory(_FOLDER)


def standing(places: Places) -> Tuple[List[str], List[str]]:
    """What of it is there, and what is missing; only read."""
    path = _path(places)
    if not os.path.lexists(path):
        return [], [path]
    return [path], [] if _is_running() else ["a cron that runs"]


def _path(places: Places) -> str:
    """cron passes over names with a dot in them."""
    return os.path.join(_FOLDER, places.second_layer.replace(".", "_"))


def _part(path: str) -> str:
    """Of a name that cron passes over."""
    return path + ".part"


def _is_running() -> bool:
    """Whether a cron is at work that reads /etc/cron.d; that of busybox does not."""
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%d/comm" % int(name)) as stream:
                is_cron = stream.read().strip() in _DAEMONS
            if is_cron and "busybox" not in os.readlink("/proc/%s/exe" % name):
                return True
        except (ValueError, OSError):
            continue  # no process, or gone
    return False
