"""Reading a whole cluster, and what is meant by a selection of its nodes."""

from collections.abc import Sequence

from app.session import Session
from backends.domain.facts import NodeReading
from backends.domain.problem import Problem
from backends.domain.verdict import Verdict, decide
from backends.engine.readings import read_all
from backends.engine.results import NodeResult, Result


async def look(session: Session) -> tuple[list[NodeReading], Verdict]:
    """Read every node of the cluster, also those that were not chosen; readings and verdict."""
    by_name = {reading.name: reading for reading in await read_all(session.contacts.values())}
    readings = [by_name.get(reading.name, reading) for reading in unread(session)]
    return readings, decide(readings, session.name)


def unread(session: Session) -> list[NodeReading]:
    """Every node as it is before anything was read of it."""
    return [
        NodeReading(
            name=name,
            role=subject.role,
            address=subject.address,
            excluded=subject.excluded,
            pinned=subject.pinned,
        )
        for name, subject in session.subjects.items()
    ]


def chosen(session: Session, readings: Sequence[NodeReading]) -> list[NodeReading]:
    """The readings of the nodes that were asked for."""
    return [reading for reading in readings if reading.name in session.chosen]


def unknown_nodes(session: Session) -> list[NodeResult]:
    """A result for every name that is no node: one error each, the rest goes on (Z15)."""
    return [
        NodeResult(name, Result.REFUSED, Problem("node-unknown", f"There is no node {name}."))
        for name in session.unknown
    ]
