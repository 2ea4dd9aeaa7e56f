"""The operator's book: every run and what happened in it, on disk before it is acted upon.

SQLite in the operator's state directory, write-ahead log, fully synchronous. It is a memory for
people: what a node is, only the node says.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.redaction import Redaction
from backends.store.retention import WATCH, Forgotten, Keep, forget

VERSION = 1

_BUSY_SECONDS = 1.0
"""How long another program may hold the file before a write is given up: it blocks our loop."""

_TABLES = """
create table run (
    id text primary key,
    cluster text not null,
    product text not null,
    kind text not null,
    version text,
    digest text,
    plan text not null,
    operator text not null,
    note text not null,
    began real not null,
    ended real,
    exit integer,
    outcome text
) strict;
create table event (
    seq integer primary key,
    run text not null references run (id),
    time real not null,
    node text not null,
    phase text,
    kind text not null,
    text text not null,
    data text not null,
    key text unique
) strict;
create index event_of_run on event (run, seq);
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan, or of a single act, as it was written down."""

    id: str
    cluster: str
    product: str
    kind: str
    """upgrade, stage, check, recover, accept, rollback, finalize, adopt, verify, clean, watch."""

    version: str | None
    digest: str | None
    operator: str
    note: str
    began: float
    """Seconds since 1970."""

    ended: float | None
    exit: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Start:
    """What is written down about a run before it does anything."""

    id: str
    cluster: str
    product: str
    kind: str
    operator: str
    began: float
    """Seconds since 1970."""

    version: str | None = None
    digest: str | None = None
    plan: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    seq: int
    run: str
    time: float
    node: str
    phase: str | None
    kind: str
    text: str
    data: Mapping[str, Any]
    key: str | None


class Book:
    """The run history. Every writing method returns after the entry is durable.

    Secrets are taken out of everything on its way in, so that nothing that is read here has any.

    All methods raise LiftlockError: `book-unwritable` (exit 2) when the disk says no, so that no
    step is begun that could not be written down.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.redaction = Redaction()
        """What is taken out of everything that is written."""

        try:
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma foreign_keys = on")
            self._migrate()
        except sqlite3.Error as error:
            raise _unwritable(path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin(self, start: Start, keep: Keep | None = None) -> None:
        """Write down a run before it does anything; a run that is taken up again is the same.

        With `keep`, what is older or more than that is forgotten in the same transaction, and the
        new run has a line that says what.
        """
        try:
            self._db.execute("begin immediate")
            try:
                gone = keep and forget(self._db, start.cluster, keep, start.began, start.id)
                self._begin(start)
                if gone:
                    self._tell_forgotten(start, gone)
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise _unwritable(self.path, error) from error

    def _begin(self, start: Start) -> None:
        self._db.execute(
            "insert into run (id, cluster, product, kind, version, digest, plan, operator, note,"
            " began) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict (id) do update set ended = null, exit = null, outcome = null,"
            " plan = excluded.plan, note = case excluded.note when '' then note"
            " else excluded.note end",
            (
                start.id,
                start.cluster,
                start.product,
                start.kind,
                start.version,
                start.digest,
                self._kept(start.plan),
                start.operator,
                self.redaction.text(start.note),
                start.began,
            ),
        )

    def _tell_forgotten(self, start: Start, gone: Forgotten) -> None:
        self._db.execute(
            "insert into event (run, time, node, phase, kind, text, data, key)"
            " values (?, ?, '', null, 'run', ?, ?, null)",
            (start.id, start.began, gone.in_words(), self._kept(gone.data())),
        )

    def _kept(self, value: Mapping[str, object]) -> str:
        """A value as it is written down."""
        return json.dumps(self.redaction.value(dict(value)), sort_keys=True)

    def end(self, run: str, *, time: float, exit_code: int, outcome: str) -> None:
        """Write down how a run ended."""
        self._write(
            "update run set ended = ?, exit = ?, outcome = ? where id = ?",
            (time, exit_code, self.redaction.text(outcome), run),
        )

    def record(
        self,
        run: str,
        *,
        time: float,
        node: str,
        phase: str | None,
        kind: str,
        text: str,
        data: Mapping[str, object],
        key: str | None = None,
    ) -> None:
        """Write down one event; one with a `key` that is there already is not written twice."""
        self._write(
            "insert into event (run, time, node, phase, kind, text, data, key)"
            " values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (key) do nothing",
            (run, time, node, phase, kind, self.redaction.text(text), self._kept(data), key),
        )

    def runs(
        self, cluster: str | None = None, limit: int = 50, *, watches: bool = True
    ) -> tuple[Run, ...]:
        """The runs in which something happened last come first.

        Without `watches`, not those in which something was noticed and nothing done.
        """
        rows = self._read(
            "select id, cluster, product, kind, version, digest, operator, note, began, ended,"
            " exit, outcome from run where (?1 is null or cluster = ?1) and (?3 or kind <> ?4)"
            " order by coalesce(ended, (select max(time) from event where event.run = run.id),"
            " began) desc, rowid desc limit ?2",
            (cluster, limit, watches, WATCH),
        )
        return tuple(Run(*row) for row in rows)

    def run(self, run: str) -> Run | None:
        """One run, or None."""
        rows = self._read(
            "select id, cluster, product, kind, version, digest, operator, note, began, ended,"
            " exit, outcome from run where id = ?",
            (run,),
        )
        return next((Run(*row) for row in rows), None)

    def plan(self, run: str) -> dict[str, Any]:
        """The plan of a run as it was written down; empty where there is none."""
        rows = self._read("select plan from run where id = ?", (run,))
        return next((_object(row[0]) for row in rows), {})

    def entries(self, run: str, node: str | None = None, *, after: int = 0) -> tuple[Entry, ...]:
        """The journal of a run, in the order in which it was written, behind line `after`."""
        rows = self._read(
            "select seq, run, time, node, phase, kind, text, data, key from event"
            " where run = ?1 and (?2 is null or node = ?2) and seq > ?3 order by seq",
            (run, node, after),
        )
        return tuple(_entry(*row) for row in rows)

    def writings(self) -> int:
        """Another number whenever another program has written; to ask costs next to nothing."""
        return next(int(row[0]) for row in self._read("pragma data_version", ()))

    def _migrate(self) -> None:
        found = int(self._db.execute("pragma user_version").fetchone()[0])
        if found > VERSION:
            raise LiftlockError(
                Problem(
                    "book-too-new",
                    "The run history was written by a newer version of this program.",
                    f"{self.path}: version {found}, this program knows {VERSION}",
                    "Use the newer version, or set LIFTLOCK_STATE_DIR to another place.",
                ),
                Exit.USAGE,
            )
        if found < VERSION:
            self._db.executescript(f"begin; {_TABLES} pragma user_version = {VERSION}; commit;")

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise _unwritable(self.path, error) from error

    def _read(self, statement: str, values: tuple[object, ...]) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise _unwritable(self.path, error) from error


def _entry(  # one parameter a column
    seq: int,
    run: str,
    time: float,
    node: str,
    phase: str | None,
    kind: str,
    text: str,
    data: str,
    key: str | None,
) -> Entry:
    return Entry(seq, run, time, node, phase, kind, text, _object(data), key)


def _object(data: str) -> dict[str, Any]:
    """A JSON object; one line that is broken hides no other one."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"damaged": data}


def _unwritable(path: Path, error: sqlite3.Error) -> LiftlockError:
    return LiftlockError(
        Problem(
            "book-unwritable",
            "The run history cannot be used; nothing is begun that cannot be written down.",
            f"{path}: {error}",
            "Make room or repair the file, or set LIFTLOCK_STATE_DIR to another place.",
        ),
        Exit.USAGE,
    )


def run_ids(path: Path, cluster: str | None, limit: int) -> list[str]:
    """The newest runs, of one cluster or of all; only read, and none where it cannot be read."""
    wanted = "select id from run where ?1 is null or cluster = ?1 order by began desc limit ?2"
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)
        with closing(db):
            return [str(row[0]) for row in db.execute(wanted, (cluster, limit))]
    except sqlite3.Error:
        return []


def why_unusable(path: Path) -> str:
    """Why runs could not be written down there; empty where they can. Nothing is made for it."""
    if not path.exists():
        folder = next((each for each in path.parents if each.exists()), path.parent)
        is_free = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
        return "" if is_free else f"{path} cannot be made: {folder} takes no files"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path} cannot be written"
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS
        )
        with closing(db):
            (found,) = db.execute("pragma user_version").fetchone()
    except sqlite3.Error as error:
        return f"{path}: {error}"
    return "" if found <= VERSION else f"{path} was written by a newer version of this program"
