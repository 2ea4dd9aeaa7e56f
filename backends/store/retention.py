"""How long the history is kept: by age and by size, and never what is still needed.

Kept whatever its age are a run that has not ended, the newest run of a cluster, and the newest one
in which something was done. While another run of the cluster is under way nothing is forgotten.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

WATCH = "watch"
"""A run in which nothing was done: something was noticed."""

_ABANDONED_SECONDS = 31 * 86400.0
"""An open run in which nothing was written for so long is nobody's any more: no deadline of a node
is longer than 30 days. It is kept, and keeps no other one."""

_LINES_AT_ONCE = 20_000
"""So many are forgotten when a run begins, so that it does not wait; the next one goes on."""

_NAMED = 1000
"""So many forgotten runs are named in the line that says so."""


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a cluster's history."""

    seconds: float
    """How long after its end a run is kept."""

    bytes: int
    """What its runs may take in the file; the oldest ones go first."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten, for the line that says so."""

    runs: tuple[str, ...]
    """The oldest first."""

    bytes: int
    newest: float
    """When the newest of them ended, in seconds since 1970."""

    def in_words(self) -> str:
        """One line; the bytes are what its lines took on the average."""
        count = f"{len(self.runs)} run" + ("" if len(self.runs) == 1 else "s")
        names = self.runs[0] if len(self.runs) == 1 else f"{self.runs[0]} to {self.runs[-1]}"
        return f"forgotten by age and size of the history: {count}, {names}, {self.bytes} bytes"

    def data(self) -> dict[str, object]:
        """For whoever looks for one of them."""
        return {
            "forgotten": list(self.runs[:_NAMED]),
            "count": len(self.runs),
            "bytes": self.bytes,
            "newest": self.newest,
        }


@dataclass(frozen=True, slots=True)
class _Old:
    """A run that may be forgotten."""

    id: str
    ended: float
    lines: int
    bytes: float


def forget(
    db: sqlite3.Connection, cluster: str, keep: Keep, now: float, beside: str
) -> Forgotten | None:
    """Forget runs of a cluster inside of the caller's transaction; None where none was.

    `beside` is the run that is about to begin; it may be an old one that is taken up again.

    Raises:
        sqlite3.Error: The file says no; the caller takes everything back.
    """
    if _is_under_way(db, cluster, now, beside):
        return None
    found, kept = _oldest_first(db, cluster, beside, _bytes_a_line(db))
    gone: list[_Old] = []
    lines = 0
    for old in found:
        is_needed = old.ended >= now - keep.seconds and kept <= keep.bytes
        if is_needed or (gone and lines + old.lines > _LINES_AT_ONCE):
            break
        gone.append(old)
        kept -= old.bytes
        lines += old.lines
    if not gone:
        return None
    names = [(old.id,) for old in gone]
    db.executemany("delete from event where run = ?", names)
    db.executemany("delete from run where id = ?", names)
    return Forgotten(
        tuple(old.id for old in gone),
        round(sum(old.bytes for old in gone)),
        max(old.ended for old in gone),
    )


def _is_under_way(db: sqlite3.Connection, cluster: str, now: float, beside: str) -> bool:
    row = db.execute(
        "select 1 from run where cluster = ? and ended is null and id <> ? and"
        " coalesce((select max(time) from event where event.run = run.id), began) >= ? limit 1",
        (cluster, beside, now - _ABANDONED_SECONDS),
    ).fetchone()
    return row is not None


def _bytes_a_line(db: sqlite3.Connection) -> float:
    """What a line takes in the file, on the average: to add up all of them takes seconds."""
    pages, free, size = (
        int(db.execute(f"pragma {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    (lines,) = db.execute("select count(*) from event").fetchone()
    return float((pages - free) * size / max(1, lines))


def _oldest_first(
    db: sqlite3.Connection, cluster: str, beside: str, a_line: float
) -> tuple[list[_Old], float]:
    """The runs that may be forgotten, and the bytes of all runs of the cluster."""
    rows = db.execute(
        "select id, ended, (select count(*) from event where event.run = run.id) from run"
        " where cluster = ? order by ended, rowid",
        (cluster,),
    ).fetchall()
    kept = {beside, *_needed(db, cluster)}
    found = [
        _Old(run, ended, lines, lines * a_line)
        for run, ended, lines in rows
        if ended is not None and run not in kept
    ]
    return found, sum(row[2] for row in rows) * a_line


def _needed(db: sqlite3.Connection, cluster: str) -> Sequence[str]:
    """The newest run, and the newest one in which something was done on a node."""
    newest = (
        "select id from run where cluster = ? order by coalesce(ended, began) desc, rowid desc"
    )
    acted = (
        "select id from run where cluster = ? and kind <> ? and exists"
        " (select 1 from event where event.run = run.id and event.node <> '')"
        " order by coalesce(ended, began) desc, rowid desc"
    )
    found = [
        db.execute(f"{newest} limit 1", (cluster,)).fetchone(),
        db.execute(f"{acted} limit 1", (cluster, WATCH)).fetchone(),
    ]
    return [row[0] for row in found if row is not None]
