"""The engine's long look: a silent node is unreachable in time, and old facts are called old."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backends.domain.facts import NodeReading
from backends.domain.policy import Limits
from backends.domain.problem import Problem
from backends.domain.states import NodeState, Outcome, Unreachable
from backends.engine import reading, watching
from backends.engine.answer import Answer, Subject
from backends.engine.contact import Contact
from backends.engine.readings import aged
from backends.engine.watching import Heard, Way
from backends.transport.link import Channel, LinkFailed
from backends.transport.local import LocalLink
from backends.transport.payload import pack
from tests.support import beacon
from tests.support.beacon import Beacon
from tests.support.interpreters import node_pythons
from tests.support.node import Node, a_node

LIMITS = Limits()


# --- what is heard ------------------------------------------------------------------------------


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    """What a node in a trial says."""
    with a_node(tmp_path / "node") as node:
        found = node.facts()
    opened = {
        **{"run": "1", "txn": "1", "from": None, "to": {"version": "2.0", "digest": "d"}},
        **{"operator": "ann@jump", "since": 0.0, "driver": True, "decision": None},
        **{"healthy": True, "seconds_left": 60.0, "then": "rollback"},
        **{"layer": "systemd", "data": None, "beside": []},
    }
    return {**found, "state": "monitoring", "transaction": opened, "every": 1.0}


class Told:
    """A process that says what a test wants, and the readings that come of it."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.readings: list[NodeReading] = []
        self.heard = Heard(way(), limits, self.readings.append)

    def hear(self, kind: str, **fields: Any) -> list[float | None]:
        """Ages of all that was told since the last time."""
        self.readings.clear()
        self.heard.see({"t": kind, **fields})
        return [each.age_seconds for each in self.readings]


def read(message: Mapping[str, Any]) -> NodeReading:
    return NodeReading("n1", facts=reading.node_facts("n1", message), age_seconds=0.0)


def unread(problem: Problem | None) -> NodeReading:
    return NodeReading("n1", unreachable=Unreachable.TIMEOUT, problem=problem)


def way(**changes: Any) -> Way:
    """A way to nowhere."""

    async def prepare() -> Problem | None:
        return None

    def nowhere() -> AbstractAsyncContextManager[Channel]:
        raise AssertionError

    async def talk(*arguments: Any) -> Answer:
        raise AssertionError

    made = Way("n1", prepare, nowhere, talk, read, unread, first_seconds=20.0)
    return replace(made, **changes)


def test_the_limit_of_silence_follows_what_the_node_said_last() -> None:
    told = Told()
    assert told.heard.silence_seconds() == 20.0
    told.hear("hello")
    assert told.heard.silence_seconds() == 20.0
    told.hear("beat", every=10.0, looked=0.1)
    assert told.heard.silence_seconds() == 27.0
    told.hear("beat", every=1.0, looked=0.1)
    assert told.heard.silence_seconds() == 4.5
    told.hear("record", record={})
    assert told.heard.silence_seconds() == 4.5


@pytest.mark.parametrize("every", [None, "1", True, -1.0, [], {}])
def test_an_interval_that_makes_no_sense_changes_nothing(every: object) -> None:
    told = Told()
    told.hear("beat", every=1, looked=0.0)
    told.hear("beat", every=every, looked=0.0)
    assert told.heard.silence_seconds() == 4.5


def test_a_node_cannot_talk_itself_out_of_its_limit() -> None:
    told = Told()
    told.hear("beat", every=1e300, looked=0.0)
    assert told.heard.silence_seconds() == 27.0


def test_each_beat_tells_how_old_the_facts_are(facts: dict[str, Any]) -> None:
    told = Told()
    assert told.hear("beat", every=1.0, looked=None) == []
    assert told.hear("beat", every=1.0, looked=9.0) == [], "there is nothing to tell yet"
    assert told.hear(**{"kind": "facts", **without_kind(facts)}) == [0.0]
    assert told.hear("beat", every=1.0, looked=5.0) == [5.0]
    assert told.hear("beat", every=1.0, looked=5.001) == [5.001]
    assert told.hear("beat", every=1.0, looked=6.001) == [6.001]
    assert told.hear("beat", every=1.0, looked=0.2) == [0.2]
    assert told.hear("beat", every=1.0, looked=0.3) == [0.3]
    assert told.hear("beat", every=1.0, looked="old") == []
    assert told.hear("beat", every=1.0, looked=7.0) == [7.0]
    assert told.hear(**{"kind": "facts", **without_kind(facts)}) == [0.0]


