"""The six facts of this node about one product, each read anew; nothing is remembered.

`None` means read, and there is none. What cannot be read is `{"unknown": reason}`.
Source: design.md, section 4, "How they are read".
"""

import os
from typing import Any, Dict, List, Optional, Tuple

from backends.node import (
    adopt,
    blobs,
    clock,
    data,
    health,
    leadership,
    locks,
    probe,
    processes,
    provenance,
    restart_begun,
    standing,
    transaction,
)
from backends.node.journal import JournalDamaged
from backends.node.layout import PointerUnreadable
from backends.node.layouts import layout_of
from backends.node.places import Places, names_in, read_json
from backends.node.service import Service
from backends.node.services import service_of
from backends.node.wire import WireError, problem

Facts = Dict[str, Any]

_START_SECONDS = 2.0
"""How long a driver may take from an order to its lock before it is called missing."""


def unknown(reason: str) -> Dict[str, str]:
    """A value that could not be read."""
    return {"unknown": reason[:500]}


class Reader:
    """Reads the facts; keeps only what makes the next reading cheaper."""

    def __init__(self, places: Places, document: Dict[str, Any]) -> None:
        self.places = places
        self.document = document
        self.layout = layout_of(document, places)

    def quick(self) -> Facts:
        """What the file system says: pointer, staged, finalized, transaction. Runs no command."""
        places = self.places
        selected = self._selected()
        staged = self._staged(selected)
        here = [version for version in staged if version != selected]
        here = [selected, *here] if isinstance(selected, str) else here
        found: Facts = {
            "product": self.document["name"],
            "boot_id": clock.boot_id(),
            "selected": selected,
            "staged": staged,
            "stages": [self._stage(version) for version in staged],
            "unsigned": provenance.unsigned(places, here),
            "installed": self.layout.installed(),
            "finalized": self._finalized(),
            "previous": None,
            "transaction": None,
            "problem": None,
            "note": "",
            "state": "idle",
            "run": self._run(),
            "last": None,
        }
        self._add_transaction(found)
        if os.path.exists(places.disabled) and found["transaction"] is None:
            found["state"] = "disabled"
            found["note"] = processes.tail(places.disabled, 300).decode("utf-8", "replace").strip()
        restart_begun.tell(places, found)
        return found

    def full(self) -> Facts:
        """All facts, the service and its health asked; of drift only a watch can tell."""
        found = self.quick()
        found.update(self.slow(found["selected"]), drift=None)
        return found

    def slow(self, selected: Any) -> Facts:
        """What takes a look of its own: the running service, by the profile's commands and
        checks, and what has come of a release in part."""
        return dict(self._service(selected), partial=blobs.bytes_here(self.places))

    def service(self, selected: Any) -> Optional[Service]:
        """Whom to ask: the service that runs, else the one of the selected version."""
        version = selected if isinstance(selected, str) else self._told(selected)
        serving = self._serving(version)
        return service_of(self.document, self.places, serving) if serving else None

    def _service(self, selected: Any) -> Facts:
        service = self.service(selected)
        if service is None:
            return {
                "running": None if selected is None else unknown("no version is selected"),
                "service": "stopped" if selected is None else "unknown",
                "service_text": "the product is not installed" if selected is None else "",
                "health": "none",
                "health_text": "",
                "pid": None,
                "start_id": None,
                "leads": None,
            }
        word, text = service.status()
        identity = service.identity()
        if word == "unknown" and identity is not None and not os.path.isdir(service.tree):
            word = "started"
        answer, evidence = self._health(service, word)
        return {
            "running": self._running(service, word, identity),
            "service": word,
            "service_text": text[:500],
            "health": answer,
            "health_text": evidence[:2000],
            "pid": int(identity.split(":")[0]) if identity else None,
            "start_id": identity,
            "leads": self._leads(service, word),
        }

    def _leads(self, service: Service, word: str) -> Any:
        try:
            asked = bool(self.document.get("leader"))
            stopped = asked and word == "stopped"
            return False if stopped else leadership.leads(self.document, service)
        except probe.NoAnswer as error:
            return unknown(str(error))

    def _told(self, selected: Any) -> Optional[str]:
        """What the product itself says where no record of ours names its version."""
        if selected is None or not self.places.flat:
            return None
        try:
            return adopt.version_told(self.document, self.places)
        except probe.NoAnswer:
            return None

    def _serving(self, selected: Optional[str]) -> Optional[str]:
        """The version whose service to ask: one with living processes, else the selected one."""
        if selected is not None and service_of(self.document, self.places, selected).living():
            return selected
        for version in self.layout.installed():
            if service_of(self.document, self.places, version).living():
                return version
        return selected

    def _running(self, service: Service, word: str, identity: Optional[str]) -> Any:
        if word == "stopped" and identity is None:
            return None
        reasons = []
        how = probe.version_probe(self.document)
        if how is not None:
            try:
                return probe.read(how, service, service.settings["request_timeout"])
            except probe.NoAnswer as error:
                reasons.append(str(error))
        if identity is None:
            reasons.append("no process of it is known")
            return unknown("; ".join(reasons))
        version = self._version_of(int(identity.split(":")[0]))
        if version is not None:
            return version
        started = read_json(self.places.started)
        if started and started.get("start_id") == identity:
            return started["version"]
        reasons.append("process %s lies in no version's directory" % identity.split(":")[0])
        return unknown("; ".join(reasons))

    def _version_of(self, pid: int) -> Optional[str]:
        if self.places.flat:
            return None  # all versions lie in the same directory
        top = os.path.realpath(self.places.directory) + "/"
        for place in processes.place_of(pid):
            if place.startswith(top):
                return place[len(top) :].split("/")[0]
        return None

    def _health(self, service: Service, word: str) -> Tuple[str, str]:
        if not self.document["health"]:
            return "none", ""
        if word == "stopped":
            return "failing", "the service is stopped"
        checks = health.run_all(self.document, service)
        for level, word in (("hard", "failing"), ("soft", "soft_failing")):
            failure = health.first_failure(checks, level)
            if failure is not None:
                return word, "%s: %s" % (failure.name, failure.evidence)
        return "healthy", ", ".join(check.name for check in checks)

    def _selected(self) -> Any:
        try:
            return self.layout.selected()
        except PointerUnreadable as error:
            return unknown(str(error))

    def _staged(self, selected: Any) -> List[str]:
        """Staged versions; not the selected one, of which parts may still lie there, unless it is
        nobody's yet (then it was staged to be adopted, or by mistake), or with other
        configuration than the one that is final."""
        names = [name[:-5] for name in names_in(self.places.staged) if name.endswith(".json")]
        return [
            name
            for name in names
            if (name != selected or self._may_be_staged(name))
            and os.path.isdir(self.places.staged_tree(name))
        ]

    def _may_be_staged(self, selected: str) -> bool:
        places = self.places
        if os.path.exists(places.active):
            return False
        is_final = os.path.exists(places.finalized)
        return not is_final or os.path.exists(places.next_manifest(selected))

    def _stage(self, version: str) -> Dict[str, Any]:
        """Since when a version lies ready, and whether it was checked."""
        mark = self._mark(version)
        return {
            "version": version,
            "since": mark.get("time"),
            "checked": bool(mark.get("checked")),
        }

    def _mark(self, version: str) -> Dict[str, Any]:
        """What was recorded when it was staged; a damaged record says nothing, of nothing else."""
        try:
            return read_json(self.places.stage_mark(version)) or {}
        except (OSError, WireError):
            return {}

    def _finalized(self) -> Any:
        try:
            found = read_json(self.places.finalized)
        except (OSError, WireError) as error:
            return unknown(str(error))
        if found is None:
            return None
        about = {name: found.get(name) for name in ("version", "run", "digest", "time")}
        return dict(about, packaged=provenance.packaged(found))

    def _run(self) -> Any:
        try:
            found = read_json(self.places.run)
        except (OSError, WireError):
            return None
        return None if found is None else found.get("run")

    def _add_transaction(self, found: Facts) -> None:
        try:
            opened, driver = _opened(self.places)
        except (JournalDamaged, WireError, OSError) as error:
            found["state"] = "inconsistent"
            found["problem"] = problem(
                "journal-damaged",
                "the node's journal cannot be read; nothing was touched",
                str(error),
                "look at %s on the node" % self.places.active,
            )
            return
        if opened is None:
            self._add_last(found)
            return
        _describe(found, opened, driver)

    def _add_last(self, found: Facts) -> None:
        finalized = found["finalized"]
        marker = read_json(self.places.finalized) if isinstance(finalized, dict) else None
        found["previous"] = (marker or {}).get("previous")
        last = read_json(self.places.last)
        if last:
            found["last"] = {name: last[name] for name in ("txn", "run", "outcome", "why")}
        if last and last["outcome"] == "undone":
            found["state"] = "rolled_back"
            found["note"] = "rolled back from %s: %s" % (_in_words(last), last["why"])
        if found["state"] == "idle" and found["staged"]:
            name = found["staged"][-1]
            mark = self._mark(name)
            found["state"] = "checked" if mark.get("checked") else "staged"


