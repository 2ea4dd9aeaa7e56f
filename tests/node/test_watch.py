"""One look that stays: a line on change, a heart beat otherwise, and nothing is ever written."""

import os
import select
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from backends.node import wire
from tests.support.beacon import Beacon
from tests.support.node import Node, picture, settled, wait_until

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
    watches.append(Watch(node, **{"beat": 0.3, "slow": 0.5, **args}))
    return watches[-1]


def test_a_change_is_told_and_nothing_else_but_beats(node: Node, watches: list[Watch]) -> None:
    watch = start(watches, node)
    assert watch.next()["t"] == "hello"
    first = watch.next()
    assert (first["t"], first["running"], first["state"]) == ("facts", "1.0", "idle")
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


# --- following a journal ------------------------------------------------------------------------


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


def test_a_follower_is_told_when_the_driver_died(node: Node, watches: list[Watch]) -> None:
    node.begin(Beacon("2.0"))
    watches.append(Watch(node, "journal", follow=True, offset=0, run=None))
    watches[-1].until("record")
    node.wait_for(settled)
    node.kill_drivers()
    end = watches[-1].until("end")
    assert (end["outcome"], end["problem"]["code"]) == ("failed", "driver-gone")


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
