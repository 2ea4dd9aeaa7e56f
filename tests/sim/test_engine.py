"""The real engine over simulated nodes: it reads, stages, upgrades and finalizes, unknowing."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.domain.facts import NodeReading
from backends.domain.policy import Limits, Pause, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import HealthState, NodeState, Outcome, Unreachable
from backends.domain.verdict import VerdictKind, decide
from backends.domain.versions import AS_DEBIAN
from backends.engine.acts import Acts
from backends.engine.answer import Answer, Subject
from backends.engine.conductor import Conductor
from backends.engine.contact import Contact
from backends.engine.planner import make_plan
from backends.engine.readings import read_all
from backends.engine.results import Outcome as RunOutcome
from backends.engine.results import Result
from backends.engine.scribe import Scribe
from backends.engine.spool import spool
from backends.releases.read import Release, open_release
from backends.sim import scenes
from backends.sim.clock import SimClock
from backends.sim.cluster import ROLES, SimCluster
from backends.store.book import Book, Start
from backends.transport.payload import pack

PACE = 100.0
"""Virtual seconds in a real one: an accept window of a minute lasts longer than any hiccup."""
RUN = "1120-k7f"


def ready() -> SimCluster:
    """All nodes accepted; time goes on only when that is so."""
    cluster = scenes.ready(SimClock())
    cluster.clock.run(PACE)
    return cluster


def contacts(cluster: SimCluster, limits: Limits | None = None) -> dict[str, Contact]:
    """A contact for each node, as a session makes them."""
    return {
        place.name: Contact(
            subject(cluster, place.name),
            cluster.link(place.name),
            pack(),
            limits or cluster.limits,
            "ann@jump",
        )
        for place in cluster.places.values()
    }


def subject(cluster: SimCluster, name: str) -> Subject:
    place = cluster.places[name]
    document = cluster.document(name)
    return Subject(name, place.role, place.address, place.canary, None, document, None, None)


def built(cluster: SimCluster, version: str, folder: Path) -> Release:
    return open_release(cluster.release(version).build(folder))


@pytest.fixture
def scribe(tmp_path: Path) -> Iterator[Scribe]:
    book = Book(tmp_path / "history.sqlite3")
    book.begin(Start(RUN, "harbor", "beacon", "upgrade", "ann@jump", 0.0))
    yield Scribe(book, RUN, lambda event: None)
    book.close()


async def upgrade(cluster: SimCluster, release: Release, scribe: Scribe) -> RunOutcome:
    """Plan and carry out an upgrade of the whole cluster."""
    asked = contacts(cluster)
    readings = await read_all(asked.values())
    plan = make_plan(
        run=RUN,
        cluster="harbor",
        called="harbor",
        product="beacon",
        roles=ROLES,
        subjects={name: contact.subject for name, contact in asked.items()},
        readings=readings,
        release=release,
        updater=pack().sha256,
        policy=Policy(pause=Pause.NONE),
        limits=cluster.limits,
        ordering=AS_DEBIAN,
    )
    return await Conductor(plan, asked, release, scribe, "harbor").run()


async def verdict(cluster: SimCluster) -> VerdictKind:
    return decide(await read_all(contacts(cluster).values())).kind


# --- one node -----------------------------------------------------------------------------------


async def test_a_contact_reads_all_facts_of_a_node() -> None:
    cluster = scenes.settled(SimClock())
    reading = await contacts(cluster)["n1"].read()
    facts = reading.facts
    assert facts is not None
    assert (facts.state, facts.running, facts.selected) == (NodeState.IDLE, "4.11.0", "4.11.0")
    assert (facts.health, facts.final_version) == (HealthState.HEALTHY, "4.11.0")
    assert facts.start_id == f"{facts.pid}:{(facts.start_id or '').partition(':')[2]}"


async def test_a_contact_stages_a_release_that_was_really_built(tmp_path: Path) -> None:
    cluster = scenes.settled(SimClock())
    release = built(cluster, "4.12.0", tmp_path)
    contact = contacts(cluster)["n1"]
    progress: list[tuple[int, int]] = []
    async with spool(release) as source:
        answer = await contact.stage(
            release, RUN, {"run": RUN}, source, lambda sent, of: progress.append((sent, of))
        )
    assert answer.outcome is Outcome.OK, answer
    assert progress[-1][0] == progress[-1][1] > 0
    facts = (await contact.read()).facts
    assert facts is not None
    assert (facts.state, facts.staged) == (NodeState.STAGED, ("4.12.0",))
    async with spool(release) as source:
        again = await contact.stage(release, RUN, {"run": RUN}, source, lambda sent, of: None)
    assert again.all("send")[0]["bytes"] == 0, "what is there does not travel again"


async def test_a_slow_way_takes_its_time(tmp_path: Path) -> None:
    clock = SimClock(pace=PACE)
    cluster = scenes.settled(clock)
    node = cluster.nodes["n1"]
    node.durations = replace(node.durations, bytes_per_second=5000.0)
    release = built(cluster, "4.12.0", tmp_path)
    before = clock.now()
    async with spool(release) as source:
        answer = await contacts(cluster)["n1"].stage(
            release, RUN, {"run": RUN}, source, lambda sent, of: None
        )
    assert answer.is_ok
    assert clock.now() - before > len(pack().content) / 5000.0


# --- a whole cluster ----------------------------------------------------------------------------


async def test_the_conductor_upgrades_five_nodes_and_acts_finalize_them(
    tmp_path: Path, scribe: Scribe
) -> None:
    cluster = scenes.settled(SimClock(pace=PACE))
    outcome = await upgrade(cluster, built(cluster, "4.12.0", tmp_path), scribe)
    assert outcome.exit is Exit.OK, outcome
    assert [node.result for node in outcome.nodes] == [Result.ACCEPTED] * 5
    assert await verdict(cluster) is VerdictKind.READY_TO_FINALIZE
    assert all(node.logins > 1 for node in cluster.nodes.values()), "an accept logs in anew"
    asked = contacts(cluster)
    results = await Acts(asked, scribe, 5.0).finalize(await read_all(asked.values()))
    assert [each.result for each in results] == [Result.FINALIZED] * 5
    assert await verdict(cluster) is VerdictKind.SETTLED


async def test_an_accept_that_is_lost_with_the_link_is_asked_for_again(
    tmp_path: Path, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = scenes.settled(SimClock(pace=PACE), 2)
    accept, asked = Contact.accept, list[str]()

    async def lost_once(self: Contact, run: str, how: str, reason: str = "") -> Answer:
        asked.append(self.node)
        if asked == ["n1"]:
            cluster.nodes["n1"].cut()
            await asyncio.sleep(3600)
        return await accept(self, run, how, reason)

    monkeypatch.setattr(Contact, "accept", lost_once)
    outcome = await upgrade(cluster, built(cluster, "4.12.0", tmp_path), scribe)
    assert outcome.exit is Exit.OK, outcome
    assert asked == ["n1", "n1", "n2"]


async def yes(*_: object) -> bool:
    return True


@pytest.mark.parametrize("command", ["rollback", "finalize"])
@pytest.mark.parametrize("is_heard", [True, False])
async def test_an_order_that_is_lost_with_the_link_is_given_again_and_carried_out_once(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch, command: str, is_heard: bool
) -> None:
    cluster = ready()
    ask, asked = Contact.ask, list[str]()
    lost = Answer(Outcome.UNREACHABLE, Problem("no-end", "the answer broke off"), ())

    async def lost_once(self: Contact, order: str, **args: Any) -> Answer:
        if order != command:
            return await ask(self, order, **args)
        asked.append(self.node)
        if len(asked) > 1:
            return await ask(self, order, **args)
        if is_heard:
            await ask(self, order, **args)
        return lost

    monkeypatch.setattr(Contact, "ask", lost_once)
    monkeypatch.setattr("backends.engine.giving._BETWEEN_TRIES_SECONDS", 0.01)
    acts, asking = Acts(contacts(cluster), scribe, 5.0), contacts(cluster)
    readings = await read_all(asking.values())
    if command == "rollback":
        results = await acts.roll_back(readings, "we do not like it", yes)
        wanted = Result.ROLLED_BACK
    else:
        results = await acts.finalize(readings)
        wanted = Result.FINALIZED
    assert [each.result for each in results] == [wanted] * 5
    assert asked.count(asked[0]) == (1 if is_heard else 2)
    assert {asked.count(node) for node in asked[2:]} == {1}


async def test_an_order_that_stays_lost_is_no_failure_of_a_hook(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, ask = ready(), Contact.ask

    async def lost(self: Contact, order: str, **args: Any) -> Answer:
        if order != "finalize":
            return await ask(self, order, **args)
        return Answer(Outcome.UNREACHABLE, Problem("no-end", "the answer broke off"), ())

    monkeypatch.setattr(Contact, "ask", lost)
    monkeypatch.setattr("backends.engine.giving._BETWEEN_TRIES_SECONDS", 0.01)
    monkeypatch.setattr("backends.engine.giving._LOST_SECONDS", 0.05)
    asked = contacts(cluster)
    results = await Acts(asked, scribe, 5.0).finalize(await read_all(asked.values()))
    problem = results[0].problem
    assert problem is not None
    assert (results[0].result, problem.code) == (Result.REFUSED, "not-heard")
    assert results[1].result is not Result.FINALIZED
    assert not any(
        each.facts.is_finalized
        for each in await read_all(asked.values())
        if each.facts and each.facts.final_version == "4.12.0"
    )


async def test_a_sick_release_ends_rolled_back_with_exit_5(tmp_path: Path, scribe: Scribe) -> None:
    cluster = scenes.settled(SimClock(pace=PACE))
    outcome = await upgrade(cluster, built(cluster, "4.13.0", tmp_path), scribe)
    assert outcome.exit is Exit.ROLLED_BACK, outcome
    assert [node.result for node in outcome.nodes] == [
        Result.ROLLED_BACK,
        *[Result.NOT_STARTED] * 4,
    ]
    facts = cluster.facts("n1")
    assert (facts["running"], facts["state"]) == ("4.11.0", "rolled_back")


async def test_acts_roll_back_what_was_accepted(scribe: Scribe) -> None:
    cluster = ready()
    asked = contacts(cluster)

    readings = await read_all(asked.values())
    results = await Acts(asked, scribe, 5.0).roll_back(readings, "we do not like it", yes)
    assert [each.result for each in results] == [Result.ROLLED_BACK] * 5
    assert {cluster.facts(name)["running"] for name in cluster.nodes} == {"4.11.0"}


async def test_acts_adopt_what_nobody_recorded(scribe: Scribe) -> None:
    cluster = scenes.unmanaged(SimClock())
    assert await verdict(cluster) is VerdictKind.UNMANAGED
    acts = Acts(contacts(cluster), scribe, 5.0)
    for preview in await acts.preview("adopt"):
        assert not hasattr(preview, "result"), preview
        assert (await acts.adopt(preview, RUN)).result is Result.FINALIZED
    assert await verdict(cluster) is VerdictKind.SETTLED


# --- what is wrong with a link ------------------------------------------------------------------


async def test_a_node_that_cannot_be_reached_says_why() -> None:
    cluster = scenes.settled(SimClock())
    cluster.nodes["n1"].unreachable = Problem("host-key-changed", "another key")
    cluster.nodes["n2"].has_python = False
    asked = contacts(cluster)
    readings = [await asked[name].read() for name in ("n1", "n2", "n3")]
    causes = [reading.unreachable for reading in readings]
    assert causes == [Unreachable.HOST_KEY_CHANGED, Unreachable.NO_PYTHON, None]


async def test_a_silent_node_ends_at_the_limit_and_answers_again_later() -> None:
    cluster = scenes.settled(SimClock())
    node = cluster.nodes["n1"]
    node.silent = True
    contact = contacts(cluster)["n1"]
    async with asyncio.TaskGroup() as group:
        late = group.create_task(contact.ask("status", seconds=20))
        answer = await contact.ask("status", seconds=0.05)
        assert answer.outcome is Outcome.TIMED_OUT
        node.silent = False
    assert late.result().is_ok, "what was on its way arrives"


async def test_a_cut_line_is_unknown_and_the_node_goes_on_alone() -> None:
    clock = SimClock()
    cluster = scenes.half_way(clock)
    contact = contacts(cluster)["n3"]
    async with asyncio.TaskGroup() as group:
        following = group.create_task(contact.follow(None, 0, lambda message: None, 30))
        await clock.advance(1)
        cluster.nodes["n3"].cut()
    assert following.result().outcome is Outcome.UNREACHABLE
    await clock.advance(cluster.limits.accept_window_seconds)
    assert cluster.facts("n3")["state"] == "rolled_back", "nobody accepted: it went back"
    assert (await contact.read()).read, "and one gets there again"


async def test_a_watch_tells_a_change_and_beats_in_between() -> None:
    clock = SimClock()
    cluster = scenes.settled(clock)
    seen: list[NodeReading] = []
    watching = asyncio.ensure_future(contacts(cluster)["n1"].watch(seen.append))
    await clock.advance(60)
    assert {reading.facts.state for reading in seen if reading.facts} == {NodeState.IDLE}
    assert len(seen) == 7, "facts, and a beat each ten seconds"
    cluster.nodes["n1"].stop_service()
    await clock.advance(5)
    assert [reading.facts.is_down for reading in seen[-2:] if reading.facts] == [False, True]
    cluster.nodes["n1"].cut()
    await clock.advance(0)
    assert seen[-1].unreachable is Unreachable.TCP
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not cluster.nodes["n1"].channels


# --- many ---------------------------------------------------------------------------------------


async def test_a_thousand_nodes_are_read_at_once() -> None:
    cluster = scenes.thousand(SimClock())
    readings = await read_all(contacts(cluster).values())
    assert len(readings) == 1000
    assert decide(readings).kind is VerdictKind.SETTLED


async def test_where_time_stands_still_a_watched_node_says_the_same_again() -> None:
    cluster = scenes.half_way(SimClock())
    limits = replace(cluster.limits, heart_beat_upgrade_seconds=0.05)
    seen: list[NodeReading] = []
    contact = contacts(cluster, limits)["n3"]
    watching = asyncio.ensure_future(contact.watch(seen.append))
    await asyncio.sleep(0.3)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    left = {
        r.facts.transaction.decides_at_seconds for r in seen if r.facts and r.facts.transaction
    }
    assert len(seen) > 1
    assert len(left) == 1, "no second has passed there"


async def test_a_simulated_updater_stays_for_the_next_question() -> None:
    cluster = scenes.settled(SimClock())
    name, contact = next(iter(contacts(cluster).items()))
    node = cluster.nodes[name]
    opened = []
    for _ in range(3):
        assert (await contact.read()).facts is not None
        opened += [channel for channel in node.channels if channel not in opened]
    assert len(opened) == 1
    await contact.close()
    assert not node.channels