def _in_words(last: Dict[str, Any]) -> str:
    """What an upgrade that is over has led to."""
    before, after = last["from"] or {}, last["to"]
    if before.get("version") == after["version"] and before["digest"] != after["digest"]:
        return "%s with other configuration" % after["version"]
    return str(after["version"])


def _opened(places: Places) -> Tuple[Optional[transaction.Transaction], bool]:
    """The open transaction, closed again, and whether a driver is at work on it.

    A driver lets go of its lock after its last record. So "nobody drives" is only said when
    nothing was written between two readings with the lock free in between.
    """
    before = None
    while True:
        opened = transaction.load(places)
        if opened is None:
            return None, False
        opened.close()
        if locks.is_held(places) or _has_new_order(opened.records[-1]):
            return opened, True
        if before == (opened.txn, len(opened.records)):
            return opened, False
        before = (opened.txn, len(opened.records))


def _has_new_order(newest: Dict[str, Any]) -> bool:
    """Whether somebody decided a moment ago: the driver for it is just starting."""
    return (
        newest["t"] in ("ROLLBACK", "FINALIZE", "EXTEND")
        and newest["bid"] == clock.boot_id()
        and clock.since_boot() < newest["bt"] + _START_SECONDS
    )


def _describe(found: Facts, opened: transaction.Transaction, driver: bool) -> None:
    records = opened.records
    state = standing.state(records, driver)
    ends = standing.deadline(records)
    left = None if ends is None else round(ends - clock.since_boot(), 1)
    undecided = standing.decision(records) is None and not standing.is_held(records)
    armed = standing.last(records, "HOOK")
    layer = armed["layer"] if armed else "none"
    found["state"] = state
    found["previous"] = opened.previous
    found["transaction"] = {
        "run": opened.run,
        "txn": opened.txn,
        "from": opened.previous,
        "to": dict(opened.to, packaged=provenance.packaged(opened.to)),
        "operator": opened.plan["operator"],
        "since": records[0]["wt"],
        "driver": driver,
        "decision": standing.decision(records),
        "healthy": standing.is_healthy(records),
        # Without a driver nobody counts: a deadline would be a promise that nobody keeps.
        "seconds_left": left if undecided and driver else None,
        "then": opened.policy["if_operator_vanishes"] if undecided and driver else "",
        "why": standing.first_error(records),
        "last": records[-1]["t"],
        "updater": opened.plan["updater"],
        "layer": layer,
        "data": data.in_words(records),
        # An older updater, whose upgrade may be open here, knew of none.
        "beside": opened.document.get("decided", {"beside": []})["beside"][:50],
    }
    if state == "inconsistent":
        unproven = standing.last(records, "UNPROVEN")
        if unproven is not None:
            found["problem"] = problem(
                "undo-unproven",
                "the way back to the old version is not proven",
                "\n".join(unproven["paths"]),
                "repair what is named, then roll back again: it goes on where it stopped",
            )
        elif standing.decision(records) == "FINALIZE":
            found["problem"] = problem(
                "driver-gone",
                "%s is final; the updater died before it had cleaned up" % opened.to["version"],
                "",
                "run finalize again: it goes on where it stopped",
            )
        else:
            found["problem"] = problem(
                "driver-gone",
                "the updater on the node died at %s; nobody drives the node now"
                % records[-1]["t"],
                standing.first_error(records),
                (
                    "run upgrade or rollback again: it first brings the node back to rest"
                    if layer == "none"
                    else "its second layer (%s) takes it up within a minute; upgrade or rollback "
                    "do it at once" % layer
                ),
            )
    elif state == "held":
        held = standing.last(records, "HELD")
        found["note"] = "held: %s" % (held["why"] if held else "")
