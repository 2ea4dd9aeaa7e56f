"""The operator's book: durable before an act, once for each record, and honest when it cannot."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.store.book import Book, Start

START = Start("1120-k7f", "harbor", "beacon", "upgrade", "ann@jump", 1.0, version="4.12.0")


def note(book: Book, text: str, key: str | None = None, node: str = "n1") -> None:
    """One event."""
    book.record(
        START.id, time=2.0, node=node, phase=None, kind="run", text=text, data={"a": 1}, key=key
    )


def test_what_was_written_is_there_in_its_order(tmp_path: Path) -> None:
    book = Book(tmp_path / "book")
    book.begin(START)
    for word in ("one", "two", "three"):
        note(book, word)
    book.end(START.id, time=3.0, exit_code=5, outcome="went back")
    book.close()
    again = Book(tmp_path / "book")
    assert [entry.text for entry in again.entries(START.id)] == ["one", "two", "three"]
    assert again.entries(START.id)[0].data == {"a": 1}
    found = again.run(START.id)
    assert found is not None
    assert (found.version, found.exit, found.outcome) == ("4.12.0", 5, "went back")
    again.close()


def test_a_record_of_a_node_is_written_once_however_often_it_is_followed(tmp_path: Path) -> None:
    book = Book(tmp_path / "book")
    book.begin(START)
    for _ in range(3):
        note(book, "begins", key="1120-k7f.n1.0")
    note(book, "begins", key="1120-k7f.n2.0", node="n2")
    assert len(book.entries(START.id)) == 2
    assert len(book.entries(START.id, "n2")) == 1
    book.close()


def test_a_run_that_is_taken_up_again_is_open_again(tmp_path: Path) -> None:
    book = Book(tmp_path / "book")
    book.begin(START)
    book.end(START.id, time=3.0, exit_code=130, outcome="interrupted")
    book.begin(START)
    found = book.run(START.id)
    assert found is not None
    assert found.ended is None
    book.close()


def test_an_event_survives_the_death_of_the_program_that_wrote_it(tmp_path: Path) -> None:
    """Killed the moment `record` returned: it is there."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.store.test_book import *\n"
        "book = Book(Path(sys.argv[1])); book.begin(START); note(book, 'about to act')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "book")], check=False)
    assert ended.returncode == -signal.SIGKILL
    book = Book(tmp_path / "book")
    assert [entry.text for entry in book.entries(START.id)] == ["about to act"]
    book.close()


def test_a_book_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with sqlite3.connect(path) as newer:
        newer.execute("pragma user_version = 99")
    newer.close()
    with pytest.raises(LiftlockError) as caught:
        Book(path)
    assert (caught.value.problem.code, caught.value.exit_code) == ("book-too-new", Exit.USAGE)


def test_a_book_that_is_no_book_is_a_problem_not_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "book"
    path.write_bytes(os.urandom(4096))
    with pytest.raises(LiftlockError) as caught:
        Book(path)
    assert caught.value.problem.code == "book-unwritable"


def test_i7_no_secret_gets_into_the_file(tmp_path: Path) -> None:
    """By construction: whoever writes, and into whichever column."""
    book = Book(tmp_path / "book")
    book.redaction.learn(["swordfish-9"])
    about = {"env": {"DB_TOKEN": "by-name-1"}, "url": "http://a:by-place-2@b/?by-query-3"}
    book.begin(
        Start("r", "c", "p", "upgrade", "ann", 1.0, plan={"x": [about]}, note="pw swordfish-9")
    )
    book.record("r", time=1.0, node="n", phase=None, kind="k", text="says swordfish-9", data=about)
    book.end("r", time=2.0, exit_code=1, outcome="password=by-place-4")
    book.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"[hidden]" in written
    for secret in (b"swordfish", b"by-name", b"by-place", b"by-query"):
        assert secret not in written


def test_what_another_program_writes_is_noticed_and_what_oneself_writes_is_not(
    tmp_path: Path,
) -> None:
    book, other = Book(tmp_path / "book"), Book(tmp_path / "book")
    book.begin(START)
    at_rest = book.writings()
    note(book, "own")
    assert book.writings() == at_rest
    note(other, "theirs")
    assert book.writings() != at_rest
    last = book.entries(START.id)[0].seq
    assert [entry.text for entry in book.entries(START.id, after=last)] == ["theirs"]
    book.close()
    other.close()


def test_a_plan_that_is_damaged_is_no_trace(tmp_path: Path) -> None:
    book = Book(tmp_path / "book")
    book.begin(START)
    with sqlite3.connect(tmp_path / "book") as other:
        other.execute("update run set plan = '{'")
    other.close()
    assert book.plan(START.id) == {"damaged": "{"}
    assert book.plan("nobody's") == {}
    book.close()
