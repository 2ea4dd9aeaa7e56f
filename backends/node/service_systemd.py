"""Services that systemd owns: a unit, told by name, its processes found by their control group.

`systemctl` returns when systemd is content. We are only when all processes of the unit are gone,
or when its new main process is there: what is asked for is looked at. Source: feature B1, B21.
"""

import os
import time
from typing import Dict, List, Optional, Tuple

from backends.node import processes, systemd
from backends.node.service import Service, oldest

_STATES = {
    "active": "started",
    "reloading": "started",
    "refreshing": "started",
    "inactive": "stopped",
    "failed": "stopped",
}
"""What `ActiveState` means. `activating` is not there yet, `deactivating` not gone."""

_ASKED = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "ControlGroup",
    "NeedDaemonReload",
)


_FRESH_SECONDS = 0.03
"""How long an answer of systemd counts as now; shorter than any pause between two looks."""


class SystemdService(Service):
    """A unit, and the units that start it by themselves (`triggers`)."""

    _said: Optional[Dict[str, str]] = None
    _said_at = 0.0

    @property
    def unit(self) -> str:
        """The unit's name."""
        return str(self.settings["unit"])

    @property
    def units(self) -> List[str]:
        """The unit's triggers and the unit, in the order in which they are stopped."""
        return list(self.settings["triggers"]) + [self.unit]

    def argv(self, verb: str) -> Optional[List[str]]:
        """`systemctl` with the verb; triggers are told with the unit."""
        units = [self.unit] if verb == "status" else self.units
        return ["systemctl", "--no-ask-password", verb, "--"] + units

    def status(self) -> Tuple[str, str]:
        """What systemd says of the unit."""
        try:
            found = self._shown()
        except systemd.Silent as error:
            return "unknown", str(error)
        if found["LoadState"] not in ("loaded", "masked"):
            return "unknown", "%s is %s" % (self.unit, found["LoadState"])
        text = "%s (%s)" % (found["ActiveState"], found["SubState"])
        if found["Result"] not in ("", "success"):
            text += ", result %s" % found["Result"]
        return _STATES.get(found["ActiveState"], "unknown"), text

    def is_over(self) -> bool:
        """Only once the unit has come to rest: while it deactivates, it may run more commands."""
        return self.status()[0] == "stopped"

    def pid(self) -> Optional[int]:
        """From the pid file if the profile names one, else the main process, else the oldest."""
        if self.settings["pid_file"]:
            return super().pid()
        try:
            found = self._shown()
        except systemd.Silent:
            return None
        main = int(found["MainPID"] or 0)
        return main or oldest(systemd.processes_of(found["ControlGroup"]))

    def living(self) -> List[int]:
        """All that is in the unit's control group, and all that live in the version's tree."""
        found = set(processes.within(self.tree))
        try:
            shown = self._shown()
        except systemd.Silent:
            return sorted(found)  # `status` says `unknown`, so nothing is taken for gone
        found.update(systemd.processes_of(shown["ControlGroup"]))
        named = super().pid() if self.settings["pid_file"] else int(shown["MainPID"] or 0)
        return sorted(found | {named} if named else found)

    def definition_place(self) -> Optional[str]:
        """Where systemd has it from, unless that is in the product itself; else its own folder."""
        try:
            found = systemd.show(self.unit, ["FragmentPath"])["FragmentPath"]
        except systemd.Silent:
            found = ""
        if not found.endswith(".service") or found.startswith("/run/"):
            found = os.path.join(systemd.UNITS, _template_of(self.unit))
        inside = os.path.realpath(found).startswith(os.path.realpath(self.places.directory) + "/")
        return None if inside else found

    def read_definitions(self) -> None:
        """`daemon-reload`."""
        systemd.order("daemon-reload")

    def is_enabled(self) -> bool:
        """Whether it is, or cannot be because its definition does not say where it belongs."""
        try:
            found = systemd.show(self.unit, ["UnitFileState"])["UnitFileState"]
        except systemd.Silent:
            return False
        return found not in ("", "disabled")

    def set_enabled(self, enabled: bool) -> str:
        """`enable` or `disable`, and the links durable: systemd does not sync them."""
        ran = systemd.order("enable" if enabled else "disable", "--", self.unit)
        systemd.sync_units()
        return ran.said()

    def make_ready(self) -> None:
        """Read changed definitions; forget failed starts, which would forbid the next one.

        What comes of it shows at the start: systemd refuses that, or starts what it knows.
        """
        try:
            if self._shown()["NeedDaemonReload"] == "yes":
                systemd.order("daemon-reload")
        except systemd.Silent:
            return
        systemd.order("reset-failed", "--", *self.units)

    def log_text(self, where: str) -> str:
        """The unit's part of the system's journal, or a file."""
        if where != "journald":
            return super().log_text(where)
        words = ["journalctl", "--no-pager", "--quiet", "--lines=100", "--output=short-iso"]
        return processes.run(
            words + ["--unit=" + self.unit], self.settings["request_timeout"]
        ).text

    def _shown(self) -> Dict[str, str]:
        """What systemd says, now or a moment ago: one look asks for several things."""
        now = time.monotonic()
        if self._said is None or now > self._said_at + _FRESH_SECONDS:
            self._said = systemd.show(self.unit, _ASKED)
            self._said_at = now
        return self._said


def _template_of(unit: str) -> str:
    """The file of a unit: that of its template, for an instance such as `a@1.service`."""
    name, at, rest = unit.partition("@")
    return "%s@.service" % name if at and rest != ".service" else unit


def runs_only(exec_start: str, tree: str) -> bool:
    """Whether a unit's `ExecStart=`, as systemd shows it, begins with a program in this tree.

    >>> runs_only("{ path=/opt/x/1.0/bin/x ; argv[]=/opt/x/1.0/bin/x ; ... }", "/opt/x/1.0")
    True
    """
    path = exec_start.partition("path=")[2].partition(" ;")[0]
    return os.path.normpath(path).startswith(tree + "/")
