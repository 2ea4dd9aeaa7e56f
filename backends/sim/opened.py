"""An open upgrade on a simulated node: what whoever works on it writes, decides and waits for."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from backends.sim import records as standing
from backends.sim.content import Content
from backends.sim.node import SimNode, Step, Transaction
from backends.sim.routine import Steps
from backends.sim.service import Service

Waits = Generator[float | None, None, str]
"""Steps with an outcome word at their end."""

Did = Generator[float | None, None, tuple[bool, str]]
"""Steps that say at their end whether it was done, and what was said."""

Objection = Callable[[list[Mapping[str, Any]]], str | None]
"""Why a decision must not be recorded behind these records, or None."""

_OBJECTIONS: dict[str, Objection] = {
    "ACCEPT": standing.decision,
    "HELD": standing.decision,
    "ROLLBACK": standing.why_not_roll_back,
    "FINALIZE": standing.why_not_finalize,
}


class Open:
    """An open transaction, with the node and the services it is about."""

    def __init__(self, node: SimNode, transaction: Transaction) -> None:
        self.node = node
        self.disk = node.disk
        self.transaction = transaction
        self.plan = transaction.plan
        self.document: Mapping[str, Any] = self.plan["product"]
        self.limits: Mapping[str, Any] = self.document["limits"]
        self.to: Mapping[str, Any] = self.plan["to"]
        self.previous: Mapping[str, Any] | None = self.plan["from"]
        self.txn: str = self.plan["txn"]

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """What is in the journal."""
        return self.transaction.records

    @property
    def record(self) -> Content:
        """Of the content we go to."""
        found = self.disk.record_of(self.to["version"], self.to["digest"])
        if found is None:
            raise AssertionError("what was staged is recorded")
        return found

    @property
    def new(self) -> Service:
        """The service of the version we go to."""
        return Service(self.node, self.document, self.to["version"])

    @property
    def old(self) -> Service | None:
        """The service of the version we come from; None for a first install."""
        if self.previous is None:
            return None
        return Service(self.node, self.document, self.previous["version"])

    @property
    def steps(self) -> list[Step]:
        """The steps, in plan order; none before INTENTS."""
        return self.transaction.steps

    @property
    def pointer(self) -> str:
        """The pointer's path."""
        return f"{self.document['directory']}/{self.document['pointer']}"

    def log(self, kind: str, **fields: object) -> None:
        """Append a record."""
        self.transaction.journal.append(kind, **fields)

    def decide(
        self, kind: str, objection: Objection | None = None, **fields: object
    ) -> str | None:
        """Record a decision unless another is in force; why not, or None when it is ours."""
        reason = (objection or _OBJECTIONS[kind])(self.records)
        if reason is None:
            self.log(kind, **fields)
        return reason

    def pause(self, seconds: float) -> Steps:
        """Let this much time pass, whoever calls meanwhile."""
        return pause(self.node, seconds)

    def remember_start(self, service: Service) -> None:
        """Which process of which version we started."""
        self.disk.started = service.process

    def stop(self, service: Service) -> Did:
        """Stop a service; whether it was seen gone, and what it said."""
        return stop(self.node, service)

    def start(self, service: Service) -> Did:
        """Start a service; whether a process of it is there, and what it said."""
        return start(self.node, service)


def pause(node: SimNode, seconds: float) -> Steps:
    """Let this much time pass, whoever calls meanwhile."""
    end = node.clock.now() + seconds
    while (left := end - node.clock.now()) > 1e-9:
        yield left


def stop(node: SimNode, service: Service) -> Did:
    """Stop a service; whether it was seen gone, and what it said."""
    if not service.behaviour.stops and service.process is not None:
        limit = float(service.settings["stop_timeout"])
        yield from pause(node, limit)
        who = f"pid {service.process.pid}"
        said = "stop said exit 1: still running"
        return False, f"still running after {limit:g} s: {who}; {said}"
    yield from pause(node, node.durations.stop)
    if service.process is not None:
        node.stop_service()
    if (tree := node.disk.trees.get(service.version)) is not None:
        tree.extra.discard(str(service.settings["pid_file"]))
    return True, "gone; stop said exit 0: stoped"


def start(node: SimNode, service: Service) -> Did:
    """Start a service; whether a process of it is there, and what it said."""
    yield from pause(node, node.durations.start)
    if not service.behaviour.starts:
        return False, "start said exit 1: did not start"
    process = node.start_service(service.version)
    node.disk.trees[service.version].extra |= service.own_files
    return True, f"pid {process.pid}"


def put_away(opened: Open) -> None:
    """After END: remember the outcome, and give the place free."""
    end = opened.records[-1]
    disk = opened.disk
    disk.last = {
        "txn": opened.txn,
        "run": opened.plan["run"],
        "outcome": end["outcome"],
        "from": opened.previous,
        "to": opened.to,
        "why": standing.first_error(opened.records),
        "time": end["wt"],
    }
    disk.done[opened.txn] = opened.transaction
    disk.active = None
    opened.node.changed()
