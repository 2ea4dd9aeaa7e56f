"""The product's service: stop it and see it gone, start it and hear the new process.

Two kinds: `control` (a script in the version's tree: start, stop, status, restart, tail) and
`command` (an argument list for each verb). Source: design.md, section 5, "Services".
"""

import os
import re
import time
from typing import Any, Dict, List, Optional, Tuple

from backends.node import clock, processes
from backends.node.expand import expand
from backends.node.places import Places

_WORDS = {"started": "started", "stopped": "stopped", "stoped": "stopped"}
"""The seed's protocol says `stoped`; a correct `stopped` is understood, too."""

_NEGATIONS = frozenset(["not", "never", "no", "cannot"])

_POLL_SECONDS = 0.1

_PID_FILE_GRACE_SECONDS = 2.0


class Service:
    """One version's way to start, stop and ask the service."""

    def __init__(self, document: Dict[str, Any], places: Places, version: str) -> None:
        self.settings: Dict[str, Any] = document["service"]
        self.places = places
        self.version = version
        self.tree = places.tree(version)
        self.values: Dict[str, str] = dict(
            document["values"], directory=places.directory, version=version
        )

    def expand(self, template: str) -> str:
        """A string of the profile with this version's values."""
        return expand(template, self.values)

    def argv(self, verb: str) -> Optional[List[str]]:
        """The command for a verb, or None when the profile has none."""
        if self.settings["kind"] == "control":
            return [os.path.join(self.tree, self.settings["control"]), verb]
        words = (self.settings["commands"] or {}).get(verb)
        return [self.expand(word) for word in words] if words else None

    def environment(self) -> Dict[str, str]:
        """What the profile adds to the environment of each verb."""
        return {name: self.expand(value) for name, value in (self.settings["env"] or {}).items()}

    def run(self, verb: str, seconds: float, output_file: Optional[str] = None) -> processes.Ran:
        """Run a verb in the version's tree."""
        argv = self.argv(verb)
        if argv is None:
            return processes.Ran(None, b"", "the profile has no command for %s" % verb)
        cwd = self.tree if os.path.isdir(self.tree) else "/"
        asks = verb not in ("start", "restart")
        return processes.run(argv, seconds, cwd, self.environment(), output_file, asks)

    def status(self) -> Tuple[str, str]:
        """`started`, `stopped` or `unknown`, and what was said."""
        if self.settings["kind"] == "command" and self.argv("status") is None:
            pid = self.pid()
            return ("started", "pid %d" % pid) if pid else ("stopped", "no process of it")
        if not os.path.isdir(self.tree):
            return "unknown", "%s is not there" % self.tree
        ran = self.run("status", self.settings["request_timeout"])
        if self.settings["kind"] == "command":
            if ran.status is None:
                return "unknown", ran.said()
            return ("started" if ran.status == 0 else "stopped"), ran.said()
        return read_status(ran.text) if ran.status is not None else "unknown", ran.said()

    def pid(self) -> Optional[int]:
        """The service's process: from its pid file, else the oldest one that lives in its tree."""
        named = self.settings["pid_file"]
        if named:
            return _named_process(os.path.join(self.tree, self.expand(named)), self.tree)
        living = processes.within(self.tree)
        return min(living, key=_age) if living else None

    def identity(self) -> Optional[str]:
        """`start_id`: pid and start time of the process, or None when there is none."""
        pid = self.pid()
        start = clock.start_of(pid) if pid else None
        return "%d:%s" % (pid, start) if pid and start else None

    def living(self) -> List[int]:
        """Every process that belongs to this version: its pid and all that live in its tree."""
        found = set(processes.within(self.tree))
        pid = self.pid()
        if pid:
            found.add(pid)
        return sorted(found)

    def stop(self) -> Tuple[bool, str]:
        """Stop it; True only when it was seen gone within `stop_timeout`."""
        limit = self.settings["stop_timeout"]
        deadline = time.monotonic() + limit
        before = self.living()
        ran = self.run("stop", limit)
        while True:
            left = [pid for pid in before if clock.start_of(pid)] or self.living()
            if not left and self.status()[0] != "started":
                return True, "gone; stop said %s" % ran.said()
            if time.monotonic() > deadline:
                who = "pid " + ", ".join(str(pid) for pid in left) if left else "status: started"
                return False, "still running after %g s: %s; stop said %s" % (
                    limit,
                    who,
                    ran.said(),
                )
            time.sleep(_POLL_SECONDS)

    def start(self, output_file: str) -> Tuple[bool, str]:
        """Start it; True only when a process of this version is there and status agrees."""
        limit = self.settings["start_timeout"]
        deadline = time.monotonic() + limit
        ran = self.run("start", limit, output_file)
        if ran.status != 0:
            return False, "start said %s" % ran.said()
        while True:
            word, text = self.status()
            if word == "started" and self.identity() is not None:
                return True, "pid %s" % (self.identity() or "?").split(":")[0]
            if time.monotonic() > deadline:
                return False, "no new process within %g s; status said %s" % (limit, text)
            time.sleep(_POLL_SECONDS)

    def log_tail(self) -> str:
        """The last 100 lines of what the service logged, as the profile says where."""
        where = self.settings["log"]
        if not where:
            return ""
        if where == "control tail":
            text = self.run("tail", self.settings["request_timeout"]).text
        else:
            path = os.path.join(self.tree, self.expand(where))
            text = processes.tail(path).decode("utf-8", "backslashreplace")
        return "\n".join(text.splitlines()[-100:])


def read_status(text: str) -> str:
    """What a control script's answer means: whole words; anything else is unknown.

    >>> read_status("stoped"), read_status("it is not started")
    ('stopped', 'unknown')
    """
    words = re.findall(r"[A-Za-z]+", text.lower())
    meanings = {_WORDS[word] for word in words if word in _WORDS}
    if len(meanings) != 1 or _NEGATIONS.intersection(words):
        return "unknown"
    return meanings.pop()


def _named_process(path: str, tree: str) -> Optional[int]:
    """The process that a pid file names, unless that pid is used again by another one.

    It lives in the version's tree, or is older than the file. The second alone would depend on
    the wall clock, which may be set at any time.
    """
    try:
        written = os.stat(path).st_mtime
    except OSError:
        return None
    content = processes.tail(path, 64).split()
    if not content or not content[0].isdigit():
        return None
    pid = int(content[0])
    start = clock.start_of(pid)
    if start is None:
        return None
    if processes.lives_in(pid, tree):
        return pid
    started = clock.wall() - clock.since_boot() + int(start) / os.sysconf("SC_CLK_TCK")
    return pid if started <= written + _PID_FILE_GRACE_SECONDS else None


def _age(pid: int) -> Tuple[int, int]:
    return int(clock.start_of(pid) or 0), pid
