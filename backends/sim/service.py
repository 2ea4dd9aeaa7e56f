"""What the service of a simulated node says when it is asked: status, health, log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.node.expand import expand
from backends.sim.behaviour import Behaviour
from backends.sim.node import Process, SimNode

_WORDS = {"started": "exit 0: started", "stopped": "exit 0: stoped"}


@dataclass(frozen=True, slots=True)
class Check:
    """What one health check found."""

    name: str
    level: str
    ok: bool
    evidence: str

    def row(self) -> dict[str, object]:
        """As it is journaled."""
        return {
            "name": self.name,
            "level": self.level,
            "ok": self.ok,
            "evidence": self.evidence[:2000],
        }


def first_failure(checks: list[Check], level: str = "hard") -> Check | None:
    """The first check of a level that failed."""
    return next((check for check in checks if check.level == level and not check.ok), None)


class Service:
    """One version's service on a node, as a profile's document describes it."""

    def __init__(self, node: SimNode, document: Mapping[str, Any], version: str) -> None:
        self.node = node
        self.document = document
        self.settings: Mapping[str, Any] = document["service"]
        self.version = version
        self.tree = f"{document['directory']}/{version}"

    @property
    def behaviour(self) -> Behaviour:
        """How this version behaves here."""
        return self.node.behaviour(self.version)

    @property
    def process(self) -> Process | None:
        """Its process, if it runs."""
        found = self.node.process
        return found if found is not None and found.version == self.version else None

    @property
    def identity(self) -> str | None:
        """`start_id`, or None when there is no process."""
        return self.process.identity if self.process else None

    @property
    def living(self) -> list[int]:
        """Its processes."""
        return [self.process.pid] if self.process else []

    @property
    def own_files(self) -> set[str]:
        """What it writes into its own tree while it runs."""
        found = {f"{self.document['name']}.log"} if self.settings["log"] else set()
        return found | ({str(self.settings["pid_file"])} if self.settings["pid_file"] else set())

    def status(self) -> tuple[str, str]:
        """`started`, `stopped` or `unknown`, and what was said."""
        if self.settings["kind"] == "command":
            pid = self.living
            if (self.settings["commands"] or {}).get("status") is None:
                return ("started", f"pid {pid[0]}") if pid else ("stopped", "no process of it")
            return ("started", "exit 0") if pid else ("stopped", "exit 1")
        if self.version not in self.node.disk.trees:
            return "unknown", f"{self.tree} is not there"
        word = "started" if self.process else "stopped"
        return word, _WORDS[word]

    def health(self) -> list[Check]:
        """Run every check of the profile against this version."""
        return [
            Check(settings["name"], settings["level"], *self._check(settings))
            for settings in self.document["health"]
        ]

    def _check(self, settings: Mapping[str, Any]) -> tuple[bool, str]:
        process, kind = self.process, settings["kind"]
        if kind == "control":
            word, text = self.status()
            return word == "started", text
        if process is None:
            if kind == "http":
                return False, f"{self._expanded(settings['url'])}: [Errno 111] Connection refused"
            return False, "no process of it"
        behaviour = self.behaviour
        ok = behaviour.is_healthy(self.node.clock.now() - process.since)
        if not ok:
            return False, behaviour.evidence or self._sick(settings)
        if kind == "version" or settings.get("version_field"):
            return True, f"version {self.version}, wanted {self.version}"
        return True, "HTTP 200" if kind == "http" else "exit 0"

    def _sick(self, settings: Mapping[str, Any]) -> str:
        if settings["kind"] != "http":
            return "exit 1: not ready"
        wanted = settings["status"]
        body = f'{{"version": "{self.version}", "healthy": false}}'
        return f"HTTP 503, wanted {wanted}: {body}"

    def log_tail(self) -> str:
        """What it logged, where the profile says where that is."""
        if not self.settings["log"] or self.version not in self.node.disk.trees:
            return ""
        name = self.document["name"]
        return "\n".join([f"{name} {self.version} starts", *self.behaviour.log][-100:])

    def _expanded(self, text: str) -> str:
        return expanded(text, self.document, self.version)


def expanded(text: str, document: Mapping[str, Any], version: str) -> str:
    """A string of the profile with a version's values."""
    values = {**document["values"], "directory": document["directory"]}
    return expand(text, {**values, "version": version})
