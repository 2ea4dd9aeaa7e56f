"""The row about the service in the check before the switch: can it be stopped and started at all?

Asked on the staged tree, so that a release which cannot be started is refused and not undone.
"""

import os
from typing import Dict, Tuple

from backends.node import definition, processes, systemd
from backends.node.layout import Layout, Unfit
from backends.node.places import remove_if_there
from backends.node.service import Service
from backends.node.service_scripts import SysvService, read_status
from backends.node.service_systemd import SystemdService, runs_only
from backends.node.steps import Step

Answer = Tuple[str, str]
"""Result (`ok | warn | refused | unknown`) and evidence."""

_ASKED = (
    "LoadState",
    "ExecStart",
    "TriggeredBy",
    "TimeoutStopUSec",
    "UnitFileState",
)

_UNITS_OF_TIME = {"min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "ms": 0.001, "s": 1.0}


def check(service: Service, layout: Layout, tree: str) -> Answer:
    """What is known of the service's start and stop; `tree` is where the staged version lies."""
    kind = service.settings["kind"]
    if kind == "control":
        return _control(service, tree)
    if kind == "command":
        return "ok", "the service is started by commands"
    try:
        placed = _definition(service, tree)
    except (Unfit, OSError) as error:
        return "refused", str(error)
    if isinstance(service, SystemdService):
        return _unit(service, layout, placed)
    if isinstance(service, SysvService):
        return _script(service, placed)
    raise AssertionError("no such kind: %s" % kind)


def _control(service: Service, tree: str) -> Answer:
    """O16: a control script that is missing, cannot run, or says something else than its words."""
    path = os.path.join(tree, service.settings["control"])
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        return "refused", "%s is missing or cannot be executed" % path
    limit = service.settings["request_timeout"]
    ran = processes.run([path, "status"], limit, tree, service.environment())
    word = read_status(ran.text) if ran.status is not None else "unknown"
    return ("refused" if word == "unknown" else "ok"), "status said %s" % ran.said()


def _definition(service: Service, tree: str) -> str:
    """What will become of the definition, in words; it is prepared for a moment, for the trial.

    Raises:
        Unfit: The release has none where the profile says, or something else lies in its place.
    """
    intent = definition.intend_place(service, tree, 0, "trial", "/nowhere")
    if intent is None:
        return ""
    step = Step(intent)
    remove_if_there(step.new)
    return step.title


def _unit(service: SystemdService, layout: Layout, placed: str) -> Answer:
    if not systemd.is_here():
        return "refused", "systemd is not this machine's PID 1"
    try:
        found = systemd.show(service.unit, _ASKED)
    except systemd.Silent as error:
        return "unknown", str(error)
    state = found["LoadState"]
    if state != "loaded" and not (state == "not-found" and placed):
        return "refused", "%s is %s%s" % (service.unit, state, _no_definition(service))
    beside = sorted(set(found["TriggeredBy"].split()) - set(service.settings["triggers"]))
    if beside:
        return "refused", (
            "%s would be started by %s while it is switched: name them as triggers"
            % (service.unit, ", ".join(beside))
        )
    selected = layout.selected()
    tree = service.places.tree(selected) if selected and not service.places.flat else None
    if tree and not placed and runs_only(found["ExecStart"], tree):
        return "refused", (
            "%s starts a program in %s itself, so it would go on with %s: it must start through %s"
            % (service.unit, tree, selected, layout.document["pointer"])
        )
    return _spoken(service, found, placed)


def _spoken(service: SystemdService, found: Dict[str, str], placed: str) -> Answer:
    said = [text for text in ("%s is %s" % (service.unit, found["LoadState"]), placed) if text]
    limit, own = service.settings["stop_timeout"], seconds(found["TimeoutStopUSec"])
    if service.settings["on_stop_timeout"] == "abort" and own > limit:
        said.append("systemd gives it %g s to stop, stop_timeout is %g s" % (own, limit))
    return "ok", "; ".join(said)


def _script(service: SysvService, placed: str) -> Answer:
    path = service.path
    if not placed and (not os.path.isfile(path) or not os.access(path, os.X_OK)):
        return "refused", "%s is missing or cannot be executed%s" % (path, _no_definition(service))
    if not os.path.exists(path):
        return "ok", placed
    word, text = service.status()
    if word == "unknown":
        return "refused", "status said %s" % text
    return "ok", "; ".join(part for part in ("status said %s" % text, placed) if part)


def _no_definition(service: Service) -> str:
    return "" if service.settings["definition"] else ", and the profile names no definition"


def seconds(text: str) -> float:
    """A time span as systemd shows it; without an end it is infinite.

    >>> seconds("1min 30s"), seconds("500ms"), seconds("infinity")
    (90.0, 0.5, inf)
    """
    if text in ("", "infinity"):
        return float("inf") if text else 0.0
    return sum(_span(word) for word in text.split())


def _span(word: str) -> float:
    number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return float(number) * _UNITS_OF_TIME.get(word[len(number) :], 1.0)
    except ValueError:
        return 0.0
