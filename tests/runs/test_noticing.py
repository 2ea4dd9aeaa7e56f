"""What a watch sees is written down once, when it begins, changes and ends."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.runs import noticing as noticing_module
from app.runs.noticing import Noticing
from app.session import Session, open_book
from backends.domain.drift import Drift
from backends.domain.facts import NodeReading, Unknown
from backends.domain.problem import LiftlockError
from backends.settings.cluster_file import HistoryTable
from backends.store.book import Book
from tests.domain.nodes import node, silent

HARBOR = cast(
    "Session",
    SimpleNamespace(
        name="harbor",
        operator="ann@jump",
        cluster=SimpleNamespace(name="harbor", history=HistoryTable()),
        profile=SimpleNamespace(name="beacon"),
        payload=SimpleNamespace(sha256="0" * 64),
        subjects={},
    ),
)

WHOLE = Drift("4.12", 9)
CHANGED = Drift("4.12", 9, changed=("bin/beacon",), count=1)
MORE = Drift("4.12", 9, changed=("bin/beacon",), missing=("lib/a",), count=2)


def seen(drift: Any) -> NodeReading:
    reading: NodeReading = node("n2", drift=drift)
    return reading


def told(book: Book) -> list[str]:
    """What the history has of watches, the oldest first."""
    runs = sorted(book.runs(), key=lambda run: run.began)
    assert {run.kind for run in runs} <= {"watch"}
    assert all(run.ended is not None for run in runs)
    return [str(run.outcome) for run in runs]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing_module, "_AT_MOST_EVERY_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
def test_it_is_written_down_when_it_begins_changes_and_ends(tmp_path: Path) -> None:
    with open_book(tmp_path) as book:
        noticing = Noticing(HARBOR, book)
        for drift in (None, WHOLE, WHOLE, CHANGED, CHANGED, None, CHANGED, MORE, WHOLE, WHOLE):
            noticing.see(seen(drift))
        assert told(book) == [
            "n2 has drifted: changed bin/beacon",
            "n2 has drifted: changed bin/beacon; missing lib/a",
            "n2 is as recorded again: 4.12",
        ]
        entries = book.entries(sorted(book.runs(), key=lambda run: run.began)[0].id)
        assert any("drift: n2: 1 of 9 paths of 4.12 differ" in entry.text for entry in entries)


def test_what_is_written_to_all_the_time_is_not_told_all_the_time(tmp_path: Path) -> None:
    with open_book(tmp_path) as book:
        noticing = Noticing(HARBOR, book)
        for drift in (CHANGED, MORE, WHOLE, CHANGED, MORE):
            noticing.see(seen(drift))
        assert told(book) == ["n2 has drifted: changed bin/beacon"]


def test_the_next_program_does_not_tell_it_again(tmp_path: Path) -> None:
    with open_book(tmp_path) as book:
        Noticing(HARBOR, book).see(seen(CHANGED))
        later = Noticing(HARBOR, book)
        later.see(seen(CHANGED))
        assert len(told(book)) == 1
        later.see(seen(WHOLE))
        assert told(book)[-1] == "n2 is as recorded again: 4.12"


def test_what_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    with open_book(tmp_path) as book:
        noticing = Noticing(HARBOR, book)
        noticing.see(seen(CHANGED))
        noticing.see(silent("n2"))
        noticing.see(replace(seen(CHANGED), unreachable=None, facts=None))
        noticing.see(seen(Unknown("Input/output error")))
        noticing.see(seen(CHANGED))
        assert len(told(book)) == 1


def test_a_history_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with open_book(tmp_path) as book:
        noticing = Noticing(HARBOR, book)
    with pytest.raises(LiftlockError) as raised:
        noticing.see(seen(CHANGED))
    assert raised.value.problem.code == "book-unwritable"
