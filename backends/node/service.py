"""The product's service: stop it and see it gone, start it and hear the new process.

This file holds what all kinds share: a service is gone when none of its processes is left, and
has started when a process of it is there and says so, never because somebody's return code was
zero. Source: design.md, section 5, "Services".
"""

import os
import signal
import time
from typing import Any, Dict, List, Optional, Tuple

from backends.node import clock, processes
from backends.node.expand import expand
from backends.node.places import Places

_POLL_SECONDS = 0.1

_PID_FILE_GRACE_SECONDS = 2.0

_KILLED_SECONDS = 5.0
"""How long killed processes may take to be gone: longer only when the kernel holds them."""


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

    # --- what each kind says for itself ---

    def argv(self, verb: str) -> Optional[List[str]]:
        """The command for a verb (start, stop, status), or None when there is none."""
        raise NotImplementedError

    def status(self) -> Tuple[str, str]:
        """`started`, `stopped` or `unknown`, and what was said."""
        raise NotImplementedError

    def make_ready(self) -> None:
        """What has to be done before a start, whatever comes of it."""

    def definition_place(self) -> Optional[str]:
        """Where the definition of the service is, or would be; None for kinds without one."""
        return None

    @property
    def definition_mode(self) -> int:
        """The mode of the definition's file."""
        return 0o644

    # Only asked of kinds that have a place for a definition:

    def read_definitions(self) -> None:
        """Have whoever starts it read its definition again."""

    def is_enabled(self) -> bool:
        """Whether it is started at boot."""
        raise NotImplementedError

    def set_enabled(self, enabled: bool) -> str:
        """Have it started at boot, or not; what was said. Whether it came to that is looked at."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether nothing says any more that it runs; its processes are looked for besides."""
        return self.status()[0] != "started"

    # --- what they share ---

    def expand(self, template: str) -> str:
        """A string of the profile with this version's values."""
        return expand(template, self.values)

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

    def pid(self) -> Optional[int]:
        """The service's process: from its pid file, else the oldest one that lives in its tree."""
        named = self.settings["pid_file"]
        if named:
            return _named_process(os.path.join(self.tree, self.expand(named)), self.tree)
        return oldest(processes.within(self.tree))

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

    def denies(self, start_id: Optional[str]) -> bool:
        """Whether a process of it lives, and the service says that nothing runs.

        It must not be started then: a second one would fail, or would look as if it served.
        """
        pid, _, start = (start_id or "0:").partition(":")
        return int(pid) > 0 and clock.start_of(int(pid)) == start and self.is_over()

    def stop(self) -> Tuple[bool, str]:
        """Stop it; True only when it was seen gone within `stop_timeout`.

        Processes that ignore that are killed only where the profile says so.
        """
        limit = self.settings["stop_timeout"]
        deadline = time.monotonic() + limit
        before = self.living()
        said = self.run("stop", limit).said()
        if self._is_gone_by(deadline, before):
            return True, "gone; stop said %s" % said
        left = self._left_of(before)
        if left and self.settings["on_stop_timeout"] == "kill":
            _kill(left)
            if self._is_gone_by(time.monotonic() + _KILLED_SECONDS, left):
                return True, "killed after %g s: %s; stop said %s" % (limit, pids(left), said)
            left = self._left_of(left)
        who = pids(left) if left else "status: %s: %s" % self.status()
        return False, "still running after %g s: %s; stop said %s" % (limit, who, said)

    def _is_gone_by(self, deadline: float, before: List[int]) -> bool:
        while self._left_of(before) or not self.is_over():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _left_of(self, before: List[int]) -> List[int]:
        return [pid for pid in before if clock.start_of(pid)] or self.living()

    def start(self, output_file: str) -> Tuple[bool, str]:
        """Start it; True only when a process of this version is there and status agrees."""
        self.make_ready()
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
        text = self.log_text(where) if where else ""
        return "\n".join(text.splitlines()[-100:])

    def log_text(self, where: str) -> str:
        """The end of the log at a place that the profile names."""
        path = os.path.join(self.tree, self.expand(where))
        return processes.tail(path).decode("utf-8", "backslashreplace")


def oldest(found: List[int]) -> Optional[int]:
    """The process that was started first."""
    return min(found, key=_age) if found else None


def pids(found: List[int]) -> str:
    """Processes in words."""
    return "pid " + ", ".join(str(pid) for pid in found)


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


def _kill(left: List[int]) -> None:
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it went meanwhile
