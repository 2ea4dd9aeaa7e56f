"""The status file of BindPlane's updater: the new version itself says that it is installed.

`{package_states: {NAME: {agent_version, status, error_message}}}`, written by the new version once
it works. Nothing in it is success but status 0 together with the right version, written since the
start: a missing, torn or unknown status is "not yet". Source: features B11 to B14 of the seeds.
"""

import json
import os
from typing import Any, Dict, Optional

from backends.node.service import Service

INSTALLED, _FAILED = 0, 3

_WORDS = {0: "installed", 1: "pending", 2: "installing", 3: "failed", 4: "downloading"}

_LIMIT = 1 << 20
"""Bytes that are read of it."""

Signature = Optional[str]
"""Which writing of the file it is: inode, size and time; None when there is none."""


class Found:
    """What the file says of a version."""

    def __init__(self, ok: bool, text: str, is_final: bool = False) -> None:
        self.ok = ok
        self.text = text
        self.is_final = is_final
        """Whether nothing else is to be waited for."""


def look(settings: Dict[str, Any], service: Service, stale: Signature = None) -> Found:
    """What is said of this version. `stale` is the writing that was there before the start."""
    path = service.expand(settings["path"])
    signature = signature_of(path)
    if signature is None:
        return Found(False, "not yet: %s is not there" % path)
    if signature == stale:
        return Found(False, "not yet: %s was not written since the start" % path)
    try:
        with open(path, "rb") as stream:
            value = json.loads(stream.read(_LIMIT).decode("utf-8"))
        state = value["package_states"][service.expand(settings["package"])]
        status, version, said = (
            state.get(name) for name in ("status", "agent_version", "error_message")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Found(False, "not yet: %s: %s %s" % (path, type(error).__name__, error))
    if isinstance(status, bool) or not isinstance(status, int) or status not in _WORDS:
        return Found(False, "not yet: status %r" % (status,))
    text = "%s, version %s, wanted %s" % (_WORDS[status], version, service.version)
    if said:
        text += ": %s" % str(said)[:500]
    if status == INSTALLED:
        return Found(version == service.version, text, is_final=version != service.version)
    return Found(False, text, is_final=status == _FAILED)


def signature_of(path: str) -> Signature:
    """Which writing of a file is there now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return "%d %d %d" % (found.st_ino, found.st_size, found.st_mtime_ns)


def signatures(document: Dict[str, Any], service: Service) -> Dict[str, Signature]:
    """The writings that are there before a start, by the name of their check."""
    return {
        settings["name"]: signature_of(service.expand(settings["path"]))
        for settings in document["health"]
        if settings["kind"] == "status_file"
    }
