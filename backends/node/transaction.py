"""The open transaction on this node: its plan, its journal, its services, its places.

It exists exactly when the directory `active` exists, which appears by one rename after
everything in it is durable.
"""

import errno
import hashlib
import json
import logging
import os
import syslog
from typing import Any, Callable, Dict, List, Optional

from backends.node import standing, wire
from backends.node.canonical import canonical
from backends.node.copying import set_aside
from backends.node.journal import AppendFailed, Journal, JournalDamaged
from backends.node.layouts import layout_of
from backends.node.parents import Parents
from backends.node.places import (
    Places,
    make_directories,
    remove_if_there,
    remove_tree,
    sync_directory,
    write_file,
    write_json,
)
from backends.node.service import Service
from backends.node.services import service_of
from backends.node.steps import Step

_log = logging.getLogger("liftlock")

RESERVE = 65536
"""Bytes kept so that the last records can be written on a full disk."""


_NOTHING_SEEN: Dict[str, Any] = {"kept": [], "carried": [], "again": [], "parents": {}}

Objection = Callable[[List[Dict[str, Any]]], Optional[str]]
"""Why a decision must not be recorded behind these records, or None."""

_OBJECTIONS: Dict[str, Objection] = {
    "ACCEPT": standing.decision,
    "HELD": standing.decision,
    "ROLLBACK": standing.why_not_roll_back,
    "FINALIZE": standing.why_not_finalize,
}


class Transaction:
    """An open transaction. Close it when done; that changes nothing on the disk."""

    def __init__(self, places: Places, plan: Dict[str, Any], journal: Journal) -> None:
        self.places = places
        self.plan = plan
        self.journal = journal
        self.document: Dict[str, Any] = plan["product"]
        self.txn: str = plan["txn"]
        self.run: str = plan["run"]
        self.to: Dict[str, Any] = plan["to"]
        self.previous: Optional[Dict[str, Any]] = plan["from"]
        self.policy: Dict[str, Any] = plan["policy"]
        self.limits: Dict[str, Any] = plan["product"]["limits"]
        self.layout = layout_of(self.document, places)

    @property
    def records(self) -> List[Dict[str, Any]]:
        """What is in the journal, as far as it was read."""
        return self.journal.records

    @property
    def new_service(self) -> Service:
        """The service of the version we go to."""
        return service_of(self.document, self.places, self.to["version"])

    @property
    def old_service(self) -> Optional[Service]:
        """The service of the version we come from; None for a first install."""
        if self.previous is None:
            return None
        return service_of(self.document, self.places, self.previous["version"])

    @property
    def conflicts(self) -> str:
        """Where foreign things of this transaction are kept."""
        return os.path.join(self.places.conflicts, self.txn)

    def conflicts_of(self, step: Step) -> str:
        """Where foreign things are kept that lie in a step's way: in a folder like theirs."""
        inside = os.path.relpath(os.path.dirname(step.path), self.places.directory)
        return self.conflicts if inside.startswith("..") else os.path.join(self.conflicts, inside)

    def file(self, name: str) -> str:
        """A file of this transaction."""
        return os.path.join(self.places.active, name)

    def steps(self) -> List[Step]:
        """The steps, in plan order, and after them what lives on; none before INTENTS."""
        quiet = self.quiet()
        seen_again = {intent["i"]: intent for intent in quiet["again"]}
        intents = [seen_again.get(intent["i"], intent) for intent in self.intents()["steps"]]
        return [Step(intent) for intent in intents + quiet["kept"]]

    def intents(self) -> Dict[str, Any]:
        """The before-images as recorded: `steps`, and `parents`, see `parents.Parents`.

        Raises:
            JournalDamaged: They are not what INTENTS names. Without them nothing can be undone,
                and nothing may be called restored.
        """
        return self._recorded("INTENTS", "intents.json") or {"steps": [], "parents": {}}

    def quiet(self) -> Dict[str, Any]:
        """What could only be looked at once the service was gone.

        `kept`: intents of files that live on where they are; `carried`: `[source, goal, image]` of
        those that were copied into the new tree; `again`: intents of what the service has changed;
        `parents`: the directories of those in `kept`.

        Raises:
            JournalDamaged: It is not what QUIET names.
        """
        return self._recorded("QUIET", "quiet.json") or dict(_NOTHING_SEEN)

    def parents(self) -> Parents:
        """The directories that the steps' paths lie in, as they were first seen.

        Raises:
            JournalDamaged: See `intents` and `quiet`.
        """
        return dict(self.quiet()["parents"], **self.intents()["parents"])

    def _recorded(self, kind: str, name: str) -> Optional[Dict[str, Any]]:
        recorded = standing.last(self.records, kind)
        if recorded is None:
            return None
        path = self.file(name)
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except FileNotFoundError as error:
            raise JournalDamaged("%s is gone" % path) from error
        if _hash(content) != recorded["file"]:
            raise JournalDamaged("%s is not what was recorded" % path)
        found: Dict[str, Any] = json.loads(content.decode("ascii"))
        return found

    def log(self, kind: str, durable: bool = True, **fields: Any) -> Dict[str, Any]:
        """Append a record; on a full disk the reserve is given up first.

        Raises:
            AppendFailed: It is not in the journal.
        """
        try:
            _log.debug("%s %s %r", self.txn, kind, fields)
            return self.journal.append(kind, durable, **fields)
        except AppendFailed as error:
            cause = error.__cause__
            full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
            if not full or not remove_if_there(self.file("reserve")):
                raise
            return self.journal.append(kind, durable, **fields)

    def note(self, kind: str, durable: bool = False, **fields: Any) -> None:
        """Append a record that only informs: when it cannot be written, the work goes on."""
        try:
            self.log(kind, durable, **fields)
        except AppendFailed:
            _log.exception("not journaled: %s %r", kind, fields)

    def decide(
        self, kind: str, objection: Optional[Objection] = None, **fields: Any
    ) -> Optional[str]:
        """Record a decision unless another one is in force; why not, or None when it is ours.

        Raises:
            AppendFailed: It is not in the journal, also without the reserve.
        """
        objection = objection or _OBJECTIONS[kind]
        try:
            record, reason = self.journal.append_unless(objection, kind, **fields)
        except AppendFailed:
            if not remove_if_there(self.file("reserve")):
                raise
            record, reason = self.journal.append_unless(objection, kind, **fields)
        if record is None:
            return reason
        if kind in wire.DECISIONS:
            _announce(kind, self.txn, str(fields.get("by", "")))
        return None

    def set_aside(self, found: Dict[str, str]) -> None:
        """Move foreign and edited things into `conflicts`: path -> name to keep it under.

        Raises:
            OSError: One could not be moved; those before it are, and it can be said again.
        """
        during = "finalize" if standing.decision(self.records) == "FINALIZE" else "rollback"
        for path, name in found.items():
            if not os.path.lexists(path):
                continue  # it went with the directory it lies in
            folder = os.path.dirname(os.path.join(self.conflicts, name))
            goal = set_aside(path, folder, os.path.basename(name))
            self.note("CONFLICT", what=name, kept=goal, during=during)

    def remember_start(self, service: Service) -> None:
        """Which process of which version we started: the last way to tell what runs.

        A full disk does not end a trial or an undo for that: then it is not known in this way.
        """
        found = {"start_id": service.identity(), "version": service.version, "txn": self.txn}
        try:
            write_json(self.places.started, found)
        except OSError:
            _log.exception("not remembered: %r", found)

    def close(self) -> None:
        """Let go of the journal file."""
        self.journal.close()


