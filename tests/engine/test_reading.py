"""The border: what a node says becomes facts that can be shown, or a reading that says why not."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.domain.facts import NodeReading, Unknown
from backends.domain.policy import Limits
from backends.domain.states import NodeState, Outcome, Unreachable
from backends.engine.answer import Subject
from backends.engine.contact import Contact
from backends.engine.reading import LAST_MOMENT, back_in_words, in_words, node_facts, utc
from backends.node import wire
from backends.transport.payload import pack
from tests.domain.nodes import LOST, facts
from tests.support import beacon
from tests.support.node import a_node

Said = dict[str, Any]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What a node in a trial says."""
    with a_node(tmp_path_factory.mktemp("node") / "n1") as node:
        found = node.facts()
    opened = {
        **{"run": "1", "txn": "1", "from": None, "to": {"version": "2.0", "digest": "d"}},
        **{"operator": "ann@jump", "since": 0.0, "driver": True, "decision": None},
        **{"healthy": True, "seconds_left": 60.0, "then": "rollback"},
        **{"layer": "systemd", "data": None, "beside": []},
    }
    return {**found, "t": "facts", "state": "monitoring", "transaction": opened, "pid": 7}


class Scripted:
    """A channel on which a node says what a test wants, and then is silent for good."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines: Iterator[bytes] = iter(lines)

    def awaited(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def write(self, data: bytes) -> None:
        pass

    async def line(self) -> bytes:
        return next(self._lines, b"")

    async def exit_status(self) -> int | None:
        return 0

    def stderr(self) -> str:
        return ""


class ScriptedLink:
    """Opens such a channel."""

    def __init__(self, messages: tuple[Mapping[str, object], ...]) -> None:
        self._lines = [json.dumps(message).encode() + b"\n" for message in messages]

    async def prepare(self) -> None:
        pass

    @asynccontextmanager
    async def open(self, *_: object, **__: object) -> Any:
        yield Scripted(self._lines)


HELLO = {"t": "hello", "protocol": wire.PROTOCOL}
END = {"t": "end", "outcome": "ok", "problem": None}


def contact(*messages: Mapping[str, object]) -> Contact:
    """A contact with a node that says this."""
    document = {**beacon.document("/opt/beacon", 1, "/run/lease"), "health": []}
    subject = Subject("n1", "", "local", False, None, document, None, None)
    link: Any = ScriptedLink((HELLO, *messages))
    return Contact(subject, link, pack(), Limits(), "ann@jump")


def with_transaction(said: Said, **changes: object) -> Said:
    return {**said, "transaction": {**said["transaction"], **changes}}


ODD = [1e300, -1e300, 2**53 - 1, -1, "soon", True, [], {}]


@pytest.mark.parametrize("value", [*ODD, None])
async def test_a_beginning_that_no_clock_can_show_is_a_reading_that_failed(
    trial: Said, value: object
) -> None:
    reading = await contact(with_transaction(trial, since=value), END).read()
    assert_unreadable(reading)


@pytest.mark.parametrize("value", [1e300, -1e300, 2**53 - 1, "soon", True, [], {}])
async def test_a_window_that_makes_no_sense_is_a_reading_that_failed(
    trial: Said, value: object
) -> None:
    reading = await contact(with_transaction(trial, seconds_left=value), END).read()
    assert_unreadable(reading)


@pytest.mark.parametrize("value", [*ODD, 0, 1.5e10])
async def test_a_process_that_no_system_has_is_a_reading_that_failed(
    trial: Said, value: object
) -> None:
    assert_unreadable(await contact({**trial, "pid": value}, END).read())


@pytest.mark.parametrize("name", ["driver", "healthy"])
@pytest.mark.parametrize("value", ["no", 0, None])
async def test_what_is_neither_true_nor_false_is_no_yes(
    trial: Said, name: str, value: object
) -> None:
    assert_unreadable(await contact(with_transaction(trial, **{name: value}), END).read())


def assert_unreadable(reading: NodeReading) -> None:
    assert not reading.read
    assert reading.facts is None
    assert reading.unreachable is Unreachable.PROTOCOL
    assert reading.problem is not None
    assert (reading.problem.code, reading.problem.summary) == (
        "bad-answer",
        "n1: the facts make no sense",
    )
    assert reading.problem.evidence


async def test_what_makes_sense_is_read(trial: Said) -> None:
    for left in (None, 60, 0.5, -3.0):
        reading = await contact(with_transaction(trial, seconds_left=left), END).read()
        assert reading.facts is not None
        assert reading.facts.transaction is not None
        assert reading.facts.transaction.decides_at_seconds == left
        assert reading.facts.transaction.since == "1970-01-01T00:00:00Z"
        assert reading.facts.pid == 7


def test_the_last_moment_that_a_clock_can_show() -> None:
    assert utc(LAST_MOMENT) == "9999-12-31T00:00:00Z"
    datetime.fromtimestamp(LAST_MOMENT, timezone(timedelta(hours=23)))
    for seconds in (LAST_MOMENT + 1, float("inf"), float("nan"), 10**400, "0", None, -0.1):
        with pytest.raises(ValueError, match="is no number from"):
            utc(seconds)


async def test_a_watch_goes_on_after_any_nonsense(trial: Said) -> None:
    told: list[NodeReading] = []

    class Enough(Exception):
        pass

    def observe(reading: NodeReading) -> None:
        told.append(reading)
        if len(told) >= 4:
            raise Enough

    odd = with_transaction(trial, since=1e300)
    with pytest.raises(Enough):
        await contact(odd, trial, {"t": "recovering"}, odd).watch(observe)
    assert [each.read for each in told] == [False, True, False, False]
    assert told[3].problem is not None
    assert told[3].problem.code == "no-end"


async def test_a_record_that_makes_no_sense_ends_the_answer_and_nothing_else() -> None:
    record = {"t": "record", "offset": "far", "record": 5}

    def observe(message: Mapping[str, Any]) -> None:
        int(message["offset"])

    answer = await contact(record, END).follow("1", 0, observe, 5)
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.problem is not None
    assert answer.problem.code == "protocol-mismatch"
    assert "makes no sense" in answer.problem.summary
    assert await contact(record, END).journal_end("1") == 0


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=7), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_said_becomes_facts_that_can_be_shown_or_a_failed_reading(
    trial: Said, data: st.DataObject
) -> None:
    said, inner = dict(trial), dict(trial["transaction"])
    for name in data.draw(st.lists(st.sampled_from(sorted(said)), max_size=3)):
        said[name] = data.draw(values)
    for name in data.draw(st.lists(st.sampled_from(sorted(inner)), max_size=3)):
        inner[name] = data.draw(values)
    if "transaction" in said and isinstance(said["transaction"], dict):
        said["transaction"] = inner
    reading = contact()._reading(said)
    if reading.facts is None:
        assert_unreadable(reading)
        return
    opened = reading.facts.transaction
    if opened is not None:
        datetime.fromisoformat(opened.since)
        assert opened.decides_at_seconds is None or abs(opened.decides_at_seconds) < 1e9


@pytest.mark.parametrize(
    ("selected", "text"),
    [
        ("4.11", "is back on 4.11, proven"),
        (None, "is back on nothing, proven"),
        (LOST, "is back on an unknown version: permission denied"),
    ],
)
def test_a_version_that_could_not_be_read_has_a_word_and_is_not_proven(
    selected: str | Unknown | None, text: str
) -> None:
    assert back_in_words(facts("n1", selected=selected, state=NodeState.ROLLED_BACK)) == text
    assert in_words(selected) in text


def test_facts_say_what_is_missing(trial: Said) -> None:
    for name in ("product", "running", "pid", "transaction"):
        with pytest.raises(KeyError, match=name):
            node_facts("n1", {key: value for key, value in trial.items() if key != name})
