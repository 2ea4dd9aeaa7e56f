"""One story, told twice: by a node with the real updater, and by a simulated one.

Both are asked the same questions in the same order. What each says must be equal message by
message and key by key, but for what `tests/sim/sides.py` names. This keeps the simulation honest.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from backends.node import standing
from backends.node.journal import frame, scan
from backends.node.watch import _at_rest
from backends.sim import records, scenes
from backends.sim.clock import SimClock
from tests.sim import stories
from tests.sim.sides import (
    RUN,
    RealSide,
    Side,
    SimSide,
    plain,
    transcript,
    without_numbers,
)
from tests.sim.stories import NEW, adopted

Story = Callable[[Side], None]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """A real node and a simulated one, both bare."""
    real, simulated = RealSide(tmp_path / "node"), SimSide()
    try:
        yield real, simulated
    finally:
        real.close()
        simulated.close()


def tell(sides: tuple[Side, Side], story: Story) -> None:
    """Tell a story on both nodes, and hold what was said against each other."""
    for side in sides:
        story(side)
    real, simulated = (without_numbers(transcript(side)) for side in sides)
    assert [label for label, _ in simulated] == [label for label, _ in real]
    for (label, said), (_, wanted) in zip(simulated, real, strict=True):
        assert [kind(each) for each in said] == [kind(each) for each in wanted], label
        for number, (one, other) in enumerate(zip(said, wanted, strict=True)):
            assert one == other, f"{label}, message {number}"


def kind(message: dict[str, object]) -> object:
    record = message.get("record")
    return ("record", record["t"]) if isinstance(record, dict) else message["t"]


@pytest.mark.parametrize(
    "story",
    [
        stories.there_and_back_and_there,
        stories.never_healthy,
        stories.taken_over,
        stories.configuration_staged,
        stories.restarted,
        stories.valued,
        stories.begun_by_another,
        pytest.param(stories.configured_anew, marks=pytest.mark.drill),
        pytest.param(stories.configuration_refused, marks=pytest.mark.drill),
        pytest.param(stories.said_twice, marks=pytest.mark.drill),
        pytest.param(stories.with_nothing_open, marks=pytest.mark.drill),
        pytest.param(stories.to_the_end, marks=pytest.mark.drill),
        pytest.param(stories.from_nothing, marks=pytest.mark.drill),
        pytest.param(stories.held_and_extended, marks=pytest.mark.drill),
        pytest.param(stories.nobody_came, marks=pytest.mark.drill),
        pytest.param(stories.left_in_the_middle, marks=pytest.mark.drill),
        pytest.param(stories.falls_sick, marks=pytest.mark.drill),
        pytest.param(stories.edited_meanwhile, marks=pytest.mark.drill),
        pytest.param(stories.edited_once_accepted, marks=pytest.mark.drill),
        pytest.param(stories.installed_again, marks=pytest.mark.drill),
        pytest.param(stories.adopted_as_released, marks=pytest.mark.drill),
        pytest.param(stories.softly_sick, marks=pytest.mark.drill),
        pytest.param(stories.no_request, marks=pytest.mark.drill),
    ],
    ids=lambda story: story.__name__,
)
def test_both_nodes_tell_the_same_story(sides: tuple[Side, Side], story: Story) -> None:
    tell(sides, story)


# --- a watch ------------------------------------------------------------------------------------


def what_a_watch_tells(side: Side) -> list[tuple[str, list[object]]]:
    """Facts first, beats while nothing changes, facts when something did."""
    adopted(side)
    watch = side.watch(beat=0.4, busy_beat=0.2, slow=0.5, verify_every=3600)
    try:
        first = watch.until(lambda message: message["t"] == "facts")
        assert [message["t"] for message in watch.said] == ["hello", "facts"]
        beat = watch.until(lambda message: message["t"] == "beat")
        side.disable("closed for today")
        changed = watch.until(lambda message: message["t"] == "facts")
    finally:
        watch.leave()
    told = [first, beat, changed]
    return [("watch", [plain(side, message) for message in told])]


def test_both_nodes_tell_the_same_in_a_watch(sides: tuple[Side, Side]) -> None:
    real, simulated = (what_a_watch_tells(side) for side in sides)
    assert simulated == real


def an_upgrade_as_it_is_watched(side: Side) -> dict[str, object]:
    """The records one by one, the states in their order, and the facts at the end."""
    adopted(side)
    watch = side.watch(beat=5.0, busy_beat=0.3, slow=0.5, verify_every=3600)
    try:
        watch.until(lambda message: message["t"] == "facts")
        side.begin(NEW)
        watch.until(lambda message: (message.get("transaction") or {}).get("healthy", False))
        side.ask("accept", run=RUN, how="auto", reason="")
        last = watch.until(
            lambda message: (
                message.get("state") == "accepted" and not message["transaction"]["driver"]
            )
        )
    finally:
        watch.leave()
    records = [message["record"] for message in watch.said if message["t"] == "record"]
    assert [record["n"] for record in records] == list(range(len(records)))
    beats = {beat["every"] for beat in watch.said if beat["t"] == "beat"}
    assert beats, "somebody who waits hears beats"
    facts = [message for message in watch.said if message["t"] == "facts"]
    states = list(dict.fromkeys((each["state"], each["every"]) for each in facts))
    return {
        "records": [record["t"] for record in records if record["t"] != "TICK"],
        "states": [state for state in states if state[0] not in _SOON_OVER],
        "keys": {message["t"]: sorted(message) for message in watch.said},
        "beats": beats,
        "last": plain(side, last),
    }


_SOON_OVER = ("staged", "checked", "installing")
"""States that a look each half second may miss."""


@pytest.mark.drill
def test_a_process_that_was_replaced_is_recorded_alike(sides: tuple[Side, Side]) -> None:
    said = []
    for side in sides:
        adopted(side)
        side.begin(NEW)
        side.until_healthy()
        side.restart_service(NEW.version)
        side.until(lambda facts: not facts["transaction"]["healthy"])
        side.until_healthy()
        found = [message["record"] for message in side.ask("journal", run=None).all("record")]
        said.append([{**plain(side, each), "n": 0} for each in found if each["t"] == "RESTART"])
    assert said[0] == said[1]
    assert len(said[0]) == 1


@pytest.mark.drill
def test_an_upgrade_looks_the_same_in_a_watch(sides: tuple[Side, Side]) -> None:
    real, simulated = (an_upgrade_as_it_is_watched(side) for side in sides)
    assert simulated == real


# --- what records mean --------------------------------------------------------------------------


def journals() -> Iterator[list[Mapping[str, Any]]]:
    """The journals of transactions in scenes, as far as they were at each moment."""
    for name in ("half-way", "failed", "inconsistent", "held", "ready"):
        cluster = scenes.scene(name, SimClock())
        for node in cluster.nodes.values():
            opened = [*node.disk.done.values(), *filter(None, [node.disk.active])]
            for transaction in opened:
                for length in range(1, len(transaction.records) + 1):
                    yield transaction.records[:length]


def test_records_mean_the_same_here_as_on_a_real_node() -> None:
    for found in journals():
        ours: list[Any] = []
        theirs: list[Any] = []
        for said, module in ((ours, records), (theirs, standing)):
            given: Any = found
            said += [module.decision(given), module.is_healthy(given), module.is_held(given)]
            said += [module.deadline(given), module.first_error(given)]
            said += [module.state(given, driver) for driver in (True, False)]
            said += [
                module.why_not_accept(given, now, forced)
                for now in (0.0, 1e9)
                for forced in (True, False)
            ]
            said += [module.why_not_roll_back(given), module.why_not_finalize(given)]
            said += [module.why_not_extend(given, now) for now in (0.0, 1e9)]
        assert ours == theirs, [record["t"] for record in found]
        assert records.at_rest(found) == _at_rest(cast("list[dict[str, Any]]", found))
        whole = b"".join(frame(cast("dict[str, Any]", record)) for record in found)
        assert len(scan(whole).records) == len(found), "framed and chained as the real ones"
