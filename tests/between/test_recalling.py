"""What lies on this workstation: releases, also the broken ones, and the newest run."""

import gc
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.between.news import Recalled
from app.between.recalling import find_releases, newest_run
from backends.domain.states import Phase
from backends.engine.events import Kind
from backends.releases.build import build
from backends.releases.signature_rule import Rule
from backends.store.book import Book, Start
from tests.support.signing import make_key, public, sign_file

ANY = Rule(False, None)
"""Signatures are optional."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good release of beacon 4.12.0."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "VERSION").write_text("4.12.0\n")
    build(source, "beacon", "4.12.0", tmp_path / "releases")
    return tmp_path / "releases"


def test_a_good_release_is_told_whole(folder: Path) -> None:
    found = find_releases(folder, ANY)
    (one,) = found.found
    assert found.folder == str(folder)
    assert (one.name, one.version, one.problem) == ("beacon", "4.12.0", None)
    assert one.bytes > 0
    assert one.path.endswith("beacon-4.12.0.tar.gz")


def test_an_unsigned_release_is_told_as_that_and_cannot_be_used_where_that_counts(
    folder: Path, tmp_path: Path
) -> None:
    (one,) = find_releases(folder, ANY).found
    assert str(one.provenance) == "NOT SIGNED"
    key = make_key(tmp_path / "key")
    signers = tmp_path / "signers"
    signers.write_text(f"release@example.com {public(key)}\n")
    (one,) = find_releases(folder, Rule(True, signers)).found
    assert one.problem is not None
    assert (one.problem.code, one.version) == ("signature-missing", "4.12.0")
    sign_file(folder / "beacon-4.12.0.release.json", key)
    (one,) = find_releases(folder, Rule(True, signers)).found
    assert one.problem is None
    assert one.provenance.signer == "release@example.com"


def test_the_newest_comes_first(folder: Path, tmp_path: Path) -> None:
    os.utime(tmp_path / "source" / "VERSION", (2_000_000_000, 2_000_000_000))
    build(tmp_path / "source", "beacon", "4.9.0", folder)
    assert [each.version for each in find_releases(folder, ANY).found] == ["4.9.0", "4.12.0"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": "x"}', b"1" * 5000])
def test_a_damaged_manifest_is_a_row_that_says_why(folder: Path, text: bytes) -> None:
    (folder / "bad-1.tar.gz").write_bytes(b"")
    (folder / "bad-1.release.json").write_bytes(text)
    found = {each.version: each for each in find_releases(folder, ANY).found}
    assert found["4.12.0"].problem is None
    assert found["bad-1"].problem is not None
    assert found["bad-1"].problem.summary


def test_a_tarball_without_a_manifest_is_a_row_that_says_so(folder: Path) -> None:
    (folder / "beacon-4.12.0.release.json").unlink()
    (one,) = find_releases(folder, ANY).found
    assert one.problem is not None
    assert one.problem.code == "manifest-missing"
    assert one.name == ""


def test_what_is_no_release_is_not_shown_or_says_why(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    (folder / "lonely.release.json").write_text("{}")
    (folder / "folder-1.tar.gz").mkdir()
    (folder / "gone-1.tar.gz").symlink_to(folder / "nowhere")
    (folder / os.fsdecode(b"odd-\xff.tar.gz")).write_bytes(b"x")
    found = find_releases(folder, ANY).found
    assert sum(1 for each in found if each.problem is None) == 1
    assert len(found) == 4
    assert all(each.problem is not None and each.problem.summary for each in found[1:])


def test_no_folder_is_no_release(tmp_path: Path) -> None:
    assert find_releases(tmp_path / "nowhere", ANY).found == ()
    (tmp_path / "file").write_text("")
    assert find_releases(tmp_path / "file", ANY).found == ()


# --- the newest run -----------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "history.sqlite3")
    yield made
    made.close()


def write(
    book: Book, run: str, at: float, *, cluster: str = "harbor", node: str = "n1", kind: str = "x"
) -> None:
    book.begin(Start(run, cluster, "beacon", "upgrade", "ann@jump", at))
    for number, (name, phase) in enumerate([("", None), (node, "install")]):
        book.record(
            run,
            time=at + number,
            node=name,
            phase=phase,
            kind="result",
            text=f"{kind} {number}",
            data={"record": "BEGIN"},
            key=f"{run}.{number}",
        )


def test_an_empty_book_recalls_nothing(book: Book) -> None:
    assert newest_run(book, "harbor") is None


def test_the_newest_run_of_this_cluster_with_a_node_is_recalled(book: Book) -> None:
    write(book, "r1", 10.0)
    write(book, "r2", 20.0)
    write(book, "r3", 30.0, node="")
    write(book, "r4", 40.0, cluster="other")
    book.end("r2", time=22.0, exit_code=0, outcome="n1 on 4.12")
    found = newest_run(book, "harbor")
    assert isinstance(found, Recalled)
    assert (found.run, found.kind, found.text) == ("r2", "upgrade", "n1 on 4.12")
    assert [each.text for each in found.events] == ["x 0", "x 1"]
    assert found.events[1].phase is Phase.INSTALL
    assert found.events[1].kind is Kind.RESULT
    assert found.events[0].phase is None
    assert found.events[1].data["record"] == "BEGIN"


def test_commands_are_kept_and_not_shown_as_live(book: Book) -> None:
    write(book, "r1", 10.0)
    book.record(
        "r1", time=11.0, node="n1", phase=None, kind="command", text="adopt: ok, 1.5 s", data={}
    )
    found = newest_run(book, "harbor")
    assert found is not None
    assert [each.text for each in found.events] == ["x 0", "x 1"]


def test_a_run_that_did_not_end_here_has_no_end(book: Book) -> None:
    write(book, "r1", 10.0)
    found = newest_run(book, "harbor")
    assert found is not None
    assert found.text == ""


# Nothing that is written there may keep the screen from watching.
@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("phase", "'drained'", "drained: x 1"),
        ("kind", "'gong'", "gong: x 1"),
        ("data", "'{'", "x 1"),
        ("data", "'[1]'", "x 1"),
        ("time", "1e300", "x 1"),
        ("time", "-1e300", "x 1"),
    ],
)
def test_a_line_that_is_not_understood_does_not_hide_the_others(
    book: Book, column: str, value: str, said: str
) -> None:
    write(book, "r1", 10.0)
    with sqlite3.connect(book.path) as other:
        other.execute(f"update event set {column} = {value} where node = 'n1'")
    other.close()
    found = newest_run(book, "harbor")
    gc.collect()  # what was read half is given back before the book is closed
    assert found is not None
    assert found.events[0].text == "x 0"
    last = found.events[-1]
    assert last.text.startswith(said)
    assert isinstance(last.data, Mapping)
    assert 0 <= last.time < 1e12
