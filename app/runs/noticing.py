"""What a watch sees without being asked: that files of a node differ from what was installed."""

from app.runs.keeping import about, end_run, fresh_run
from app.session import Session
from backends.domain.facts import Drift, NodeReading
from backends.domain.problem import Exit, Problem
from backends.domain.states import Phase
from backends.engine.events import Event, Kind
from backends.engine.scribe import Scribe
from backends.store.book import Book

Seen = tuple[str, tuple[str, ...], tuple[str, ...], int]


class Noticing:
    """Writes into the book when a node drifts, differently, or no longer; not at each look."""

    def __init__(self, session: Session, book: Book) -> None:
        self._session = session
        self._book = book
        self._seen: dict[str, Seen] = {}

    def see(self, reading: NodeReading) -> None:
        """Take a reading.

        Raises:
            LiftlockError: `book-unwritable`.
        """
        found = reading.facts.drift if reading.read and reading.facts is not None else None
        if not isinstance(found, Drift):
            return  # not looked at yet, or not known: nothing that was seen has ended
        now: Seen = (found.version, found.changed, found.missing, found.count)
        before = self._seen.get(reading.name)
        self._seen[reading.name] = now
        if now == before or (not found.count and (before is None or not before[3])):
            return
        self._write_down(reading.name, found)

    def _write_down(self, node: str, found: Drift) -> None:
        run = fresh_run(self._book)
        self._book.begin(about(self._session, run, "watch"))
        scribe = Scribe(self._book, run, _nobody)
        if found.count:
            text = f"{node} has drifted: {found.in_words()}"
            problem = Problem(
                "drift",
                f"{node}: {found.count} of {found.files} paths of {found.version} differ",
                found.in_words(),
                f"liftlock verify {self._session.name} -n {node}",
            )
            scribe.problem(problem, node=node, phase=Phase.CHECK)
        else:
            text = f"{node} is as recorded again: {found.version}"
            scribe.say(Kind.RESULT, text, node=node, phase=Phase.CHECK)
        end_run(self._book, scribe, Exit.NEEDS_PERSON if found.count else Exit.OK, text, _nobody)


def _nobody(event: Event) -> None:
    """The grid shows it already."""
