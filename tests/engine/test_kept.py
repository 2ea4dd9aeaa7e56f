"""One updater answers what is asked of a node, one question after the other; nothing is lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backends.domain.policy import Limits
from backends.domain.states import Outcome, Unreachable
from backends.engine import kept
from backends.engine.contact import Contact, Subject
from backends.transport.link import Channel, Link
from backends.transport.local import LocalLink
from backends.transport.payload import pack
from tests.support.beacon import Beacon
from tests.support.node import Node, a_node, wait_until


class Counted(LocalLink):
    """This machine, and the processes that were started on it."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.processes: list[Any] = []
        self.logins = 0

    def fresh(self) -> Link:
        self.logins += 1
        return super().fresh()

    def open(self, argv: list[str]) -> AbstractAsyncContextManager[Channel]:
        return self._counted(super().open(argv))

    @asynccontextmanager
    async def _counted(
        self, opening: AbstractAsyncContextManager[Channel]
    ) -> AsyncIterator[Channel]:
        async with opening as channel:
            self.processes.append(channel._process)  # type: ignore[attr-defined]
            yield channel

    @property
    def alive(self) -> int:
        """How many of them run."""
        return sum(process.returncode is None for process in self.processes)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with a_node(tmp_path / "node") as made:
        made.put_in_place(Beacon("1.0"))
        yield made


def hanging(mark: Path) -> list[dict[str, Any]]:
    """Health that says that it is looked at, and nothing more."""
    words = ["sh", "-c", f"touch {mark}; exec sleep 30"]
    about = {"name": "hangs", "kind": "command", "level": "hard", "timeout": 1.0}
    return [{**about, "command": words}]


class Asked:
    """A contact with a node, and the link below it."""

    def __init__(self, node: Node) -> None:
        self.link = Counted("n1")
        self.document = node.document
        subject = Subject(
            node="n1",
            role="",
            address="local",
            canary=False,
            excluded=None,
            document=self.document,
            state_dir=str(node.state),
            python=sys.executable,
        )
        self.contact = Contact(subject, self.link, pack(), Limits(), "ann@jump")

    async def read(self) -> str:
        reading = await self.contact.read()
        assert reading.facts is not None, reading.problem
        return str(reading.facts.running)

    @property
    def started(self) -> int:
        return len(self.link.processes)


@pytest.fixture
async def asked(node: Node) -> AsyncIterator[Asked]:
    made = Asked(node)
    yield made
    await made.contact.close()
    assert made.link.alive == 0


async def test_one_updater_answers_all_questions(asked: Asked) -> None:
    for _ in range(4):
        assert await asked.read() == "1.0"
    assert (await asked.contact.rows("preflight", lambda row: None)).messages
    assert (await asked.contact.journal("1119-one", lambda record: None)).has_end
    assert (asked.started, asked.link.alive) == (1, 1)


async def test_questions_at_once_do_not_wait_for_one_another(asked: Asked) -> None:
    await asyncio.gather(*(asked.read() for _ in range(3)))
    assert asked.started == 3
    await asked.read()
    assert (asked.started, asked.link.alive) == (3, 1)


async def test_what_changes_something_has_an_updater_of_its_own(asked: Asked) -> None:
    await asked.read()
    assert (await asked.contact.ask("recover")).outcome is Outcome.OK
    assert asked.started == 2
    await asked.read()
    assert asked.started == 2


async def test_an_accept_goes_over_a_login_of_its_own(asked: Asked) -> None:
    await asked.read()
    await asked.contact.accept("1120-aaa", "auto")
    assert (asked.started, asked.link.logins) == (1, 1)


async def test_one_that_is_gone_is_replaced(asked: Asked) -> None:
    await asked.read()
    asked.link.processes[0].kill()
    await asked.link.processes[0].wait()
    assert await asked.read() == "1.0"
    assert asked.started == 2


async def test_one_that_goes_before_its_first_word_is_asked_again(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asked.read()
    (channel_process,) = asked.link.processes
    taken = kept.Kept.take

    async def take(self: kept.Kept, stack: Any) -> Channel | None:
        channel = await taken(self, stack)
        channel_process.kill()  # and nobody knows it yet
        return channel

    monkeypatch.setattr(kept.Kept, "take", take)
    assert await asked.read() == "1.0"
    assert asked.started == 2


async def test_an_answer_that_broke_off_is_not_begun_again(asked: Asked, node: Node) -> None:
    """What was told is not told twice; and what came of it is unknown."""
    await asked.read()
    hang = node.top / "hang"
    asked.document["health"] = hanging(hang)
    reading = asyncio.get_running_loop().create_task(asked.contact.read())
    await asyncio.to_thread(wait_until, hang.exists)
    pid = asked.link.processes[0].pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    found = await reading
    assert found.unreachable is Unreachable.PROTOCOL
    assert found.problem is not None
    assert found.problem.code == "no-end"
    assert asked.started == 1


async def test_one_that_would_go_while_it_is_asked_is_not_asked(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asked.read()
    monkeypatch.setattr(kept, "_FRESH_SECONDS", 0.0)
    await asked.read()
    assert (asked.started, asked.link.alive) == (2, 1)


async def test_whoever_gives_up_leaves_no_half_answer_for_the_next(
    asked: Asked, node: Node
) -> None:
    await asked.read()
    hang = node.top / "hang"
    healthy = asked.document["health"]
    asked.document["health"] = hanging(hang)
    reading = asyncio.get_running_loop().create_task(asked.contact.read())
    await asyncio.to_thread(wait_until, hang.exists)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    asked.document["health"] = healthy
    assert await asked.read() == "1.0"
    assert (asked.started, asked.link.alive) == (2, 1)