def without_kind(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "t"}


def test_what_is_told_again_is_the_same_but_for_the_clock_of_the_trial(
    facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told.hear(**{"kind": "facts", **without_kind(facts)})
    (first,) = told.readings
    now = 107.0
    told.hear("beat", every=1.0, looked=6.0)
    (again,) = told.readings
    assert again.facts is not None
    assert again.facts.transaction is not None
    assert again.facts.transaction.decides_at_seconds == 53.0
    opened = replace(again.facts.transaction, decides_at_seconds=60.0)
    assert replace(again, age_seconds=0.0, facts=replace(again.facts, transaction=opened)) == first


def test_who_beats_and_never_reads_anything_is_not_being_read_forever(
    facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told = Told()
    now = 119.0
    assert told.hear("beat", every=1.0, looked=None) == []
    now = 121.0
    told.hear("beat", every=1.0, looked=None)
    (late,) = told.readings
    assert late.unreachable is Unreachable.TIMEOUT
    assert late.problem is not None
    assert late.problem.summary == "n1: it lives, but has read nothing within 20 s"
    assert told.hear("beat", every=1.0, looked=None) == [], "once is enough"
    assert told.hear(**{"kind": "facts", **without_kind(facts)}) == [0.0]


def test_facts_that_make_no_sense_are_not_told_again() -> None:
    told: list[NodeReading] = []
    heard = Heard(way(read=lambda message: unread(None)), LIMITS, told.append)
    heard.see({"t": "facts"})
    heard.see({"t": "beat", "every": 1.0, "looked": 60.0})
    assert [each.read for each in told] == [False]


def test_a_reading_that_was_old_when_it_came_stays_that_much_older() -> None:
    old = aged(NodeReading("n1", age_seconds=7.0), time.monotonic() - 2.0)
    assert old.age_seconds is not None
    assert 9.0 <= old.age_seconds < 10.0
    assert aged(NodeReading("n1"), 0.0).age_seconds is None


async def test_silence_is_told_before_a_dead_channel_is_left() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[Any]:
        try:
            yield None
        finally:
            await asyncio.sleep(0.2)
            events.append("left")
            raise LinkFailed(Problem("channel-broken", "n1: gone"))

    async def talk(*arguments: Any) -> Answer:
        return Answer(Outcome.TIMED_OUT, Problem("timeout", "n1: not a word"), ())

    def observe(seen: NodeReading) -> None:
        assert seen.problem is not None
        events.append(seen.problem.code)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await watching.watch(way(open=slow, talk=talk), LIMITS, observe)
    assert events[:2] == ["timeout", "left"]


# --- real processes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One reading, and when it was told."""

    at: float
    reading: NodeReading


class Looking:
    """A watch of a node by the engine, while it runs."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self.node = node
        self.seen: list[Seen] = []
        subject = Subject("n1", "", "local", False, None, node.document, str(node.state), None)
        subject = replace(subject, python=node.python)
        self.contact = Contact(subject, LocalLink("n1"), pack(), limits, "ann@jump")

    async def __aenter__(self) -> "Looking":
        self._running = asyncio.ensure_future(self.contact.watch(self._see))
        return self

    async def __aexit__(self, *error: object) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    def _see(self, reading: NodeReading) -> None:
        self.seen.append(Seen(time.monotonic(), reading))

    async def until(
        self, reached: Callable[[NodeReading], object], seconds: float = 20, since: float = 0.0
    ) -> Seen:
        """The first reading since a moment that is as wanted."""
        give_up = time.monotonic() + seconds
        while True:
            for seen in self.seen:
                if seen.at > since and reached(seen.reading):
                    return seen
            assert time.monotonic() < give_up, self.seen[-3:]
            await asyncio.sleep(0.02)

    def processes(self) -> list[int]:
        """The resident processes that we started: the updater from memory."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit():
                    continue
                parent = int((entry / "stat").read_bytes().rsplit(b") ", 1)[1].split()[1])
                words = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == os.getpid() and b"Runs the updater from memory" in words:
                found.append(int(entry.name))
        return found


QUICK = Limits(heart_beat_idle_seconds=0.4, heart_beat_upgrade_seconds=0.1)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that runs 1.0, adopted, with a trial that lasts."""
    with a_node(tmp_path / "node") as made:
        made.document["limits"]["accept_window"] = 120.0
        made.put_in_place(Beacon("1.0"))
        yield made


def in_trial(reading: NodeReading) -> bool:
    return reading.facts is not None and reading.facts.state is NodeState.MONITORING


def is_read(reading: NodeReading) -> bool:
    return reading.read


def is_unread(reading: NodeReading) -> bool:
    return reading.unreachable is not None


async def freeze(looking: Looking) -> float:
    """Stop every process of the watch; when that was."""
    stopped = looking.processes()
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    return time.monotonic()


async def test_a_frozen_watch_is_unreachable_in_time_and_facts_come_back(node: Node) -> None:
    async with Looking(node, QUICK) as looking:
        await looking.until(is_read)
        at = await freeze(looking)
        silent = await looking.until(is_unread, since=at)
        assert silent.reading.unreachable is Unreachable.TIMEOUT
        assert 1.0 < silent.at - at < 3.0 + 2.0
        for pid in looking.processes():
            os.kill(pid, signal.SIGCONT)
        again = await looking.until(is_read, since=silent.at)
        assert again.reading.age_seconds == 0.0
        assert not [seen for seen in looking.seen if silent.at < seen.at < again.at]
        assert len(looking.processes()) == 1


async def test_a_killed_watch_is_told_at_once_and_a_new_one_started(node: Node) -> None:
    async with Looking(node, LIMITS) as looking:
        await looking.until(is_read)
        at = time.monotonic()
        for pid in looking.processes():
            os.kill(pid, signal.SIGKILL)
        lost = await looking.until(is_unread, since=at)
        assert lost.at - at < 2.0
        await looking.until(is_read, since=lost.at)


async def test_a_node_that_never_takes_the_question_is_given_up(tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    document = beacon.document(str(tmp_path / "opt"), 1, str(tmp_path / "lease"))
    document["health"] = []
    limits = replace(QUICK, operator_request_seconds=0.5, node_request_seconds=0.1)
    subject = Subject("n1", "", "local", False, None, document, str(tmp_path), str(script))
    told: list[NodeReading] = []
    contact = Contact(subject, LocalLink("n1"), pack(), limits, "ann@jump")
    running = asyncio.ensure_future(contact.watch(told.append))
    try:
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert told[0].unreachable is Unreachable.TIMEOUT


@pytest.mark.drill
async def test_a_dead_link_of_a_busy_node_is_told_within_five_seconds(node: Node) -> None:
    async with Looking(node, LIMITS) as looking:
        await looking.until(is_read)
        await asyncio.to_thread(node.begin, Beacon("2.0"))
        await looking.until(in_trial)
        await asyncio.sleep(3)
        assert not [seen for seen in looking.seen if is_unread(seen.reading)]
        at = await freeze(looking)
        silent = await looking.until(is_unread, since=at)
        assert 1.0 < silent.at - at < 5.0 + 3.0
        assert silent.reading.problem is not None
        assert silent.reading.problem.code == "timeout"
        for pid in looking.processes():
            os.kill(pid, signal.SIGCONT)
        await looking.until(in_trial, since=silent.at)


@pytest.mark.drill
async def test_facts_become_old_while_a_check_hangs_and_the_node_stays_reachable(
    tmp_path: Path,
) -> None:
    with a_node(tmp_path / "node", str(node_pythons()[0].path)) as node:
        node.put_in_place(Beacon("1.0"))
        check = {"name": "slow", "kind": "command", "level": "soft", "timeout": 50.0}
        node.document["health"].append({**check, "command": ["sleep", "9"]})
        async with Looking(node, Limits(heart_beat_idle_seconds=1)) as looking:
            await looking.until(is_read, 30)
            old = await looking.until(lambda reading: (reading.age_seconds or 0) > 7, 40)
            await looking.until(lambda reading: reading.age_seconds is not None, 40, since=old.at)
            await asyncio.sleep(8)
            ages = [seen.reading.age_seconds for seen in looking.seen]
            assert not [age for age in ages if age is None], "it was never lost"
            assert 0.0 < min(age for age in ages[1:] if age is not None) < 3.0
