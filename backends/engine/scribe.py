"""Writes down and says, in this order: what is not in the book has not happened."""

import time
from collections.abc import Mapping

from backends.domain.clean import clean, line
from backends.domain.problem import Problem
from backends.domain.states import Phase
from backends.engine import telling
from backends.engine.events import Event, Kind, Observer
from backends.store.book import Book


class Scribe:
    """The voice of one run."""

    def __init__(self, book: Book, run: str, observe: Observer) -> None:
        self.run = run
        self._book = book
        self._observe = observe

    def say(
        self,
        kind: Kind,
        text: str,
        *,
        node: str = "",
        phase: Phase | None = None,
        data: Mapping[str, object] | None = None,
        key: str = "",
        at: float | None = None,
    ) -> None:
        """Write an event into the book, then show it. Progress is only shown.

        Raises:
            LiftlockError: `book-unwritable`; then nothing may be begun.
        """
        event = Event(
            time=time.time() if at is None else at,
            run=self.run,
            node=node,
            phase=phase,
            kind=kind,
            text=text,
            data=dict(data or {}),
            key=key,
        )
        if kind is not Kind.PROGRESS:
            self._book.record(
                self.run,
                time=event.time,
                node=node,
                phase=phase.value if phase else None,
                kind=kind.value,
                text=text,
                data=event.data,
                key=key or None,
            )
        self._observe(event)

    def problem(self, problem: Problem, *, node: str = "", phase: Phase | None = None) -> None:
        """Say a problem whole."""
        data = {
            "code": problem.code,
            "evidence": problem.evidence,
            "advice": problem.advice,
        }
        self.say(
            Kind.PROBLEM, f"{problem.code}: {problem.summary}", node=node, phase=phase, data=data
        )

    def row(self, message: Mapping[str, object], *, node: str, phase: Phase) -> None:
        """Say one check of a node."""
        name, result = line(str(message["name"])), line(str(message["result"]))
        evidence = clean(str(message["evidence"]))
        self.say(
            Kind.ROW,
            f"{result:<7} {name}: {line(evidence)}",
            node=node,
            phase=phase,
            data={
                "name": name,
                "result": result,
                "evidence": evidence,
                "seconds": message["seconds"],
            },
        )

    def record(self, message: Mapping[str, object], *, node: str, txn: str) -> None:
        """Say one record of the node's journal; the same one twice is written once."""
        record = message["record"]
        if not isinstance(record, dict) or record["t"] in telling.QUIET:
            return
        data: dict[str, object] = {"record": record["t"], "n": record["n"]}
        log = telling.evidence_of(record)
        if log:
            data["log"] = log
        self.say(
            Kind.RECORD,
            telling.tell(record),
            node=node,
            phase=telling.phase_of(record),
            data=data,
            key=f"{txn}.{node}.{record['n']}",
            at=float(record["wt"]),
        )
