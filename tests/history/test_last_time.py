"""How long it took before: of runs that got somewhere, and each phase by one clock."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.history.last_time import last_time
from backends.domain.states import Phase
from backends.store.book import Book, Start


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    folder = tmp_path / "operator"
    folder.mkdir(mode=0o700)
    found = Book(folder / "history.sqlite3")
    yield found
    found.close()


def told(book: Book, run: str, node: str, phase: str, kind: str, at: float, **data: Any) -> None:
    book.record(run, time=at, node=node, phase=phase, kind=kind, text="x", data=data)


def a_run(
    book: Book,
    run: str = "1120-aaa",
    results: dict[str, str] | None = None,
    product: str = "beacon",
    skew: float = 0.0,
    **seconds: float,
) -> None:
    """A run in which each node took so long, the second one twice that."""
    book.begin(Start(run, "harbor", product, "upgrade", "ann@jump", 100.0, version="4.12.0"))
    ends = results or {"n1": "accepted", "n2": "accepted"}
    for times, node in enumerate(ends, 1):
        for phase in ("stage", "check"):
            told(book, run, node, phase, "phase", 100.0)
            told(book, run, node, phase, "result", 100.0 + times * seconds.get(phase, 1.0))
        at = 200.0 + skew
        for record, phase in (("BEGIN", "install"), ("TRIAL", "monitor"), ("ACCEPT", "monitor")):
            told(book, run, node, phase, "record", at, record=record)
            at += times * seconds.get("install" if record == "BEGIN" else "monitor", 1.0)
    nodes = [{"node": node, "result": result} for node, result in ends.items()]
    book.record(
        run,
        time=300.0,
        node="",
        phase=None,
        kind="run",
        text="x",
        data={"exit": 0, "nodes": nodes},
    )
    book.end(run, time=300.0, exit_code=0, outcome="x")


def test_the_node_that_took_longest_counts(book: Book) -> None:
    a_run(book, stage=0.5, check=0.25, install=2.0, monitor=30.0)
    found = last_time(book, "harbor", "beacon")
    assert found is not None
    assert found.seconds == {
        Phase.STAGE: 1.0,
        Phase.CHECK: 0.5,
        Phase.INSTALL: 4.0,
        Phase.MONITOR: 60.0,
    }
    assert found.words() == (
        "run 1120-aaa to 4.12.0: stage 1.0 s, check 0.5 s, install 4.0 s, monitor 60.0 s, "
        "at the longest on 2 nodes"
    )


def test_another_clock_on_the_node_is_no_time(book: Book) -> None:
    a_run(book, skew=-86_400.0, install=2.0)
    found = last_time(book, "harbor", "beacon")
    assert found is not None
    assert found.seconds[Phase.INSTALL] == 4.0


def test_what_went_wrong_and_what_is_of_another_product_says_nothing(book: Book) -> None:
    a_run(book, "1120-aaa", {"n1": "accepted", "n2": "rolled_back"}, install=2.0)
    a_run(book, "1121-bbb", {"n1": "rolled_back"})
    a_run(book, "1122-ccc", product="caddy")
    found = last_time(book, "harbor", "beacon")
    assert found is not None
    assert (found.run, found.nodes, found.seconds[Phase.INSTALL]) == ("1120-aaa", 1, 2.0)
    assert found.words().endswith("on its node")
    assert last_time(book, "harbor", "other") is None
    assert last_time(book, "shore", "beacon") is None


def test_a_clock_that_was_set_back_meanwhile_says_nothing(book: Book) -> None:
    a_run(book, monitor=-5.0)
    found = last_time(book, "harbor", "beacon")
    assert found is not None
    assert Phase.MONITOR not in found.seconds


@pytest.mark.parametrize("nodes", [None, 7, "n1", [None, 7, {"node": "n1"}]])
def test_what_another_version_wrote_otherwise_says_nothing(book: Book, nodes: object) -> None:
    a_run(book)
    data = {"exit": 0, "nodes": nodes}
    book.record("1120-aaa", time=301.0, node="", phase=None, kind="run", text="x", data=data)
    assert last_time(book, "harbor", "beacon") is None
