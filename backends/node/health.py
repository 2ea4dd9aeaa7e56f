"""Health checks of one version: each a name, a level, an answer and the evidence for it.

A check never passes by accident: no answer, a wrong answer and no version are all failures.
"""

from typing import Any, Container, Dict, List, Mapping, Optional, Tuple

from backends.node import health_file, probe, processes
from backends.node.service import Service

KINDS = ("control", "command", "http", "tcp", "version", "status_file")


class Check:
    """What one health check found."""

    def __init__(
        self, name: str, level: str, ok: bool, evidence: str, is_final: bool = False
    ) -> None:
        self.name = name
        self.level = level
        self.ok = ok
        self.evidence = evidence
        self.is_final = is_final
        """Whether waiting is of no use: the product itself says that it failed."""

    def row(self) -> Dict[str, Any]:
        """As it is journaled and sent."""
        return {
            "name": self.name,
            "level": self.level,
            "ok": self.ok,
            "evidence": self.evidence[:2000],
        }


Stale = Mapping[str, health_file.Signature]
"""What lay at the places of status files before the start, by name of the check."""


def run_all(
    document: Dict[str, Any],
    service: Service,
    stale: Optional[Stale] = None,
    kinds: Container[str] = KINDS,
) -> List[Check]:
    """Run the checks of the profile against this version, all unless `kinds` says less."""
    return [
        _check(settings, document, service, stale or {})
        for settings in document["health"]
        if settings["kind"] in kinds
    ]


def _check(
    settings: Dict[str, Any], document: Dict[str, Any], service: Service, stale: Stale
) -> Check:
    name, level = settings["name"], settings["level"]
    try:
        if settings["kind"] == "status_file":
            found = health_file.look(settings, service, stale.get(name))
            return Check(name, level, found.ok, found.text, found.is_final)
        ok, evidence = _run(settings, document, service)
    except (probe.NoAnswer, ValueError) as error:
        ok, evidence = False, str(error)
    return Check(name, level, ok, evidence)


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
    if kind == "tcp":
        return probe.connect(service.expand(settings["address"]), seconds)
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
