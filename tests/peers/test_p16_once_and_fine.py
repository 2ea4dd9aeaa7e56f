"""What fails once and is fine again takes nothing back."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backends.domain.policy import Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import Outcome
from backends.engine import turn
from backends.engine.answer import Answer
from backends.engine.results import Result
from tests.runs.pretended import Theatre
from tests.support.beacon import Beacon
from tests.support.node import Node, settled, wait_until
from tests.support.readings import old, plan


class Moody(ThreadingHTTPServer):
    """Says what it is told to say next; with nothing left, that 2.0 is well."""

    daemon_threads = True

    def __init__(self) -> None:
        self.next: list[str] = []
        self.said: list[str] = []
        self.hurried = threading.Event()
        super().__init__(("127.0.0.1", 0), _Answers)


class _Answers(BaseHTTPRequestHandler):
    server: Moody

    def do_GET(self) -> None:
        mood = self.server.next.pop(0) if self.server.next else "well"
        self.server.said.append(mood)
        if mood == "silence":
            self.server.hurried.wait(20)
        if mood in ("silence", "end"):
            return  # the connection ends without a word
        body = json.dumps({"version": "2.0"}).encode()
        self.send_response(429 if mood == "429" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests are quiet."""


@pytest.fixture
def moody() -> Iterator[Moody]:
    server = Moody()
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.hurried.set()
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.drill
@pytest.mark.parametrize("mood", ["429", "end", "silence"])
def test_p16_a_check_that_fails_once_undoes_nothing(node: Node, moody: Moody, mood: str) -> None:
    """One 429, one connection that ended, one that was silent: each led to an undo elsewhere."""
    check = node.document["health"][0]
    check.update(url=f"http://127.0.0.1:{moody.server_port}/health", timeout=0.2)
    moody.next = [mood]
    node.begin(Beacon("2.0"))
    for times in (1, 2):  # before it was ever healthy, and when it was
        wait_until(lambda times=times: moody.said.count(mood) == times)
        node.wait_for(settled)
        moody.next = [mood] if times == 1 else []
    assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"
    kinds = [record["t"] for record in node.records()]
    assert "ROLLBACK" not in kinds
    assert kinds.count("UNHEALTHY") == 1
    assert node.facts()["running"] == "2.0"


@pytest.mark.parametrize("heard", [Outcome.TIMED_OUT, Outcome.UNREACHABLE, Outcome.FAILED])
async def test_p16_an_accept_that_is_not_heard_once_is_said_again(
    theatre: Callable[..., Theatre], monkeypatch: pytest.MonkeyPatch, heard: Outcome
) -> None:
    """The operator's side gave up at the first answer that did not come, and went back."""
    monkeypatch.setattr(turn, "_BETWEEN_TRIES_SECONDS", 0.0)
    here = theatre(old("n1"))
    node = here.nodes["n1"]
    accept, lost = node.accept, [Answer(heard, Problem("lost", "n1: no word"), ())]

    async def once_unheard(*args: str, **other: str) -> Answer:
        if lost:
            here.said.append("accept n1, unheard")
            return lost.pop()
        return await accept(*args, **other)

    node.accept = once_unheard  # type: ignore[method-assign]
    outcome = await here.carries_out(plan("n1", policy=Policy()))
    assert [each.result for each in outcome.nodes] == [Result.ACCEPTED]
    assert outcome.exit is Exit.OK
    assert here.said[-2:] == ["accept n1, unheard", "accept n1"]
