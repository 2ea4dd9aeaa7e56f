"""Health checks of one version: each a name, a level, an answer and the evidence for it.

A check never passes by accident: no answer, a wrong answer and no version are all failures.
"""

from typing import Any, Dict, List, Optional, Tuple

from backends.node import probe, processes
from backends.node.service import Service


class Check:
    """What one health check found."""

    def __init__(self, name: str, level: str, ok: bool, evidence: str) -> None:
        self.name = name
        self.level = level
        self.ok = ok
        self.evidence = evidence

    def row(self) -> Dict[str, Any]:
        """As it is journaled and sent."""
        return {
            "name": self.name,
            "level": self.level,
            "ok": self.ok,
            "evidence": self.evidence[:2000],
        }


def run_all(document: Dict[str, Any], service: Service) -> List[Check]:
    """Run every check of the profile against this version."""
    found = []
    for settings in document["health"]:
        try:
            ok, evidence = _run(settings, document, service)
        except (probe.NoAnswer, ValueError) as error:
            ok, evidence = False, str(error)
        found.append(Check(settings["name"], settings["level"], ok, evidence))
    return found


def first_failure(checks: List[Check], level: str = "hard") -> Optional[Check]:
    """The first check of a level that failed."""
    for check in checks:
        if check.level == level and not check.ok:
            return check
    return None


def _run(settings: Dict[str, Any], document: Dict[str, Any], service: Service) -> Tuple[bool, str]:
    kind = settings["kind"]
    seconds = settings["timeout"]
    if kind == "control":
        word, text = service.status()
        return word == "started", text
    if kind == "command":
        argv = [service.expand(word) for word in settings["command"]]
        ran = processes.run(argv, seconds, service.tree, service.environment())
        return ran.status == 0, ran.said()
    if kind == "http":
        return _http(settings, service)
    how = probe.version_probe(document)
    if how is None:
        return False, "the profile does not say how to read the version"
    return _equal(probe.read(how, service, seconds), service.version)


def _http(settings: Dict[str, Any], service: Service) -> Tuple[bool, str]:
    status, body = probe.get(service.expand(settings["url"]), settings["timeout"])
    if status != settings["status"]:
        return False, "HTTP %d, wanted %d: %s" % (status, settings["status"], probe.shown(body))
    if settings.get("version_field"):
        return _equal(probe.field_of(body, settings["version_field"]), service.version)
    return True, "HTTP %d" % status


def _equal(found: str, wanted: str) -> Tuple[bool, str]:
    return found == wanted, "version %s, wanted %s" % (found, wanted)
