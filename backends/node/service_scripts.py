"""Services that are started by scripts and commands: `control`, `sysv` and `command`.

`control` is a script in the version's tree, and says in words what it is doing; `sysv` is a script
of the system, and says it with its exit code, as the LSB wants; `command` is an argument list for
each verb. Source: design.md, section 5, "Services"; features O6 and B21.
"""

import os
import re
from typing import List, Optional, Tuple

from backends.node.service import Service

_WORDS = {"started": "started", "stopped": "stopped", "stoped": "stopped"}
"""The seed's protocol says `stoped`; a correct `stopped` is understood, too."""

_NEGATIONS = frozenset(["not", "never", "no", "cannot"])

_LSB = {0: "started", 1: "stopped", 2: "stopped", 3: "stopped"}
"""Exit codes of `status`: runs; dead with a pid file; dead with a lock file; does not run."""

SCRIPTS = "/etc/init.d"


class ControlService(Service):
    """A script in the version's tree: start, stop, status, restart, tail."""

    def argv(self, verb: str) -> Optional[List[str]]:
        """The script with the verb."""
        return [os.path.join(self.tree, self.settings["control"]), verb]

    def status(self) -> Tuple[str, str]:
        """What the script's words mean."""
        if not os.path.isdir(self.tree):
            return "unknown", "%s is not there" % self.tree
        ran = self.run("status", self.settings["request_timeout"])
        return read_status(ran.text) if ran.status is not None else "unknown", ran.said()

    def log_text(self, where: str) -> str:
        """What the script's `tail` says, or a file."""
        if where == "control tail":
            return self.run("tail", self.settings["request_timeout"]).text
        return super().log_text(where)


class CommandService(Service):
    """A command for each verb; without one for `status`, its process is looked for."""

    def argv(self, verb: str) -> Optional[List[str]]:
        """The verb's command with this version's values."""
        words = (self.settings["commands"] or {}).get(verb)
        return [self.expand(word) for word in words] if words else None

    def status(self) -> Tuple[str, str]:
        """0 is started, any other exit code stopped."""
        if self.argv("status") is None:
            pid = self.pid()
            return ("started", "pid %d" % pid) if pid else ("stopped", "no process of it")
        if not os.path.isdir(self.tree):
            return "unknown", "%s is not there" % self.tree
        ran = self.run("status", self.settings["request_timeout"])
        if ran.status is None:
            return "unknown", ran.said()
        return ("started" if ran.status == 0 else "stopped"), ran.said()


class SysvService(Service):
    """A script of the system's own, called directly: `service` is not everywhere."""

    @property
    def path(self) -> str:
        """Where the script is."""
        return os.path.join(SCRIPTS, self.settings["script"])

    def argv(self, verb: str) -> Optional[List[str]]:
        """The script with the verb."""
        return [self.path, verb]

    def status(self) -> Tuple[str, str]:
        """What the exit code means; others than the LSB's are unknown."""
        if not os.path.exists(self.path):
            return "unknown", "%s is not there" % self.path
        ran = self.run("status", self.settings["request_timeout"])
        word = "unknown" if ran.status is None else _LSB.get(ran.status, "unknown")
        return word, ran.said()


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
