"""The engine restarts simulated nodes: one after the other, and past a link that dies."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.domain.facts import NodeReading, Unknown
from backends.domain.finality import Finality, IsFinal
from backends.domain.problem import Problem
from backends.engine.contact import Contact
from backends.engine.events import Event, Kind
from backends.engine.finality import finality_of
from backends.engine.readings import read_all
from backends.engine.restarting import Restarts
from backends.engine.results import NodeResult, Result
from backends.engine.scribe import Scribe
from backends.engine.valuing import value_of
from backends.sim import scenes
from backends.sim.behaviour import NEVER_HEALTHY, Behaviour
from backends.sim.clock import SimClock
from backends.sim.cluster import SimCluster
from backends.store.book import Book, Start
from tests.sim.test_engine import PACE, RUN, contacts, ready

PATIENCE_SECONDS = 0.3


class Stage:
    """A cluster, and a restart of it with what was told and asked."""

    def __init__(self, top: Path) -> None:
        self.cluster: SimCluster = scenes.settled(SimClock(pace=PACE), 3)
        self.told: list[Event] = []
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.agrees = False
        self.book = Book(top / "history.sqlite3")
        self.book.begin(Start(RUN, "harbor", "beacon", "restart", "ann@jump", 0.0))

    async def restart(self, *names: str) -> dict[str, Result]:
        asked = contacts(self.cluster)
        readings = {each.name: each for each in await read_all(asked.values())}
        return await self.restarted(asked, [readings[name] for name in names])

    async def restarted(
        self, asked: dict[str, Contact], todo: list[NodeReading]
    ) -> dict[str, Result]:
        scribe = Scribe(self.book, RUN, self.told.append)
        restarts = Restarts(asked, scribe, PATIENCE_SECONDS, "none")
        async with asyncio.timeout(20):
            found: list[NodeResult] = await restarts.restart(
                todo, [*asked], "it leaks", self._go_on
            )
        return {each.node: each.result for each in found}

    async def _go_on(self, node: str, rest: tuple[str, ...], sick: Problem | None) -> bool:
        assert sick is not None
        self.asked.append((sick.code, rest))
        return self.agrees

    def begun(self, name: str) -> int:
        """How often its service was restarted, by its own journal."""
        own = self.cluster.nodes[name].disk.own
        records = own.all if own is not None else []
        return len([record for record in records if record["t"] == "RESTARTING"])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.book.close()


async def test_they_are_restarted_in_the_order_that_is_given(stage: Stage) -> None:
    before = {name: node.process for name, node in stage.cluster.nodes.items()}
    assert await stage.restart("n3", "n1") == {"n3": Result.DONE, "n1": Result.DONE}
    order = [event.node for event in stage.told if event.kind is Kind.PHASE]
    assert order == ["n3", "n1"]
    now = {name: node.process for name, node in stage.cluster.nodes.items()}
    assert [name for name in now if now[name] is not before[name]] == ["n1", "n3"]


async def test_who_serves_waits_for_the_others_and_a_person_may_say_otherwise(
    stage: Stage,
) -> None:
    stage.cluster.nodes["n2"].stop_service()
    assert await stage.restart("n1", "n3") == {"n1": Result.REFUSED, "n3": Result.NOT_STARTED}
    assert stage.asked == [("others-not-serving", ("n1", "n3"))]
    assert stage.begun("n1") == 0
    stage.agrees = True
    assert await stage.restart("n1") == {"n1": Result.DONE}
    assert await stage.restart("n2") == {"n2": Result.DONE}, "who is down takes nothing down"


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        (NEVER_HEALTHY, Result.UNHEALTHY),
        (Behaviour(starts=False), Result.UNHEALTHY),
        (Behaviour(stops=False), Result.UNHEALTHY),
    ],
)
async def test_one_that_is_not_well_ends_it(
    stage: Stage, behaviour: Behaviour, result: Result
) -> None:
    node = stage.cluster.nodes["n1"]
    node.behaviours["4.11.0"] = behaviour
    found = await stage.restart("n1", "n2")
    assert found == {"n1": result, "n2": Result.NOT_STARTED}
    assert stage.begun("n2") == 0
    assert any(event.text.startswith("not-serving") for event in stage.told)


async def test_an_answer_that_was_lost_is_asked_for_again_and_it_is_done_once(
    stage: Stage,
) -> None:
    node = stage.cluster.nodes["n1"]
    cut: list[str] = []

    def cuts_once() -> None:
        if node.disk.restarting is not None and not cut:
            cut.append("cut")
            node.cut()

    node.listeners.append(cuts_once)
    assert await stage.restart("n1") == {"n1": Result.DONE}
    assert (cut, stage.begun("n1")) == (["cut"], 1)


async def test_contact_that_is_lost_for_good_is_no_success_and_the_node_goes_on(
    stage: Stage,
) -> None:
    node = stage.cluster.nodes["n1"]
    before = node.process

    def goes_away() -> None:
        if node.disk.restarting is not None:
            node.unreachable = Problem("tcp", "n1: no route")
            node.cut()

    node.listeners.append(goes_away)
    assert await stage.restart("n1") == {"n1": Result.LOST}
    assert any(event.text.startswith("contact-lost") for event in stage.told)
    while node.driver is not None:
        await stage.cluster.clock.advance(1.0)
    assert node.process not in (None, before)


async def test_where_nobody_got_nothing_was_begun(stage: Stage) -> None:
    asked = contacts(stage.cluster)
    readings = {each.name: each for each in await read_all(asked.values())}
    stage.cluster.nodes["n1"].unreachable = Problem("tcp", "n1: no route")
    stage.agrees = True
    found = await stage.restarted(asked, [readings["n1"]])
    assert found == {"n1": Result.UNREACHABLE}


async def test_a_driver_that_died_is_told_and_the_next_act_brings_the_service_back(
    stage: Stage,
) -> None:
    node = stage.cluster.nodes["n1"]

    def dies() -> None:
        if node.disk.restarting is not None and node.process is None:
            node.listeners.remove(dies)
            node.kill_driver()

    node.listeners.append(dies)
    assert await stage.restart("n1") == {"n1": Result.INCONSISTENT}
    assert stage.cluster.facts("n1")["problem"]["code"] == "restart-broken-off"
    (reading,) = await read_all([contacts(stage.cluster)["n1"]])
    assert reading.facts is not None
    assert reading.facts.is_down
    answer = await contacts(stage.cluster)["n1"].ask("recover")
    assert answer.is_ok, answer
    facts = stage.cluster.facts("n1")
    assert (facts["health"], facts["problem"]) == ("healthy", None)


# --- what a node says of finalize, and of values ------------------------------------------------


async def test_what_becomes_final_is_said_by_each_node() -> None:
    cluster = ready()
    found = await finality_of(contacts(cluster)["n1"])
    assert isinstance(found, Finality), found
    assert (found.process, found.since, found.worst) == ("same", (), None)
    assert found.frees == found.frees_backups + found.frees_staged + found.frees_data
    over = await finality_of(contacts(scenes.settled(SimClock(pace=PACE)))["n1"])
    assert isinstance(over, IsFinal)
    refused = await finality_of(contacts(scenes.unmanaged(SimClock(pace=PACE)))["n1"])
    assert isinstance(refused, Problem)


@pytest.mark.parametrize("process", ["same\x1b[2J", None, 7])
async def test_what_makes_no_sense_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, process: object
) -> None:
    cluster = ready()
    monkeypatch.setattr("backends.sim.reading._process", lambda node: process)
    found = await finality_of(contacts(cluster)["n1"])
    assert isinstance(found, Problem)
    assert found.code == "bad-answer"


async def test_a_value_is_cleaned_and_what_is_none_is_a_problem() -> None:
    cluster = scenes.settled(SimClock(pace=PACE))
    contact, node = contacts(cluster)["n1"], cluster.nodes["n1"]
    assert isinstance(contact.subject.document, dict)
    contact.subject.document["named"] = {"it": {"file": "/it"}}
    for said, wanted in (("a\x1b[2Jb", "a^[[2Jb"), (7, 7), (True, True), (None, None)):
        node.values["it"] = said
        assert await value_of(contact, "it") == wanted
    node.values["it"] = {"unknown": "no\nfile"}
    found = await value_of(contact, "it")
    assert isinstance(found, Unknown)
    assert found.reason == "no file"
    node.values["it"] = [1, 2]
    assert isinstance(await value_of(contact, "it"), Problem)
    assert isinstance(await value_of(contact, "zonk"), Problem)
