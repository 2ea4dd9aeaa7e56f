"""The bridge: one act at a time, whatever breaks is told, and leaving leaves nothing behind."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.between.news import (
    AskedToAdopt,
    Began,
    Goes,
    Happened,
    Held,
    Over,
    Planning,
    Read,
    Ready,
    Recalled,
    Releases,
    Waits,
)
from app.session import open_book
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import NodeState, Phase
from tests.between.helm import Helm, helm_at, helm_of, pretend
from tests.domain.nodes import node
from tests.support.cluster import Cluster, Ran

# --- without nodes: what the bridge itself does -------------------------------------------------


class Watched:
    """A contact that says one thing, and then what it is told to do."""

    def __init__(self, name: str, then: Callable[[], Any] | None = None) -> None:
        self.node = name
        self.subject = SimpleNamespace(role="", address="")
        self._then = then
        self.is_watched = threading.Event()
        self.was_ended = threading.Event()

    async def watch(self, observe: Callable[[NodeReading], None]) -> None:
        observe(node(self.node))
        self.is_watched.set()
        try:
            if self._then is not None:
                self._then()
            await asyncio.Event().wait()
        finally:
            self.was_ended.set()


def fails(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Helm]:
    """A cluster of one node on which nothing can be done."""
    with helm_of(lambda _: pretend({"n1": Watched("n1")}, tmp_path)) as helm:
        helm.waits_for(Read)
        yield helm


def blocked(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Begin an act that ends when what is returned is called."""
    begun, ended = threading.Event(), threading.Event()

    async def prepare(*_: Any) -> Any:
        begun.set()
        while not ended.is_set():
            await asyncio.sleep(0)
        raise LiftlockError(Problem("stopped", "Stopped by the test."))

    monkeypatch.setattr("app.between.bridge.open_for", lambda *_: None)
    monkeypatch.setattr("app.between.bridge.prepare", prepare)
    helm.bridge.prepare(Path("netstack-1.tar.gz"))
    assert begun.wait(10)
    return ended.set


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda bridge: bridge.finalize("4.12", {}), "finalize"),
        (lambda bridge: bridge.adopt(), "adopt"),
        (lambda bridge: bridge.accept("n1", "why"), "accept"),
        (lambda bridge: bridge.roll_back(["n1"], "why"), "rollback"),
        (lambda bridge: bridge.prepare(Path("other-1.tar.gz")), "other-1.tar.gz"),
    ],
)
def test_a_second_act_is_refused_by_its_own_name(
    quiet: Helm, monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], None], name: str
) -> None:
    end = blocked(quiet, monkeypatch)
    act(quiet.bridge)
    refused = quiet.is_refused()
    assert name in refused.what
    assert refused.problem.code == "busy"
    assert refused.exit is Exit.LOCKED
    end()
    assert "netstack-1.tar.gz" in quiet.is_refused().what
    assert set(quiet.kinds()) == {"Planning", "Refused"}


def test_what_nobody_expected_is_told_whole_and_the_next_act_is_possible(
    quiet: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "app.between.bridge.open_for", lambda *_: fails(RuntimeError("zonk\x1b"))()
    )
    for _ in range(2):
        quiet.bridge.prepare(Path("netstack-1.tar.gz"))
        refused = quiet.is_refused()
        assert refused.problem.code == "unexpected"
        assert refused.exit is Exit.ERROR
        assert "zonk" in refused.problem.evidence
        assert "\x1b" not in refused.problem.evidence
        quiet.rests()


def test_words_to_a_run_that_does_not_go_are_nothing(quiet: Helm) -> None:
    quiet.bridge.go()
    quiet.bridge.hold(True)
    quiet.bridge.pause()
    quiet.bridge.leave()
    quiet.bridge.looks.releases()
    quiet.waits_for(Releases)
    assert quiet.bridge.begun == ()
    assert quiet.kinds() == ["Releases"]


def test_leaving_ends_every_watch_and_gives_the_connections_back_once(tmp_path: Path) -> None:
    contacts = {name: Watched(name) for name in ("n1", "n2")}
    session = pretend(contacts, tmp_path)
    with helm_of(lambda _: session) as helm:
        for contact in contacts.values():
            assert contact.is_watched.wait(10)
        assert session.closed == 0
        assert helm.bridge.begun == ()
    assert all(contact.was_ended.is_set() for contact in contacts.values())
    assert session.closed == 1


def test_a_watch_that_breaks_is_told(tmp_path: Path) -> None:
    broken = Watched("n1", fails(OverflowError("timestamp out of range")))
    with helm_of(lambda _: pretend({"n1": broken}, tmp_path)) as helm:
        refused = helm.is_refused()
        assert refused.exit is Exit.ERROR
        assert "timestamp out of range" in refused.problem.evidence


