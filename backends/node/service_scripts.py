"""Services that are started by scripts and commands: `control`, `sysv` and `command`.

`control` is a script in the version's tree, and says in words what it is doing; `sysv` is a script
of the system, and says it with its exit code, as the LSB wants; `command` is an argument list for
each verb. Source: design.md, section 5, "Services"; features O6 and B21.
"""

import glob
import os
import re
import shutil
from typing import List, Optional, Tuple

from backends.node import processes
from backends.node.places import sync_directory
from backends.node.service import Service

_WORDS = {"started": "started", "stopped": "stopped", "stoped": "stopped"}
"""The seed's protocol says `stoped`; a correct `stopped` is understood, too."""

_NEGATIONS = frozenset(["not", "never", "no", "cannot"])

_LSB = {0: "started", 1: "stopped", 2: "stopped", 3: "stopped"}
"""Exit codes of `status`: runs; dead with a pid file; dead with a lock file; does not run."""

SCRIPTS = "/etc/init.d"

_ENABLE = (
    ("update-rc.d", "{name}", "defaults"),
    ("chkconfig", "--add", "{name}"),
    ("chkconfig", "{name}", "on"),
)
_DISABLE = (
    # `remove` does nothing while the script is there: it goes one step later.
    ("update-rc.d", "-f", "{name}", "remove"),
    ("chkconfig", "--del", "{name}"),
)


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

    def definition_place(self) -> Optional[str]:
        """The script itself, unless it is a link into the product."""
        inside = os.path.realpath(self.path).startswith(
            os.path.realpath(self.places.directory) + "/"
        )
        return None if inside else self.path

    @property
    def definition_mode(self) -> int:
        """It is executed."""
        return 0o755

    def is_enabled(self) -> bool:
        """Whether a run level has a link that starts it."""
        return any(name[3:] == self.settings["script"] for name in _started_at_boot())

    def set_enabled(self, enabled: bool) -> str:
        """By the tool that this system has for it."""
        name, limit = self.settings["script"], self.settings["request_timeout"]
        said = []
        for words in _ENABLE if enabled else _DISABLE:
            if shutil.which(words[0], path=processes.SAFE_PATH):
                argv = [word.format(name=name) for word in words]
                said.append(processes.run(argv, limit).said())
        for folder in _run_levels():
            sync_directory(folder)
        return "; ".join(said) or "neither update-rc.d nor chkconfig is here"

    def status(self) -> Tuple[str, str]:
        """What the exit code means; others than the LSB's are unknown."""
        if not os.path.exists(self.path):
            return "unknown", "%s is not there" % self.path
        ran = self.run("status", self.settings["request_timeout"])
        word = "unknown" if ran.status is None else _LSB.get(ran.status, "unknown")
        return word, ran.said()


def _run_levels() -> List[str]:
    """The folders of run levels, with links in them."""
    return sorted(glob.glob("/etc/rc[0-9S].d")) or sorted(glob.glob("/etc/rc.d/rc[0-9S].d"))


def _started_at_boot() -> List[str]:
    return [name for folder in _run_levels() for name in os.listdir(folder) if name[:1] == "S"]


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
