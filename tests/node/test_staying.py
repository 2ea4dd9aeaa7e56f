"""An updater that stays: each question gets what it would get alone, and no other answer."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from backends.node import wire
from backends.transport.payload import pack
from tests.support.beacon import Beacon
from tests.support.interpreters import Interpreter
from tests.support.node import Node, a_node, wait_until

_ALONE = """\
import sys
from backends.node import main, wire
wire.STAY_SECONDS = {seconds}
sys.exit(main.main(b"updater"))
"""


class Staying:
    """One run of the updater, asked one thing after the other."""

    def __init__(self, node: Node, words: list[str]) -> None:
        self.node = node
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def line(self) -> dict[str, Any] | None:
        """The next message, or None at the end."""
        assert self.process.stdout is not None
        raw = self.process.stdout.readline()
        return wire.decode(raw) if raw else None

    def begin(self, command: str, **args: Any) -> None:
        request = {**self.node.request(command, **args), "stay": True}
        self.write(wire.encode(request))

    def ask(self, command: str, **args: Any) -> list[dict[str, Any]]:
        """All of an answer."""
        self.begin(command, **args)
        messages = []
        while (message := self.line()) is not None:
            messages.append(message)
            if message["t"] == "end":
                break
        return messages

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def ends(self) -> int:
        """Its exit status; it says nothing more."""
        assert self.line() is None
        return self.process.wait(timeout=10)


@contextmanager
def staying(node: Node, words: list[str] | None = None) -> Iterator[Staying]:
    """One that has received itself; nothing is left of it afterwards."""
    payload = pack()
    opened = Staying(node, words or payload.start(node.python))
    try:
        if words is None:
            opened.write(
                f"LIFTLOCK {len(payload.content)} {payload.sha256}\n".encode() + payload.content
            )
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        for stream in (opened.process.stdin, opened.process.stdout, opened.process.stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def node(tmp_path: Path, node_python: Interpreter) -> Iterator[Node]:
    with a_node(tmp_path / "node", str(node_python.path)) as made:
        made.put_in_place(Beacon("1.0"))
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Node]:
    with a_node(tmp_path / "node") as made:
        made.put_in_place(Beacon("1.0"))
        yield made


def steady(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is another value at each look."""
    return [
        {key: value for key, value in message.items() if key not in ("time", "seconds")}
        for message in messages
    ]


@pytest.mark.drill
def test_each_question_is_answered_as_if_it_were_the_only_one(node: Node) -> None:
    alone = [node.ask(command).messages for command in ("status", "journal", "status")]
    with staying(node) as opened:
        asked = [opened.ask(command) for command in ("status", "journal", "status")]
        assert [steady(each) for each in asked] == [steady(each) for each in alone]
        assert [each["t"] for each in asked[0]] == ["hello", "facts", "end"]
        assert opened.process.poll() is None
        assert opened.process.stdin is not None
        opened.process.stdin.close()
        assert opened.ends() == 0


def test_what_changed_between_two_questions_is_seen(here: Node) -> None:
    with staying(here) as opened:
        (before,) = [each for each in opened.ask("status") if each["t"] == "facts"]
        here.control("1.0", "stop")
        (after,) = [each for each in opened.ask("status") if each["t"] == "facts"]
    assert (before["service"], after["service"]) == ("started", "stopped")


def test_a_command_that_changes_something_is_the_last_one(here: Node) -> None:
    with staying(here) as opened:
        assert opened.ask("status")[-1]["outcome"] == "ok"
        assert opened.ask("recover")[-1]["t"] == "end"
        assert opened.ends() == 0


def test_what_is_no_request_is_refused_and_ends_it(here: Node) -> None:
    with staying(here) as opened:
        assert opened.ask("status")[-1]["outcome"] == "ok"
        opened.write(b'{"stay":true}\n')
        assert [opened.line(), opened.line()][1]["problem"]["code"] == "protocol-mismatch"  # type: ignore[index]
        assert opened.ends() == 0


def test_after_an_answer_that_broke_off_there_is_no_other(here: Node) -> None:
    """Its end would be taken for the end of that one."""
    with staying(here) as opened:
        assert opened.ask("status")[-1]["outcome"] == "ok"
        hang = here.top / "hang"
        here.document["health"] = [_hanging(hang)]
        opened.begin("status")
        assert (opened.line() or {})["t"] == "hello"
        wait_until(hang.exists)
        for child in opened.children():
            os.kill(child, signal.SIGKILL)
        assert opened.ends() == 1


def _hanging(mark: Path) -> dict[str, Any]:
    return {
        **{"name": "hangs", "kind": "command", "level": "hard", "timeout": 30.0},
        "command": ["sh", "-c", f"touch {mark}; exec sleep 30"],
    }


def test_it_does_not_wait_for_ever(here: Node) -> None:
    words = [sys.executable, "-c", _ALONE.format(seconds=0.2)]
    with staying(here, words) as opened:
        assert opened.ask("status")[-1]["outcome"] == "ok"
        assert opened.ends() == 0


def test_when_nobody_listens_any_more_nothing_of_it_is_left(here: Node) -> None:
    here.begin(Beacon("2.0"))
    with staying(here) as opened:
        opened.ask("status")
        opened.begin("journal", run="1120-aaa", offset=0, follow=True, beat=0.05)
        assert (opened.line() or {})["t"] == "hello"
        (child,) = opened.children()
        assert opened.process.stdin is not None
        assert opened.process.stdout is not None
        opened.process.stdin.close()
        opened.process.stdout.close()
        assert opened.process.wait(timeout=10) == 1
        assert not Path(f"/proc/{child}").exists()
