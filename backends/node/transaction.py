"""The open transaction on this node: its plan, its journal, its services, its places.

It exists exactly when the directory `active` exists, which appears by one rename after
everything in it is durable.
"""

import errno
import hashlib
import logging
import os
import syslog
from typing import Any, Dict, List, Optional

from backends.node import standing
from backends.node.canonical import canonical
from backends.node.journal import AppendFailed, Journal
from backends.node.places import (
    Places,
    make_directories,
    read_json,
    remove_if_there,
    remove_tree,
    sync_directory,
    write_file,
    write_json,
)
from backends.node.service import Service
from backends.node.steps import Step

_log = logging.getLogger("liftlock")

RESERVE = 65536
"""Bytes kept so that the last records can be written on a full disk."""


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

    @property
    def records(self) -> List[Dict[str, Any]]:
        """What is in the journal, as far as it was read."""
        return self.journal.records

    @property
    def new_service(self) -> Service:
        """The service of the version we go to."""
        return Service(self.document, self.places, self.to["version"])

    @property
    def old_service(self) -> Optional[Service]:
        """The service of the version we come from; None for a first install."""
        if self.previous is None:
            return None
        return Service(self.document, self.places, self.previous["version"])

    @property
    def conflicts(self) -> str:
        """Where foreign things of this transaction are kept."""
        return os.path.join(self.places.conflicts, self.txn)

    def file(self, name: str) -> str:
        """A file of this transaction."""
        return os.path.join(self.places.active, name)

    def steps(self) -> List[Step]:
        """The steps, in plan order; none before INTENTS."""
        found = read_json(self.file("intents.json"))
        return [Step(intent) for intent in found["steps"]] if found else []

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

    def decide(self, kind: str, **fields: Any) -> Optional[str]:
        """Record a decision unless another one is in force; why not, or None when it is ours."""
        objection = {
            "ROLLBACK": standing.why_not_roll_back,
            "FINALIZE": standing.why_not_finalize,
        }[kind]
        try:
            record, reason = self.journal.append_unless(objection, kind, **fields)
        except AppendFailed:
            if not remove_if_there(self.file("reserve")):
                raise
            record, reason = self.journal.append_unless(objection, kind, **fields)
        if record is None:
            return reason
        announce(kind, self.txn, str(fields.get("by", "")))
        return None

    def close(self) -> None:
        """Let go of the journal file."""
        self.journal.close()


def announce(kind: str, txn: str, by: str) -> None:
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
    if not is_open(places):
        return None
    plan = read_json(os.path.join(places.active, "plan.json"))
    if plan is None:
        raise AssertionError("active without a plan: it appears in one rename with it")
    return Transaction(places, plan, Journal(os.path.join(places.active, "journal")))


def begin(places: Places, plan: Dict[str, Any], **fields: Any) -> Transaction:
    """Create the transaction: build it aside, make it durable, then give it its name.

    Raises:
        OSError: It could not be created; there is none.
    """
    forget_unborn(places)
    make_directories(places.active_new)
    write_json(os.path.join(places.active_new, "plan.json"), plan)
    write_file(os.path.join(places.active_new, "reserve"), os.urandom(RESERVE))
    journal = Journal(os.path.join(places.active_new, "journal"), create=True)
    journal.append("BEGIN", **fields)
    sync_directory(places.active_new)
    os.rename(places.active_new, places.active)
    sync_directory(places.home)
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
    remove_if_there(transaction.file("reserve"))
    os.rename(places.active, os.path.join(places.done, transaction.txn))
    sync_directory(places.done)
    sync_directory(places.home)


def side_file(transaction: Transaction, name: str, value: Dict[str, Any]) -> str:
    """Write a file too large for a record, durably; its SHA-256 for the record."""
    content = canonical(value) + b"\n"
    write_file(transaction.file(name), content)
    return hashlib.sha256(content).hexdigest()