def test_a_watch_that_breaks_does_not_end_the_others(tmp_path: Path) -> None:
    broken, other = Watched("n1", fails(OverflowError("timestamp"))), Watched("n2")
    with helm_of(lambda _: pretend({"n2": other, "n1": broken}, tmp_path)) as helm:
        helm.is_refused()
        assert not other.was_ended.is_set()


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A state directory in which the history cannot be."""
    (tmp_path / "history.sqlite3").mkdir()
    return tmp_path


def test_without_a_history_nodes_are_watched_and_nothing_is_begun(unwritable: Path) -> None:
    with helm_of(lambda _: pretend({"n1": Watched("n1")}, unwritable)) as helm:
        refused = helm.is_refused()
        assert refused.problem.code == "book-unwritable"
        assert helm.waits_for(Read).reading.name == "n1"
        for act in (
            lambda: helm.bridge.finalize("4.12", {}),
            lambda: helm.bridge.adopt(),
            lambda: helm.bridge.prepare(Path("netstack-1.tar.gz")),
        ):
            act()
            assert helm.is_refused().problem.code == "book-unwritable"
            helm.rests()
        assert not any(isinstance(each, Began) for each in helm.letters)


# --- with a node of this machine ----------------------------------------------------------------


@pytest.fixture
def make_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def make(nodes: int = 1, **policy: str) -> Cluster:
        made.append(Cluster(tmp_path / f"c{len(made)}", nodes, **policy))
        for name, value in made[-1].environment.items():
            if name.startswith("LIFTLOCK_"):
                monkeypatch.setenv(name, value)
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def settled(make_cluster: Callable[..., Cluster]) -> Cluster:
    """One node on 4.11.0, and a release of 4.12.0."""
    cluster = make_cluster()
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    return cluster


def runs_of(cluster: Cluster) -> list[Any]:
    with open_book(cluster.top / "operator") as book:
        return list(book.runs("harbor"))


def prepared(helm: Helm, cluster: Cluster, version: str = "4.12.0") -> Ready:
    helm.waits_for(Read, lambda letter: letter.reading.read)
    helm.bridge.prepare(cluster.releases[version])
    helm.waits_for(Planning)
    ready = helm.waits_for(Ready)
    helm.rests()
    return ready


@pytest.mark.drill
def test_a_person_walks_through_an_upgrade_and_makes_it_final(settled: Cluster) -> None:
    before = settled.product("n1")
    with helm_at(str(settled.file)) as helm:
        helm.bridge.looks.releases()
        assert "4.12.0" in {each.version for each in helm.waits_for(Releases).found}
        ready = prepared(helm, settled)
        assert ready.prepared.plan.release_version == "4.12.0"
        helm.bridge.upgrade(ready.prepared)
        began = helm.waits_for(Began)
        assert (began.kind, began.run) == ("upgrade", ready.prepared.plan.run)
        assert helm.waits_for(Waits).upcoming.phase is Phase.STAGE
        helm.bridge.adopt()
        assert helm.is_refused().problem.code == "busy"
        assert settled.product("n1") == before
        helm.bridge.go()
        assert helm.waits_for(Waits).upcoming.phase is Phase.CHECK
        helm.bridge.hold(True)
        helm.waits_for(Held)
        helm.bridge.go()
        waits = helm.waits_for(Waits).upcoming
        assert (waits.phase, waits.nodes) == (Phase.INSTALL, ("n1",))
        assert helm.bridge.begun == ()
        assert settled.product("n1") == before
        helm.bridge.go()
        assert helm.waits_for(Goes).upcoming == waits
        over = helm.waits_for(Over)
        assert (over.kind, over.outcome.exit) == ("upgrade", Exit.OK)
        accepted = helm.waits_for(
            Read, lambda letter: _state(letter.reading) is NodeState.ACCEPTED
        )
        assert accepted.reading.facts is not None
        helm.rests()
        facts = accepted.reading.facts
        assert facts.transaction is not None
        shown = {"n1": facts.transaction.to_digest}
        helm.bridge.finalize("4.13.0", shown)
        assert helm.waits_for(Began).kind == "finalize"
        assert helm.is_refused().problem.code == "not-all-accepted"
        helm.rests()
        helm.bridge.finalize("4.12.0", {"n1": "other configuration"})
        changed = helm.is_refused().problem
        assert (changed.code, changed.evidence) == (
            "changed-meanwhile",
            "agreed: 4.12.0, now: 4.12.0; other content on n1",
        )
        helm.rests()
        helm.bridge.finalize("4.12.0", shown)
        over = helm.waits_for(Over)
        assert (over.kind, over.outcome.exit) == ("finalize", Exit.OK)
        assert any(isinstance(each, Happened) for each in helm.letters)
        assert _children()
    assert not _children(), "a process of ours is left"
    assert [(run.kind, run.exit) for run in runs_of(settled)] == [
        ("finalize", 0),
        ("finalize", 4),
        ("finalize", 4),
        ("upgrade", 0),
        ("adopt", 0),
    ]
    with helm_at(str(settled.file)) as again:
        recalled = again.waits_for(Recalled)
        assert recalled.kind == "finalize"
        assert recalled.events


def test_leaving_where_a_run_waits_changes_nothing_and_is_in_the_book(settled: Cluster) -> None:
    before = settled.product("n1")
    with helm_at(str(settled.file)) as helm:
        ready = prepared(helm, settled)
        helm.bridge.upgrade(ready.prepared)
        helm.waits_for(Waits)
    newest = runs_of(settled)[0]
    assert (newest.kind, newest.exit, newest.outcome) == ("upgrade", 130, "interrupted")
    assert settled.product("n1") == before
    assert not _children()


def test_pausing_where_a_run_waits_ends_it_with_exit_10_and_it_is_taken_up_again(
    settled: Cluster,
) -> None:
    before = settled.product("n1")
    with helm_at(str(settled.file)) as helm:
        ready = prepared(helm, settled)
        helm.bridge.upgrade(ready.prepared)
        helm.waits_for(Waits)
        helm.bridge.pause()
        over = helm.waits_for(Over)
        assert over.outcome.exit is Exit.WAITING
        assert "person" in over.outcome.text
        helm.rests()
        helm.bridge.upgrade(ready.prepared)
        assert helm.waits_for(Began).run == ready.prepared.plan.run
        helm.waits_for(Waits)
        helm.bridge.pause()
        assert helm.waits_for(Over).outcome.exit is Exit.WAITING
    assert settled.product("n1") == before
    assert [run.exit for run in runs_of(settled)][:1] == [10]


def test_a_plan_that_is_another_one_by_now_is_shown_again(settled: Cluster) -> None:
    with helm_at(str(settled.file)) as helm:
        ready = prepared(helm, settled)
        old = ready.prepared
        helm.bridge.upgrade(replace(old, plan=replace(old.plan, id="f" * 12)))
        again = helm.waits_for(Ready)
        assert again.again
        assert again.prepared.plan.id == old.plan.id
        assert not any(isinstance(each, Began) for each in helm.letters)


def test_adopting_where_nothing_runs_asks_nobody_and_is_not_ok(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster()
    with helm_at(str(cluster.file)) as helm:
        helm.waits_for(Read, lambda letter: letter.reading.read)
        helm.bridge.adopt()
        helm.waits_for(Began)
        over = helm.waits_for(Over)
        assert over.outcome.exit is not Exit.OK
        assert not any(isinstance(each, AskedToAdopt) for each in helm.letters)


def test_adopting_is_shown_first_and_only_yes_is_yes(
    make_cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster()
    with monkeypatch.context() as by_hand:
        by_hand.setattr(cluster, "run", lambda *_: Ran(0, "", ""))
        cluster.settle("4.11.0")  # put in place and started, and not adopted
    with helm_at(str(cluster.file)) as helm:
        helm.waits_for(Read, lambda letter: letter.reading.read)
        helm.bridge.adopt()
        asked = helm.waits_for(AskedToAdopt)
        assert "4.11.0" in asked.previews[0].lines[0]
        helm.asking.answer(asked.number, False)
        assert helm.is_refused().problem.code == "declined"
        helm.rests()
        helm.bridge.adopt()
        helm.asking.answer(helm.waits_for(AskedToAdopt).number, True)
        assert helm.waits_for(Over).outcome.exit is Exit.OK
        helm.waits_for(Read, lambda letter: _final(letter.reading) == "4.11.0")


@pytest.mark.drill
def test_leaving_in_the_middle_of_an_install_is_in_the_book_and_the_node_goes_on_alone(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(min_healthy="3s", healthy_deadline="6s")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    with helm_at(str(cluster.file)) as helm:
        ready = prepared(helm, cluster)
        helm.bridge.upgrade(ready.prepared)
        for _ in range(3):
            helm.waits_for(Waits)
            helm.bridge.go()
        helm.waits_for(Read, lambda letter: _state(letter.reading) is NodeState.MONITORING)
        assert helm.bridge.begun == ("n1",)
    newest = runs_of(cluster)[0]
    assert (newest.exit, newest.outcome) == (130, "interrupted")
    assert not _children()
    status = cluster.wait_for(lambda found: found["nodes"][0]["state"] == "rolled_back")
    assert status["nodes"][0]["running"] == "4.11.0"


def _state(reading: NodeReading) -> NodeState | None:
    return reading.facts.state if reading.read and reading.facts is not None else None


def _final(reading: NodeReading) -> object:
    return reading.facts.final_version if reading.read and reading.facts is not None else None


def _children() -> list[int]:
    """The processes that this one has started and that still run: a watch is one for each node."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            about = (entry / "stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if about[0] != "Z" and int(about[1]) == os.getpid():
            found.append(int(entry.name))
    return found
