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
from tests.sim.sides import (
    RUN,
    RealSide,
    Side,
    SimSide,
    assert_offsets,
    plain,
    transcript,
    without_numbers,
)
from tests.support.beacon import Beacon

OLD, NEW = Beacon("1.0"), Beacon("2.0")
SICK = Beacon("3.0", sick=True)

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


def adopted(side: Side, *, in_place: bool = False) -> None:
    """The state before most stories: the old version runs, final."""
    if not in_place:
        side.put_in_place(OLD)
    about = {"run": "1119-one", "version": OLD.version, "digest": OLD.digest}
    assert side.ask("adopt", **about).outcome == "ok"


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


# --- the stories --------------------------------------------------------------------------------


def there_and_back_and_there(side: Side) -> None:
    """Never managed, adopted, upgraded, accepted, taken back, upgraded again, finalized."""
    side.put_in_place(OLD)
    assert side.look()["finalized"] is None
    shown = side.ask("adopt", "adopt preview", preview=True).all("adopted")[0]
    about = {"run": "1119-one", "version": OLD.version, "digest": shown["digest"]}
    assert side.ask("adopt", **about).outcome == "ok"
    assert side.preflight(NEW).outcome == "ok"
    assert side.install(NEW).code == "not-checked"
    side.stage(NEW)
    assert side.look()["state"] == "staged"
    side.check(NEW)
    assert side.look()["state"] == "checked"
    side.install(NEW)
    side.until_healthy()
    assert side.look()["state"] == "monitoring"
    assert side.install(SICK, run="1120-bbb").code == "upgrade-open"
    assert side.ask("finalize", run=RUN, digest=NEW.digest).code == "not-accepted"
    side.ask("accept", run=RUN, how="auto", reason="")
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.look()["state"] == "accepted"
    side.ask("rollback", run=RUN, why="we do not like it")
    followed = side.ask("journal", "journal to the end", run=RUN, offset=0, follow=True, beat=5)
    assert followed.outcome == "undone"
    assert_offsets(followed.messages)
    side.until_closed()
    assert side.look()["state"] == "rolled_back"
    assert side.ask("rollback", run=RUN, why="").code == "no-upgrade-open"
    assert side.ask("accept", run=RUN, how="auto").code == "no-upgrade-open"
    side.install(NEW)
    side.until_healthy()
    side.ask("accept", run=RUN, how="auto", reason="")
    side.until(lambda facts: not facts["transaction"]["driver"])
    side.ask("finalize", run=RUN, digest=NEW.digest)
    side.until_closed()
    assert side.look()["finalized"]["version"] == NEW.version
    side.ask("clean", preview=True, everything=False)


def said_twice(side: Side) -> None:
    """What is asked again, or of the wrong run, is answered the same."""
    side.put_in_place(OLD)
    wrong = {"run": "1119-one", "version": OLD.version, "digest": "0" * 64}
    assert side.ask("adopt", **wrong).code == "changed-meanwhile"
    adopted(side, in_place=True)
    assert side.ask("adopt", preview=True).code == "already-managed"
    side.stage(NEW)
    side.stage(NEW)
    side.check(NEW)
    side.install(NEW)
    side.until_healthy()
    side.install(NEW)
    assert side.preflight(NEW).code == "locked"
    assert side.ask("verify").code == "locked"
    assert side.ask("accept", run="1120-bbb", how="auto").code == "other-run"
    side.ask("accept", run=RUN, how="auto", reason="")
    side.ask("accept", run=RUN, how="auto", reason="")
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.ask("extend", run=RUN, seconds=60).code == "not-extendable"
    followed = side.ask("journal", run=None, offset=0, follow=True, beat=5)
    assert followed.outcome == "ok"
    assert_offsets(followed.messages)
    half = followed.all("record")[5]["offset"]
    side.ask("journal", "half a journal", run=None, offset=half)


def with_nothing_open(side: Side) -> None:
    """Everything that needs an open upgrade is refused without one."""
    side.put_in_place(OLD)
    assert side.ask("verify", "verify what nobody knows").code == "nothing-recorded"
    adopted(side, in_place=True)
    assert side.ask("accept", run=RUN, how="auto").code == "no-upgrade-open"
    assert side.ask("rollback", run=RUN, why="").code == "no-upgrade-open"
    assert side.ask("finalize", run=RUN, digest=NEW.digest).code == "no-upgrade-open"
    assert side.ask("extend", run=RUN, seconds=60).code == "no-upgrade-open"
    assert side.ask("recover").outcome == "ok"
    assert side.ask("journal", run=None, offset=0, follow=True).messages[-1]["outcome"] == "ok"
    assert side.ask("journal", run="-").all("record")[0]["record"]["t"] == "ADOPT"
    assert side.ask("clean", preview=True, everything=False).outcome == "ok"
    assert side.ask("clean", preview=True, everything=True).outcome == "ok"