def _announce(kind: str, txn: str, by: str) -> None:
    """One line in the node's own log for each decision, where it has one."""
    syslog.openlog("liftlock")
    syslog.syslog(syslog.LOG_NOTICE, "%s of %s by %s" % (kind, txn, by))
    syslog.closelog()


def is_open(places: Places) -> bool:
    """Whether there is a transaction on this node."""
    return os.path.isdir(places.active)


def load(places: Places) -> Optional[Transaction]:
    """The open transaction, or None.

    Raises:
        journal.JournalDamaged: Its journal is damaged; nothing may be touched.
        wire.WireError: Its plan is.
    """
    while is_open(places):
        try:
            with open(os.path.join(places.active, "plan.json"), "rb") as stream:
                content = stream.read()
            journal = Journal(os.path.join(places.active, "journal"))
        except FileNotFoundError as error:
            if is_open(places):
                raise JournalDamaged("%s is gone" % error.filename) from error
            continue  # it was put away while we looked
        if not journal.records or journal.records[0].get("plan") != _hash(content):
            journal.close()
            raise JournalDamaged("%s is not the plan that began" % places.active)
        return Transaction(places, json.loads(content.decode("ascii")), journal)
    return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def begin(places: Places, plan: Dict[str, Any], **fields: Any) -> Transaction:
    """Create the transaction: build it aside, make it durable, then give it its name.

    Raises:
        OSError, AppendFailed: It could not be created; there is none.
    """
    forget_unborn(places)
    if is_open(places):
        raise OSError(errno.EEXIST, "an upgrade is open here", places.active)
    try:
        make_directories(places.active_new)
        content = canonical(plan) + b"\n"
        write_file(os.path.join(places.active_new, "plan.json"), content)
        write_file(os.path.join(places.active_new, "reserve"), os.urandom(RESERVE))
        journal = Journal(os.path.join(places.active_new, "journal"), create=True)
        journal.append("BEGIN", plan=_hash(content), **fields)
        sync_directory(places.active_new)
        os.rename(places.active_new, places.active)
        sync_directory(places.home)
    except (OSError, AppendFailed):
        if is_open(places):
            os.rename(places.active, places.active_new)
        forget_unborn(places)
        raise
    return Transaction(places, plan, journal)


def forget_unborn(places: Places) -> None:
    """Remove what a `begin` left that never came to its rename."""
    remove_tree(places.active_new)


def next_name(places: Places, run: str) -> str:
    """The transaction's name: the run's id, with a number from the second attempt on."""
    attempt = 1
    name = run
    while os.path.lexists(os.path.join(places.done, name)):
        attempt += 1
        name = "%s.%d" % (run, attempt)
    return name


def put_away(transaction: Transaction) -> None:
    """After END: remember the outcome, then move the transaction to `done/`. May be repeated."""
    places = transaction.places
    end = standing.last(transaction.records, "END")
    if end is None:
        raise AssertionError("a transaction without END is not over")
    remove_if_there(transaction.file("reserve"))  # first: on a full disk it is the room for this
    write_json(
        places.last,
        {
            "txn": transaction.txn,
            "run": transaction.run,
            "outcome": end["outcome"],
            "from": transaction.previous,
            "to": transaction.to,
            "why": standing.first_error(transaction.records),
            "time": end["wt"],
        },
    )
    os.rename(places.active, os.path.join(places.done, transaction.txn))
    sync_directory(places.done)
    sync_directory(places.home)


def side_file(transaction: Transaction, name: str, value: Dict[str, Any]) -> str:
    """Write a file too large for a record, durably; its SHA-256 for the record."""
    content = canonical(value) + b"\n"
    write_file(transaction.file(name), content)
    return hashlib.sha256(content).hexdigest()
