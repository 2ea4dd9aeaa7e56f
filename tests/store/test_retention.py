"""What is forgotten of the history, what never is, and that both happen whole or not at all."""

import sqlite3
from pathlib import Path

import pytest

from backends.domain.problem import LiftlockError
from backends.store import book as book_module
from backends.store import retention
from backends.store.book import Book, Start
from backends.store.retention import Keep

DAY = 86400.0
NOW = 1000 * DAY
KEEP = Keep(seconds=60 * DAY, bytes=10_000_000)


def start(run: str, days_ago: float, cluster: str = "harbor", kind: str = "upgrade") -> Start:
    return Start(run, cluster, "beacon", kind, "ann@jump", NOW - days_ago * DAY)


def past(
    book: Book, run: str, days_ago: float, *, text: str = "began", ends: bool = True, **more: str
) -> None:
    """A run of some days ago, with one line about a node."""
    book.begin(start(run, days_ago, **more))
    at = NOW - days_ago * DAY
    book.record(run, time=at, node="n1", phase=None, kind="result", text=text, data={})
    if ends:
        book.end(run, time=at, exit_code=0, outcome="well")


def names(book: Book) -> set[str]:
    return {run.id for run in book.runs(limit=1000)}


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "book")


def test_what_is_older_is_forgotten_when_a_run_begins_and_one_line_says_so(book: Book) -> None:
    for run, days in (("old-1", 200.0), ("old-2", 61.0), ("young", 59.0)):
        past(book, run, days)
    book.begin(start("new", 0), KEEP)
    assert names(book) == {"young", "new"}
    assert book.entries("old-1") == ()
    (line,) = book.entries("new")
    assert "2 runs, old-1 to old-2" in line.text
    assert line.data["forgotten"] == ["old-1", "old-2"]
    assert line.data["bytes"] > 0


def test_nothing_is_said_where_nothing_is_forgotten(book: Book) -> None:
    past(book, "young", 1)
    book.begin(start("new", 0), KEEP)
    assert book.entries("new") == ()


def test_what_is_too_much_is_forgotten_the_oldest_first(book: Book) -> None:
    for number in range(5):
        past(book, f"r{number}", 10 - number, text="x" * 1_000_000)
    book.begin(start("new", 0), Keep(60 * DAY, 2_500_000))
    assert names(book) == {"r3", "r4", "new"}
    book.end("new", time=NOW, exit_code=0, outcome="well")
    book.begin(start("newer", 0), Keep(60 * DAY, 2_500_000))
    assert names(book) == {"r3", "r4", "new", "newer"}, "what was given back is not counted"


def test_a_run_does_not_wait_until_all_that_is_old_is_forgotten(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LINES_AT_ONCE", 2)
    for number in range(5):
        past(book, f"r{number}", 300 - number)
    past(book, "young", 1)
    book.begin(start("again", 0), KEEP)
    assert names(book) == {"r2", "r3", "r4", "young", "again"}
    book.end("again", time=NOW, exit_code=0, outcome="well")
    book.begin(start("again", 0), KEEP)
    assert names(book) == {"r4", "young", "again"}


def test_another_cluster_keeps_what_it_has(book: Book) -> None:
    past(book, "theirs-1", 300, cluster="shore")
    past(book, "theirs-2", 200, cluster="shore")
    past(book, "old", 300)
    past(book, "young", 1)
    book.begin(start("new", 0), KEEP)
    assert names(book) == {"theirs-1", "theirs-2", "young", "new"}


def test_the_newest_run_is_kept_and_the_newest_that_did_something(book: Book) -> None:
    past(book, "older", 400)
    past(book, "did", 300)
    past(book, "noticed", 200, kind="watch")
    book.begin(start("new", 0), KEEP)
    assert names(book) == {"did", "noticed", "new"}


def test_nothing_is_forgotten_while_another_run_is_under_way(book: Book) -> None:
    past(book, "old-1", 300)
    past(book, "old-2", 200)
    past(book, "open", 2, ends=False)
    book.begin(start("new", 0), KEEP)
    assert names(book) == {"old-1", "old-2", "open", "new"}
    book.end("open", time=NOW, exit_code=0, outcome="well")
    book.end("new", time=NOW, exit_code=0, outcome="well")
    book.begin(start("newer", 0), KEEP)
    assert names(book) == {"open", "new", "newer"}


def test_an_open_run_that_nobody_writes_any_more_is_kept_and_keeps_no_other_one(
    book: Book,
) -> None:
    past(book, "old", 300)
    past(book, "killed", 100, ends=False)
    past(book, "young", 1)
    book.begin(start("new", 0), KEEP)
    assert names(book) == {"killed", "young", "new"}


def test_an_old_run_that_is_taken_up_again_is_not_forgotten_by_itself(book: Book) -> None:
    past(book, "again", 300)
    past(book, "young", 1)
    book.begin(start("again", 0), KEEP)
    assert names(book) == {"again", "young"}
    assert [entry.text for entry in book.entries("again")] == ["began"]


def test_either_all_of_it_happens_or_nothing(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle: nothing is forgotten, and the run is not begun."""
    past(book, "old", 300)
    past(book, "young", 1)

    def full(self: Book, begins: Start) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(book_module.Book, "_begin", full)
    with pytest.raises(LiftlockError) as caught:
        book.begin(start("new", 0), KEEP)
    assert caught.value.problem.code == "book-unwritable"
    assert names(book) == {"old", "young"}
    monkeypatch.undo()
    book.begin(start("new", 0), KEEP)
    assert names(book) == {"young", "new"}, "and the file is usable afterwards"


def test_two_programs_that_begin_at_once_both_begin(book: Book) -> None:
    past(book, "old", 300)
    past(book, "young", 1)
    other = Book(book.path)
    book.begin(start("new-1", 0), KEEP)
    other.begin(start("new-2", 0), KEEP)
    assert names(book) == names(other) == {"young", "new-1", "new-2"}
    other.close()