def never_healthy(side: Side) -> None:
    """A release that never becomes healthy is undone by the node itself."""
    adopted(side)
    side.document["limits"]["healthy_deadline"] = 0.5
    side.begin(SICK)
    followed = side.ask("journal", run=None, offset=0, follow=True)
    assert followed.outcome == "undone"
    assert_offsets(followed.messages)
    side.until_closed()
    assert side.look()["last"]["outcome"] == "undone"
    side.ask("clean", "clean preview", preview=True, everything=False)
    side.ask("clean", "clean everything preview", preview=True, everything=True)


def to_the_end(side: Side) -> None:
    """Accepted, finalized, and every trace removed."""
    adopted(side)
    side.accept(NEW)
    assert side.ask("clean", preview=True, everything=False).code == "upgrade-open"
    assert side.ask("adopt", preview=True).code == "upgrade-open"
    assert side.stage(NEW).code == "upgrade-open"
    assert side.ask("verify", "verify what is accepted").outcome == "ok"
    assert side.ask("conflicts").outcome == "ok"
    assert side.ask("finalize", run=RUN, digest=OLD.digest).code == "other-version"
    assert side.ask("finalize", run=RUN, digest=NEW.digest).outcome == "ok"
    side.until_closed()
    assert side.look()["finalized"]["version"] == NEW.version
    assert side.ask("finalize", run=RUN, digest=NEW.digest).all("already")
    about = {"version": NEW.version, "digest": NEW.digest}
    assert side.ask("check", "check installed", scope="installed", **about).outcome == "ok"
    assert side.ask("verify").outcome == "ok"
    put_back = side.edit(NEW.version, "VERSION")
    assert side.ask("verify", "verify what was edited").code == "drift"
    put_back()
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("journal", run=RUN, offset=0)
    side.ask("clean", "clean everything", everything=True)
    assert side.look()["installed"] == [OLD.version, NEW.version]


def from_nothing(side: Side) -> None:
    """The first install, and its way back, which is to remove it."""
    assert side.look()["selected"] is None
    assert side.ask("adopt", preview=True).code == "nothing-to-adopt"
    assert side.ask("verify").code == "nothing-to-verify"
    side.accept(NEW)
    assert side.look()["running"] == NEW.version
    side.ask("rollback", run=RUN, why="no")
    side.ask("journal", run=RUN, offset=0, follow=True)
    side.until_closed()
    assert side.look()["selected"] is None


def held_and_extended(side: Side) -> None:
    """The policy is to wait for a person, who then keeps it."""
    adopted(side)
    side.document["limits"]["healthy_deadline"] = 0.4
    side.begin(SICK, on_failure="hold")
    followed = side.ask("journal", run=None, offset=0, follow=True)
    assert followed.outcome == "ok"
    side.until(lambda facts: facts["state"] == "held" and not facts["transaction"]["driver"])
    side.look()
    assert side.ask("accept", run=RUN, how="manual").code == "not-acceptable"
    assert side.ask("extend", run=RUN, seconds=1, reason="short").code == "not-later"
    assert side.ask("extend", run=RUN, seconds=60, reason="lunch").outcome == "ok"
    side.until(lambda facts: facts["state"] == "held" and not facts["transaction"]["driver"])
    assert side.ask("accept", run=RUN, how="manual", reason="it must").outcome == "ok"
    assert side.look()["state"] == "accepted"
    side.ask("journal", run=None, offset=0)


def nobody_came(side: Side) -> None:
    """The accept window ends without a decision: healthy, it is kept, as the policy says."""
    adopted(side)
    side.document["limits"] |= {"accept_window": 1.5, "healthy_deadline": 1.0}
    side.begin(NEW, if_operator_vanishes="keep_if_healthy")
    assert side.ask("journal", run=None, offset=0, follow=True).outcome == "ok"
    side.until(lambda facts: not facts["transaction"]["driver"])
    side.look()


def left_in_the_middle(side: Side) -> None:
    """The driver was killed; the next acting command first brings the node to rest."""
    adopted(side)
    side.begin(NEW)
    side.until_healthy()
    side.kill_driver()
    assert side.look()["state"] == "inconsistent"
    followed = side.ask("journal", "follow nobody", run=None, offset=0, follow=True)
    assert followed.code == "driver-gone"
    assert side.ask("accept", run=RUN, how="auto").code == "driver-gone"
    assert side.ask("rollback", run=RUN, why="").code == "no-upgrade-open"
    assert side.look()["state"] == "rolled_back"
    side.ask("journal", run=RUN, offset=0)
    side.begin(NEW)
    side.until_healthy()
    assert side.look()["transaction"]["txn"] == f"{RUN}.2"


def falls_sick(side: Side) -> None:
    """Healthy, then gone: it goes back."""
    adopted(side)
    side.document["limits"] |= {"healthy_deadline": 1.0}
    side.begin(NEW)
    side.until_healthy()
    side.kill_service()
    followed = side.ask("journal", run=None, offset=0, follow=True)
    assert followed.outcome == "undone"
    assert "UNHEALTHY" in [message["record"]["t"] for message in followed.all("record")]
    side.until_closed()
    side.look()


