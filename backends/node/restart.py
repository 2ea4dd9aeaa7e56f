"""A restart on its way: the selected version's service stopped, started, and heard to serve.

It is a driver's work: detached, so that nobody's link keeps a service stopped, and under the lock.
What was begun is a file, durable before anything is stopped; it goes once the product's journal
says what came of it. Whoever finds the file and no driver only ever *starts*: a tick of the
second layer, or the next acting command. Source: design.md, section 5, "Services".
"""

import logging
import os
import time
from typing import Any, Dict, Tuple

from backends.node import clock, second_layer, standing, transaction
from backends.node.facts import Reader
from backends.node.journal import Journal
from backends.node.layout import PointerUnreadable
from backends.node.layouts import layout_of
from backends.node.places import Places, remove_if_there, write_json
from backends.node.refusal import Refused
from backends.node.restart_begun import Begun, forget
from backends.node.service import Service
from backends.node.services import service_of

_log = logging.getLogger("liftlock")

_TRIES = 2
"""How often it is asked to stop: one that is slow to end must not end later, with nobody there."""

_SLACK_SECONDS = 60.0
"""How much longer than all of its limits together a restart may take before it hangs."""


def version_to_restart(places: Places, document: Dict[str, Any]) -> str:
    """The version whose service may be restarted now.

    Raises:
        Refused: None may be; nothing was changed.
        journal.JournalDamaged, wire.WireError: The open upgrade's journal is damaged.
    """
    opened = transaction.load(places)
    if opened is not None:
        opened.close()
        if standing.decision(opened.records) != "ACCEPT":
            raise Refused(
                "upgrade-open",
                "run %s to %s is in the middle on this node" % (opened.run, opened.to["version"]),
                "begun by %s" % opened.plan["operator"],
                "accept it or roll it back first",
            )
    layout = layout_of(document, places)
    try:
        selected = layout.selected()
    except PointerUnreadable as error:
        raise Refused("pointer-unreadable", str(error)) from error
    if selected is None or not os.path.isdir(places.tree(selected)):
        raise Refused("nothing-to-restart", "the product is not here", places.directory)
    for other in layout.installed():
        living = service_of(document, places, other).living() if other != selected else []
        if living:
            raise Refused(
                "other-version-runs",
                "%s runs and %s is selected: a restart would be a switch" % (other, selected),
                "processes %s" % ", ".join(map(str, living)),
                "find out who changed that; an upgrade or a rollback goes from one to the other",
            )
    return selected


def begin(places: Places, document: Dict[str, Any], args: Dict[str, Any], updater: str) -> Begun:
    """Write down durably what will be done; nothing is stopped yet.

    Raises:
        Refused: It may not be restarted; nothing was changed.
        OSError, journal.AppendFailed: It could not be written down; nothing was changed.
    """
    version = version_to_restart(places, document)
    service = service_of(document, places, version)
    was, text = service.status()
    begun: Begun = {
        "run": args["run"],
        "operator": args["operator"],
        "reason": args["reason"],
        "version": version,
        "was": "started" if service.living() else was,
        "start_id": service.identity(),
        "layer": _armed(places, document, args["second_layer"], updater),
    }
    book = Journal(places.journal, create=True)
    try:
        book.append("RESTARTING", text=text[:500], **begun)
    finally:
        book.close()
    begun.update(
        product=document,
        since=clock.wall(),
        boot_id=clock.boot_id(),
        until=clock.since_boot() + _longest_seconds(document),
    )
    write_json(places.restarting, begun)
    return begun


def _armed(places: Places, document: Dict[str, Any], ordered: str, updater: str) -> str:
    """What takes it up if we die: a disk that says no to that stops no restart."""
    try:
        return second_layer.put(places, document, ordered, updater).kind
    except OSError:
        _log.exception("no second layer")
        return "none"


