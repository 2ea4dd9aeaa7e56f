"""One look that stays: a line on change, a heart beat otherwise, and nothing is ever written."""

import os
import select
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backends.node import wire
from backends.node.facts import Reader
from backends.node.places import Places
from backends.node.watch import Voice
from tests.support import beacon
from tests.support.beacon import Beacon
from tests.support.interpreters import Interpreter, node_pythons
from tests.support.node import Node, a_node, picture, settled, wait_until, within

RUN = "1120-aaa"


class Watch:
    """The watch command, read line by line."""

    def __init__(self, node: Node, command: str = "watch", **args: Any) -> None:
        self.process = node.start(command, **args)
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        self._read = b""

    def next(self, seconds: float = 20) -> dict[str, Any]:
        """The next message."""
        message = self.within(seconds)
        assert message is not None, "nothing came"
        return message

    def within(self, seconds: float) -> dict[str, Any] | None:
        """The next message, or None when none comes so soon."""
        while b"\n" not in self._read:
            if not select.select([self._out], [], [], seconds)[0]:
                return None
            piece = os.read(self._out, 65536)
            assert piece, "it ended"
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return wire.decode(line + b"\n")

    def until(self, kind: str) -> dict[str, Any]:
        """The next message of a kind."""
        while True:
            message = self.next()
            if message["t"] == kind:
                return message

    def close(self) -> None:
        """Hang up."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    made: list[Watch] = []
    yield made
    for watch in made:
        watch.close()
        watch.process.kill()
        watch.process.wait()


def start(watches: list[Watch], node: Node, **args: Any) -> Watch:
    watches.append(Watch(node, **{"beat": 0.3, "slow": 0.5, "verify_every": 3600, **args}))
    return watches[-1]


@pytest.mark.drill
def test_a_change_is_told_and_nothing_else_but_beats(node: Node, watches: list[Watch]) -> None:
    watch = start(watches, node)
    assert watch.next()["t"] == "hello"
    first = watch.until("facts")
    assert (first["running"], first["state"], first["every"]) == ("1.0", "idle", 0.3)
    assert [watch.next()["t"] for _ in range(2)] == ["beat", "beat"]
    (node.home / "disabled").write_text("closed for today")
    assert watch.until("facts")["state"] == "disabled"
    (node.home / "disabled").unlink()
    assert watch.until("facts")["state"] == "idle"
    os.kill(int(first["pid"]), signal.SIGKILL)
    assert watch.until("facts")["service"] == "stopped"


def test_p9_a_watch_writes_nothing(node: Node, watches: list[Watch]) -> None:
    before = picture(node.top)
    watch = start(watches, node)
    for _ in range(2):
        watch.until("beat")
    after = picture(node.top)
    assert after == before


def test_a_watch_of_a_bare_node_leaves_not_a_single_file(bare: Node, watches: list[Watch]) -> None:
    watch = start(watches, bare)
    assert watch.until("facts")["selected"] is None
    watch.until("beat")
    assert set(picture(bare.top)) == set()


def test_a_watch_ends_soon_after_nobody_reads(node: Node, watches: list[Watch]) -> None:
    watch = start(watches, node)
    watch.until("facts")
    watch.close()
    began = time.monotonic()
    wait_until(lambda: watch.process.poll() is not None)
    assert time.monotonic() - began < 3


@pytest.mark.drill
def test_records_of_an_upgrade_arrive_in_order_while_it_runs(
    node: Node, watches: list[Watch]
) -> None:
    watch = start(watches, node)
    watch.until("facts")
    node.begin(Beacon("2.0"))
    seen = []
    while "HEALTHY" not in [record["t"] for record in seen]:
        seen.append(watch.until("record")["record"])
    assert [record["n"] for record in seen] == list(range(len(seen)))
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"
    while watch.until("facts")["state"] != "accepted":
        continue


@pytest.mark.drill
def test_row_32_a_watch_of_a_damaged_journal_says_so_and_goes_on(
    node: Node, watches: list[Watch]
) -> None:
    node.accepted(Beacon("2.0"))
    journal = node.home / "active" / "journal"
    content = bytearray(journal.read_bytes())
    content[100] ^= 1
    journal.write_bytes(content)
    watch = start(watches, node)
    assert watch.until("facts")["problem"]["code"] == "journal-damaged"
    for _ in range(2):
        watch.until("beat")
    opened = [os.readlink(fd.path) for fd in os.scandir(f"/proc/{python_of(watch)}/fd")]
    assert not [name for name in opened if name.endswith("/journal")]


def python_of(watch: Watch) -> int:
    """The updater itself: `sh` became it."""
    return watch.process.pid


# --- the heart beat -----------------------------------------------------------------------------


def hanging(node: Node, watches: list[Watch], seconds: float, **args: Any) -> Watch:
    """A watch, and only a watch, of which every slow look takes so long."""
    check = {"name": "slow", "kind": "command", "level": "hard", "timeout": 50.0}
    node.document["health"].append({**check, "command": ["sleep", str(seconds)]})
    try:
        return start(watches, node, **args)
    finally:
        node.document["health"].pop()


def gaps(watch: Watch, count: int) -> tuple[list[float], list[dict[str, Any]]]:
    """So many beats in a row, and the seconds before each but the first."""
    beats, times = [], []
    for _ in range(count):
        beats.append(watch.until("beat"))
        times.append(time.monotonic())
    return [after - before for before, after in pairwise(times)], beats


@pytest.mark.drill
def test_it_beats_fast_while_a_trial_runs_and_slowly_otherwise(
    node: Node, watches: list[Watch]
) -> None:
    watch = start(watches, node, beat=3, busy_beat=0.2)
    assert watch.until("facts")["every"] == 3
    node.begin(Beacon("2.0"))
    while (facts := watch.until("facts"))["state"] != "monitoring" or facts["every"] != 0.2:
        continue
    waited, beats = gaps(watch, 6)
    assert max(waited) < 1.5
    assert {beat["every"] for beat in beats} == {0.2}
    node.wait_for(settled)
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"
    while (last := watch.until("facts"))["state"] != "accepted":
        continue
    while (message := watch.within(2.0)) is not None:
        last = message
    assert last.get("every") == 3, "it is slow again, and has said so"
    assert watch.next(3)["t"] == "beat"


@pytest.mark.drill
def test_a_first_install_is_told_within_a_moment_though_its_facts_hang(
    node: Node, watches: list[Watch]
) -> None:
    watch = hanging(node, watches, 40, beat=30, busy_beat=0.2)
    assert watch.next()["t"] == "hello"
    assert watch.within(1.0) is None, "idle, and nothing was read yet"
    node.begin(Beacon("2.0"))
    beat = watch.next(3)
    assert (beat["t"], beat["every"], beat["looked"]) == ("beat", 0.2, None)
    waited, _ = gaps(watch, 4)
    assert max(waited) < 1.5


def beats_through_a_hanging_check(node: Node, watches: list[Watch], seconds: float) -> None:
    watch = hanging(node, watches, seconds, beat=0.2, slow=0.1)
    watch.until("facts")
    waited, beats = gaps(watch, int(seconds / 0.2))
    assert max(waited) < 1.0
    ages = [float(beat["looked"]) for beat in beats]
    assert max(ages) > seconds / 2
    assert all(age == round(age, 3) for age in ages)
    newer = sum(after < before for before, after in pairwise(ages))
    assert newer <= 2, "it grows until a look has ended"


@pytest.mark.drill
def test_it_beats_while_a_check_hangs_on_the_oldest_python(
    tmp_path: Path, watches: list[Watch]
) -> None:
    with a_node(tmp_path / "node", str(node_pythons()[0].path)) as node:
        node.put_in_place(Beacon("1.0"))
        beats_through_a_hanging_check(node, watches, 1.5)
        ends_while_a_check_hangs(node, watches, beat=0.05)


@pytest.mark.drill
def test_it_beats_while_a_check_hangs_on_every_python(
    tmp_path: Path, watches: list[Watch], node_python: Interpreter
) -> None:
    with a_node(tmp_path / "node", str(node_python.path)) as node:
        node.put_in_place(Beacon("1.0"))
        beats_through_a_hanging_check(node, watches, 5)
        ends_while_a_check_hangs(node, watches, beat=0.05)
        ends_while_a_check_hangs(node, watches, beat=30)


def ends_while_a_check_hangs(node: Node, watches: list[Watch], beat: float) -> None:
    """Soon, silently, and with the command that it waited for."""
    watch = hanging(node, watches, 47.11, beat=beat)
    wait_until(lambda: sleepers(node))
    assert watch.process.stdout is not None
    assert watch.process.stderr is not None
    watch.process.stdout.close()
    began = time.monotonic()
    assert watch.process.stderr.read() == b""
    assert watch.process.wait(10) == 1
    assert time.monotonic() - began < 3
    wait_until(lambda: not sleepers(node), 2)


def sleepers(node: Node) -> list[int]:
    """Checks that hang."""
    return [pid for pid in within(node.top) if b"47.11" in words(pid)]


def words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


@pytest.mark.parametrize("beat", [0.05, 30])
def test_it_ends_soon_after_nobody_reads_also_while_a_check_hangs(
    node: Node, watches: list[Watch], beat: float
) -> None:
    ends_while_a_check_hangs(node, watches, beat)


@pytest.mark.drill
def test_a_hanging_watch_writes_nothing(node: Node, watches: list[Watch]) -> None:
    before = picture(node.top)
    watch = hanging(node, watches, 1, beat=0.1, slow=0.1)
    watch.until("facts")
    gaps(watch, 8)
    watch.close()
    assert watch.process.wait(10) == 1
    assert picture(node.top) == before


@pytest.mark.drill
def test_lines_are_whole_also_when_everything_is_said_at_once(
    node: Node, watches: list[Watch]
) -> None:
    watch = start(watches, node, beat=0.001, busy_beat=0.001, slow=0.001)
    node.begin(Beacon("2.0"))
    seen = [watch.next()["t"] for _ in range(300)]  # `next` reads strictly
    while "record" not in seen:  # one that never comes ends with the test's time
        seen.append(watch.next()["t"])
    assert {"hello", "facts", "record", "beat"} == set(seen)


def test_nothing_is_said_while_something_is_said(tmp_path: Path) -> None:
    said, speaking, torn = [], [], []

    def send(message: dict[str, Any]) -> None:
        torn.extend(speaking)
        speaking.append(message)
        time.sleep(0.002)
        speaking.clear()
        said.append(message["t"])

    places = Places(str(tmp_path), "beacon", str(tmp_path / "opt"))
    reader = Reader(places, beacon.document(places.directory, 1, "-"))
    with Voice(reader, {"beat": 0.001}, send) as voice:
        for _ in range(100):
            time.sleep(0.003)
            voice.say({"t": "record"})
            voice.say_in_time({"t": "facts"})
    count = len(said)
    assert (torn, said.count("record"), said.count("facts")) == ([], 100, 100)
    assert "beat" in said
    time.sleep(0.05)
    assert len(said) == count, "it is silent when its context is left"


# --- following a journal ------------------------------------------------------------------------


@pytest.mark.drill
def test_a_followed_journal_ends_with_the_outcome(node: Node, watches: list[Watch]) -> None:
    node.document["limits"]["healthy_deadline"] = 0.5
    node.begin(Beacon("2.0", sick=True))
    watches.append(Watch(node, "journal", follow=True, offset=0, run=None))
    messages = [watches[-1].next()]
    while messages[-1]["t"] != "end":
        messages.append(watches[-1].next())
    assert messages[-1]["outcome"] == "undone"
    records = [message["record"] for message in messages if message["t"] == "record"]
    assert records[-1]["t"] == "END"
    assert [record["n"] for record in records] == list(range(len(records)))
    half = messages[len(messages) // 2]["offset"]
    rest = node.ask("journal", run=RUN, offset=half).all("record")
    assert [message["record"] for message in rest] == [
        message["record"]
        for message in messages
        if message["t"] == "record" and message["offset"] > half
    ]


@pytest.mark.drill
def test_a_follower_is_told_when_the_driver_died(node: Node, watches: list[Watch]) -> None:
    node.begin(Beacon("2.0"))
    watches.append(Watch(node, "journal", follow=True, offset=0, run=None))
    watches[-1].until("record")
    node.wait_for(settled)
    node.kill_drivers()
    end = watches[-1].until("end")
    assert (end["outcome"], end["problem"]["code"]) == ("failed", "driver-gone")


@pytest.mark.drill
def test_who_follows_hears_a_beat_while_nothing_is_written(
    node: Node, watches: list[Watch]
) -> None:
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    watches.append(Watch(node, "journal", follow=True, offset=0, run=None, beat=0.2))
    watch = watches[-1]
    watch.until("record")
    assert [watch.until("beat")["t"] for _ in range(3)] == ["beat"] * 3
    watches.append(Watch(node, "journal", follow=True, offset=0, run=None))
    silent = watches[-1]
    silent.until("record")
    enough = time.monotonic() + 1.0
    while (left := enough - time.monotonic()) > 0:
        message = silent.within(left)
        assert message is None or message["t"] == "record", "who asked for no beat gets none"


def test_the_product_has_a_journal_of_its_own(node: Node) -> None:
    kinds = [message["record"]["t"] for message in node.ask("journal", run="-").all("record")]
    assert kinds == ["ADOPT"]
    assert node.ask("journal", run="no-such-run").all("record") == []
