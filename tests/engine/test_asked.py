"""Commands have ids, which both journals know; looks are counted, and what is not waited for is
said so."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.domain.problem import Problem
from backends.domain.states import Outcome, Phase
from backends.engine.answer import Answer
from backends.engine.asked import Asked, new_request, newest_request, telling, told
from backends.engine.events import Event, Kind
from backends.engine.scribe import Scribe
from backends.node import wire
from backends.store.book import Book, Start


class Desk:
    """A scribe, its book and what it has said."""

    def __init__(self, path: Path) -> None:
        self.book = Book(path)
        self.book.begin(Start("r1", "harbor", "beacon", "upgrade", "ann@jump", 1.0))
        self.events: list[Event] = []
        self.scribe = Scribe(self.book, "r1", self.events.append)

    def told(self) -> list[str]:
        return [entry.text for entry in self.book.entries("r1")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "book")
    yield made
    made.book.close()


def asked(command: str, outcome: Outcome | None = Outcome.OK, *, code: str = "") -> Asked:
    return Asked("n1", new_request(), command, outcome, code, 5.0, 0.5)


async def answering(outcome: Outcome, problem: Problem | None = None) -> Answer:
    return Answer(outcome, problem, ())


def test_i6_each_command_is_written_down_with_its_outcome_and_time(desk: Desk) -> None:
    desk.scribe.command(asked("install"))
    desk.scribe.command(asked("accept", Outcome.REFUSED, code="not-acceptable"))
    assert desk.told() == ["install: ok, 0.5 s", "accept: refused (not-acceptable), 0.5 s"]
    first = desk.book.entries("r1")[0]
    assert (first.kind, first.node) == ("command", "n1")
    assert first.data["seconds"] == 0.5
    assert first.data["began"] == 5.0


def test_looks_are_counted_and_none_is_left_out(desk: Desk) -> None:
    for _ in range(3):
        desk.scribe.command(asked("status"))
    for _ in range(2):
        desk.scribe.command(asked("status", Outcome.UNREACHABLE, code="tcp"))
    desk.scribe.command(asked("journal"))
    desk.scribe.command(asked("accept"))
    desk.scribe.command(asked("status"))
    desk.scribe.tell_looks()
    desk.scribe.tell_looks()
    assert desk.told() == [
        "status: ok, 3 times, 1.5 s",
        "status: unreachable (tcp), 2 times, 1.0 s",
        "journal: ok, 0.5 s",
        "accept: ok, 0.5 s",
        "status: ok, 0.5 s",
    ]


async def test_i9_what_a_request_leads_to_carries_its_id_and_nothing_else_does(
    desk: Desk,
) -> None:
    scribe, request = desk.scribe, new_request()
    with telling(scribe.command):
        scribe.say(Kind.PHASE, "install", node="n1", phase=Phase.INSTALL)
        await told("n1", "install", request, answering(Outcome.OK))
        scribe.problem(Problem("a", "b"), node="n1")
        scribe.problem(Problem("a", "b"), node="n2")
        scribe.say(Kind.RUN, "goes on")
    scribe.problem(Problem("a", "after the run"), node="n1")
    found = [(event.kind, event.node, event.data.get("request")) for event in desk.events]
    assert found == [
        (Kind.PHASE, "n1", None),
        (Kind.COMMAND, "n1", request),
        (Kind.PROBLEM, "n1", request),
        (Kind.PROBLEM, "n2", None),
        (Kind.RUN, "", None),
        (Kind.PROBLEM, "n1", None),
    ]


async def test_what_runs_at_once_is_not_mixed_up(desk: Desk) -> None:
    both = asyncio.Barrier(2)

    async def one(node: str, request: str) -> str:
        async def answer() -> Answer:
            await both.wait()
            return Answer(Outcome.OK, None, ())

        await told(node, "check", request, answer())
        await both.wait()
        return newest_request(node)

    with telling(desk.scribe.command):
        found = await asyncio.gather(one("n1", "aaa"), one("n2", "bbb"))
    assert found == ["aaa", "bbb"]


async def test_what_is_not_waited_for_is_unknown_never_ok(desk: Desk) -> None:
    never = asyncio.Event()

    async def hangs() -> Answer:
        await never.wait()
        raise AssertionError

    with telling(desk.scribe.command), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await told("n1", "install", "aaa", hangs())
    (entry,) = desk.book.entries("r1")
    assert entry.text.startswith("install: not waited for")
    assert entry.data["outcome"] == "unknown"


async def test_outside_of_a_run_nothing_is_written_down(desk: Desk) -> None:
    await told("n1", "status", "aaa", answering(Outcome.OK))
    assert desk.told() == []


def test_a_record_names_the_request_that_led_to_it_and_the_one_that_heard_it(
    desk: Desk,
) -> None:
    record = {"t": "ACCEPT", "n": 7, "wt": 5.0, "by": "ann", "how": "auto", "request": "aaa"}
    silent = {key: value for key, value in record.items() if key != "request"}

    async def follow() -> None:
        await told("n1", "journal", "bbb", answering(Outcome.OK))
        desk.scribe.record({"record": record, "offset": 1}, node="n1", txn="r1")
        desk.scribe.record({"record": {**silent, "n": 8}, "offset": 2}, node="n1", txn="r1")

    asyncio.run(follow())
    first, second = (entry.data for entry in desk.book.entries("r1"))
    assert (first["request"], first["heard"]) == ("aaa", "bbb")
    assert ("request" in second, second["heard"]) == (False, "bbb")


@pytest.mark.parametrize(
    "said", [None, 5, "", "a b", "a\n", "x" * 33, "é", "a\x1b[2J", ["a"], {"a": 1}]
)
def test_what_is_no_id_counts_as_none_on_the_node(said: object) -> None:
    assert wire.request_of({"request": said}) == {}


@pytest.mark.parametrize("args", [None, [], "x", {}])
def test_a_request_without_an_id_is_one_of_an_older_program(args: object) -> None:
    assert wire.request_of(args) == {}


def test_ids_are_ids() -> None:
    made = [new_request() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(wire.request_of({"request": each}) == {"request": each} for each in made)


def test_i7_what_is_told_is_what_is_kept_without_secrets(desk: Desk) -> None:
    desk.book.redaction.learn(["swordfish-9"])
    problem = Problem("start", "it said swordfish-9", "PASSWORD=other-8", "see http://a:b@c/?d")
    desk.scribe.problem(problem, node="n1")
    kept = desk.book.entries("r1")[0]
    shown = desk.events[0]
    assert (kept.text, kept.data) == (shown.text, dict(shown.data))
    assert "hidden" in json.dumps(kept.data)
    for secret in ("swordfish", "other-8", "a:b", "?d"):
        assert secret not in kept.text + json.dumps(kept.data)
