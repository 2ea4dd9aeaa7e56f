"""What a watch sees without being asked: that files of a node differ from what was installed."""

import time

from app.runs.keeping import about, begin_run, end_run, fresh_run
from app.session import Session
from backends.domain.drift import Drift
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, Problem
from backends.domain.states import Phase
from backends.engine.events import Event, Kind
from backends.engine.scribe import Scribe
from backends.store.book import Book
from backends.store.retention import WATCH

_AT_MOST_EVERY_SECONDS = 60.0
"""What is written to all the time is not told all the time."""

_RUNS_LOOKED_AT = 200


class Noticing:
    """Writes into the book when a node drifts, differently, or no longer; not at each look.

    What the book has said of a node before is not said again by the next program.
    """

    def __init__(self, session: Session, book: Book) -> None:
        self._session = session
        self._book = book
        self._said = self._from_before()
        """The newest words about each node."""

        self._written: dict[str, float] = {}

    def see(self, reading: NodeReading) -> None:
        """Take a reading.

        Raises:
            LiftlockError: `book-unwritable`.
        """
        found = reading.facts.drift if reading.read and reading.facts is not None else None
        if not isinstance(found, Drift):
            return  # not looked at yet, or not known: nothing that was seen has ended
        node, said = reading.name, self._said.get(reading.name, "")
        if found.count:
            text = f"{node} has drifted: {found.in_words()}"
        else:
            text = f"{node} is as recorded again: {found.version}"
        if text == said or (not found.count and " has drifted: " not in said):
            return
        last = self._written.get(node)
        if last is not None and time.monotonic() < last + _AT_MOST_EVERY_SECONDS:
            return
        self._written[node], self._said[node] = time.monotonic(), text
        self._write_down(node, found, text)

    def _from_before(self) -> dict[str, str]:
        runs = self._book.runs(self._session.cluster.name, limit=_RUNS_LOOKED_AT)
        found: dict[str, str] = {}
        for run in runs:
            if run.kind == WATCH and run.outcome:
                found.setdefault(run.outcome.partition(" ")[0], run.outcome)
        return found

    def _write_down(self, node: str, found: Drift, text: str) -> None:
        run = fresh_run(self._book)
        begin_run(self._book, self._session, about(self._session, run, WATCH))
        scribe = Scribe(self._book, run, _nobody)
        if found.count:
            problem = Problem(
                "drift",
                f"{node}: {found.count} of {found.files} paths of {found.version} differ",
                found.in_words(),
                f"liftlock verify {self._session.name} -n {node}",
            )
            scribe.problem(problem, node=node, phase=Phase.CHECK)
        else:
            scribe.say(Kind.RESULT, text, node=node, phase=Phase.CHECK)
        end_run(self._book, scribe, Exit.NEEDS_PERSON if found.count else Exit.OK, text, _nobody)


def _nobody(event: Event) -> None:
    """The grid shows it already."""