def _longest_seconds(document: Dict[str, Any]) -> float:
    settings, checks = document["service"], document["health"]
    one_look = 4 * settings["request_timeout"] + sum(check["timeout"] for check in checks)
    stop = _TRIES * (settings["stop_timeout"] * 2 + settings["request_timeout"])
    start = settings["start_timeout"] * 2 + document["limits"]["healthy_deadline"]
    return float(stop + start + one_look + _SLACK_SECONDS)


def carry_out(places: Places, begun: Begun) -> None:
    """Stop, start, and see it serve; what came of it is in the product's journal."""
    service = service_of(begun["product"], places, begun["version"])
    if begun["was"] == "started":
        gone, text = _stopped(service)
        if not gone:
            _end(places, begun, service, "it did not stop: %s" % text)
            return
    _start_and_see(places, begun, service)


def _stopped(service: Service) -> Tuple[bool, str]:
    gone, text = service.stop()
    for _ in range(_TRIES - 1):
        if not gone:
            gone, text = service.stop()
    return gone, text


def bring_back(places: Places, begun: Begun) -> None:
    """Go on where a driver died: start what it may have stopped. Nothing is stopped here.

    Its stop may still be under way. What then still runs as before was not restarted.
    """
    service = service_of(begun["product"], places, begun["version"])
    before = begun["start_id"] if begun["boot_id"] == clock.boot_id() else None
    give_up = time.monotonic() + service.settings["stop_timeout"]
    while before is not None and service.identity() == before:
        if time.monotonic() > give_up:
            _end(places, begun, service, "the updater died before it was stopped; it runs on")
            return
        time.sleep(0.1)
    _start_and_see(places, begun, service)


def _start_and_see(places: Places, begun: Begun, service: Service) -> None:
    """Start it where nothing of it runs, and end with what was seen."""
    if not service.living() and service.is_over():
        output = os.path.join(places.home, "restart.out")
        remove_if_there(output)  # what a daemon before this one still writes there is its own
        ok, text = service.start(output)
        if not ok:
            _end(places, begun, service, "it did not start: %s" % text)
            return
    _remember(places, service)
    _end(places, begun, service, _why_not_serving(places, begun, service))


def _remember(places: Places, service: Service) -> None:
    found = {"start_id": service.identity(), "version": service.version, "txn": ""}
    try:
        write_json(places.started, found)
    except OSError:
        _log.exception("not remembered: %r", found)


def _why_not_serving(places: Places, begun: Begun, service: Service) -> str:
    """Wait until the new process serves, for as long as one may take; why it does not, or ""."""
    document = begun["product"]
    reader = Reader(places, document)
    give_up = time.monotonic() + document["limits"]["healthy_deadline"]
    while True:
        why = _what_is_missing(reader.slow(service.version), begun)
        if not why or time.monotonic() > give_up:
            return why
        time.sleep(document["limits"]["health_poll"])


def _what_is_missing(found: Dict[str, Any], begun: Begun) -> str:
    """What of one look is not as it has to be behind a restart; "" when nothing is."""
    if found["service"] != "started":
        return "its service is %s: %s" % (found["service"], found["service_text"])
    if found["start_id"] is None:
        return "no process of it is known"
    if found["start_id"] == begun["start_id"] and begun["boot_id"] == clock.boot_id():
        return "the process is the one from before"
    if found["running"] != begun["version"]:
        return "%s is selected, and what runs is %r" % (begun["version"], found["running"])
    if found["health"] in ("failing", "unknown"):
        return found["health_text"] or "its health is %s" % found["health"]
    return ""


def _end(places: Places, begun: Begun, service: Service, why: str) -> None:
    """Write down what came of it, then that nothing is under way any more.

    Raises:
        journal.AppendFailed: It is not written down: whoever comes next looks again.
    """
    book = Journal(places.journal)
    try:
        book.append(
            "RESTARTED",
            run=begun["run"],
            operator=begun["operator"],
            version=begun["version"],
            ok=not why,
            text=why[:2000] or "serves again",
            start_id=service.identity(),
            log=service.log_tail()[-4000:] if why else "",
        )
    finally:
        book.close()
    forget(places)