def edited_meanwhile(side: Side) -> None:
    """Somebody edits the old version in the trial: the way back is not proven until repaired."""
    adopted(side)
    side.begin(NEW)
    side.until_healthy()
    put_back = side.edit(OLD.version, "VERSION")
    assert side.ask("rollback", run=RUN, why="no").outcome == "ok"
    assert side.ask("journal", run=RUN, offset=0, follow=True).outcome == "unproven"
    side.until(lambda facts: facts["state"] == "inconsistent")
    assert side.look()["problem"]["code"] == "undo-unproven"
    put_back()
    assert side.ask("rollback", run=RUN, why="again").code == "no-upgrade-open"
    side.ask("journal", run=RUN, offset=0)
    assert side.look()["state"] == "rolled_back"


def installed_again(side: Side) -> None:
    """What has drifted is put right by installing it again, and taken back as it was before."""
    adopted(side)
    side.accept(NEW)
    side.ask("finalize", run=RUN, digest=NEW.digest)
    side.until_closed()
    side.edit(NEW.version, "VERSION")
    assert side.ask("verify").code == "drift"
    again = "1121-bbb"
    side.begin(NEW, again)
    side.until_healthy()
    side.ask("rollback", run=again, why="not now")
    assert side.ask("journal", run=again, offset=0, follow=True).outcome == "undone"
    side.until_closed()
    assert side.ask("verify", "verify what came back").code == "drift"
    again = "1121-ccc"
    side.accept(NEW, again)
    side.ask("finalize", run=again, digest=NEW.digest)
    side.until_closed()
    assert side.ask("verify", "verify what was repaired").outcome == "ok"
    assert side.look()["previous"]["version"] == OLD.version
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("journal", "journal of the repair", run=again, offset=0)


def adopted_as_released(side: Side) -> None:
    """What runs is held against the release that it came from, and recorded as that."""
    side.put_in_place(OLD)
    about = {"run": "1119-one", "version": OLD.version, "digest": OLD.digest, "released": True}
    nothing = side.ask("adopt", "adopt what was not staged", preview=True, released=True)
    assert nothing.code == "other-release"
    side.edit(OLD.version, "beacon.py")
    side.stage(OLD)
    assert side.ask("adopt", "look", preview=True, released=True).outcome == "ok"
    assert side.ask("adopt", **about).outcome == "ok"
    assert side.ask("verify").code == "drift"
    assert side.look()["finalized"]["digest"] == OLD.digest
    assert side.ask("adopt", "twice", preview=True, released=True).code == "already-managed"
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("clean", preview=True, everything=False)


def softly_sick(side: Side) -> None:
    """A soft check that fails undoes nothing; it is told apart from a hard one."""
    side.document["health"][0]["level"] = "soft"
    adopted(side)
    side.begin(SICK)
    side.until_healthy()
    assert side.look()["health"] == "soft_failing"
    side.ask("rollback", run=RUN, why="we do not like it")
    side.until_closed()
    assert side.look()["health"] == "healthy"


def taken_over(side: Side) -> None:
    """A person ends the updater at work by name; another one watches on."""
    adopted(side)
    about = {"run": RUN, "takeover": True, "reason": "it hangs", "operator": "bob@here"}
    assert side.ask("recover", "nothing to take over", **about).code == "no-upgrade-open"
    side.begin(NEW)
    side.until_healthy()
    assert side.ask("recover", "take over", **about).outcome == "ok"
    side.until_healthy()
    assert side.look()["state"] == "monitoring"
    assert side.ask("accept", run=RUN, how="auto", reason="").outcome == "ok"
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.ask("recover", "too late", **about).code == "nothing-to-take-over"


def no_request(side: Side) -> None:
    """What is no request is answered whole, too."""
    side.ask("dance")
    assert side.said[-1][1][-1]["problem"]["code"] == "protocol-mismatch"
    assert side.ask("clean").code == "updater-defect"
    assert side.ask("check", scope="weather").code == "updater-defect"


@pytest.mark.parametrize(
    "story",
    [
        there_and_back_and_there,
        never_healthy,
        taken_over,
        pytest.param(said_twice, marks=pytest.mark.drill),
        pytest.param(with_nothing_open, marks=pytest.mark.drill),
        pytest.param(to_the_end, marks=pytest.mark.drill),
        pytest.param(from_nothing, marks=pytest.mark.drill),
        pytest.param(held_and_extended, marks=pytest.mark.drill),
        pytest.param(nobody_came, marks=pytest.mark.drill),
        pytest.param(left_in_the_middle, marks=pytest.mark.drill),
        pytest.param(falls_sick, marks=pytest.mark.drill),
        pytest.param(edited_meanwhile, marks=pytest.mark.drill),
        pytest.param(installed_again, marks=pytest.mark.drill),
        pytest.param(adopted_as_released, marks=pytest.mark.drill),
        pytest.param(softly_sick, marks=pytest.mark.drill),
        pytest.param(no_request, marks=pytest.mark.drill),
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
