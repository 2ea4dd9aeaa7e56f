"""Writes down and says, in this order: what is not in the book has not happened."""

import time
from collections.abc import Mapping
from dataclasses import replace

from backends.domain.clean import clean, line
from backends.domain.problem import LiftlockError, Problem
from backends.domain.states import Phase
from backends.engine import telling
from backends.engine.asked import Asked, newest_request
from backends.engine.events import Event, Kind, Observer
from backends.engine.looks import Looks
from backends.store.book import Book

_BETWEEN_TRIES_SECONDS = 5.0

_ANNOUNCES = frozenset({Kind.RUN, Kind.PHASE})
"""What is said before it is done."""


class Scribe:
    """The voice of one run."""

    def __init__(self, book: Book, run: str, observe: Observer) -> None:
        self.run = run
        self._book = book
        self._observe = observe
        self._pending: list[Event] = []
        self._try_again_at = 0.0
        self._said_unwritable = False
        self._looks = Looks()

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

        What announces an act must be in the book before it. What has happened already is said even
        when it could not be written: the node's own journal has it, and a node that waits to be
        accepted must not go back because of our disk.

        Raises:
            LiftlockError: `book-unwritable`, for an announcement: it may not be begun.
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
            event = self._without_secrets(_with_request(event))
        if kind in _ANNOUNCES:
            self._write_pending()
            self._write(event)
        elif kind is not Kind.PROGRESS:
            self._pending.append(event)
            self._try_to_write()
        self._observe(event)

    def _without_secrets(self, event: Event) -> Event:
        """What is told is what is kept."""
        hidden = self._book.redaction
        return replace(event, text=hidden.text(event.text), data=hidden.value(event.data))

    def _write_pending(self) -> None:
        while self._pending:
            self._write(self._pending[0])
            del self._pending[0]

    def _try_to_write(self) -> None:
        """Write what has happened; what cannot be written now is kept and tried again later."""
        if time.monotonic() < self._try_again_at:
            return
        try:
            self._write_pending()
        except LiftlockError as error:
            self._try_again_at = time.monotonic() + _BETWEEN_TRIES_SECONDS
            if not self._said_unwritable:
                self._said_unwritable = True
                text = f"{error.problem.code}: {error.problem.summary}"
                event = replace(self._pending[0], kind=Kind.PROBLEM, text=text, data={}, key="")
                self._observe(event)

    def _write(self, event: Event) -> None:
        self._book.record(
            self.run,
            time=event.time,
            node=event.node,
            phase=event.phase.value if event.phase else None,
            kind=event.kind.value,
            text=event.text,
            data=event.data,
            key=event.key or None,
        )

    def keys(self, node: str, start: str) -> set[str]:
        """The keys of a node's records that are in the book, of those that begin so."""
        found = (entry.key for entry in self._book.entries(self.run, node))
        return {key for key in found if key is not None and key.startswith(start)}

    def close(self) -> None:
        """Write what could not be written before.

        Raises:
            LiftlockError: `book-unwritable`: the history has a gap.
        """
        self._write_pending()

    def command(self, asked: Asked) -> None:
        """Say a command that was given; looks that come to the same are told together."""
        for known in self._looks.before(asked):
            self._say_command(*known)

    def tell_looks(self) -> None:
        """Say the looks that were not told yet."""
        for known in self._looks.rest():
            self._say_command(*known)

    def _say_command(self, asked: Asked, times: int) -> None:
        came = asked.outcome.value if asked.outcome else "not waited for"
        why = f" ({line(asked.code)})" if asked.code else ""
        count = f", {times} times" if times > 1 else ""
        self.say(
            Kind.COMMAND,
            f"{asked.command}: {came}{why}{count}, {asked.seconds:.1f} s",
            node=asked.node,
            data={
                "command": asked.command,
                "outcome": asked.outcome.value if asked.outcome else "unknown",
                "code": line(asked.code),
                "began": round(asked.began, 3),
                "seconds": round(asked.seconds, 3),
                "times": times,
                "request": asked.request,
            },
        )

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
        event = telling.event(message, run=self.run, node=node, txn=txn)
        if event is not None:
            self.say(
                event.kind,
                event.text,
                node=node,
                phase=event.phase,
                data=event.data,
                key=event.key,
                at=event.time,
            )


def _with_request(event: Event) -> Event:
    """With the id of the request that it comes from; what is only announced comes from none.

    A record of the node names the request that led to it, where one did; `heard` is the one by
    which it came here.
    """
    request = newest_request(event.node) if event.node else ""
    name = "heard" if event.kind is Kind.RECORD else "request"
    if event.kind in _ANNOUNCES or not request or name in event.data:
        return event
    return replace(event, data={**event.data, name: request})
