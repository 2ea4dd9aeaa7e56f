"""A broken, silent or hostile node: every answer is what it is, and nothing reads as ok."""

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from backends.domain.policy import Limits
from backends.domain.states import Outcome, Unreachable
from backends.engine import flow
from backends.engine.contact import Answer, Contact, Subject
from backends.transport.local import LocalLink
from backends.transport.payload import pack
from tests.support import beacon

HELLO = '{"t":"hello","protocol":1,"schema":"liftlock.node/1"}'
ROW = '{"t":"row","name":"x","result":"ok","evidence":""}'
RECORD = '{"t":"record","offset":1,"record":{"t":"EFFECT"}}'
BEAT = '{"t":"beat","every":1.0,"looked":0.0}'
END = '{"t":"end","outcome":"ok","problem":null}'

HEARS = f"head -c {len(pack().content) - 5000} >/dev/null"
"""Takes most of what it is sent, as the updater does, and then goes its own way."""


def answers(*lines: str) -> str:
    """Shell that hears the question and says these lines."""
    return "; ".join([HEARS, *(f"echo '{line}'" for line in lines)])


LIMITS = Limits(install_step_seconds=2, operator_request_seconds=1, node_request_seconds=0.2)


class Stranger:
    """A node whose `python3` is a script of ours."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "python3"
        self.document = beacon.document(str(folder / "opt"), 1, str(folder / "lease"))
        self.document["health"] = []

    def says(self, shell: str) -> Contact:
        """A contact with a node that runs these lines of shell instead of the updater."""
        self.script.write_text(f"#!/bin/sh\n{shell}\n")
        self.script.chmod(0o755)
        return self.contact(str(self.script))

    def contact(self, python: str) -> Contact:
        """A contact with this machine and the given interpreter."""
        subject = Subject(
            node="n1",
            role="",
            address="local",
            canary=False,
            excluded=None,
            document=self.document,
            state_dir=str(self.script.parent / "state"),
            python=python,
        )
        return Contact(subject, LocalLink("n1"), pack(), LIMITS, "ann@jump")


@pytest.fixture
def node(tmp_path: Path) -> Stranger:
    """A node that can be made to say anything."""
    return Stranger(tmp_path)


def code(answer: Answer) -> str:
    """The problem's code."""
    assert answer.problem is not None
    return answer.problem.code


async def test_the_real_updater_answers(node: Stranger) -> None:
    answer = await node.contact(sys.executable).ask("status")
    assert answer.outcome is Outcome.OK
    assert answer.all("facts")[0]["running"] is None


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        (HEARS, "no-end"),
        ("exit 0", "no-end"),
        (answers(HELLO), "no-end"),
        (answers(HELLO) + "; kill -9 $$", "no-end"),
        (answers("Welcome to n1!", END), "protocol-mismatch"),
        (answers('{"t":"hello","protocol":99}', END), "protocol-mismatch"),
        (answers('{"t":"end","outcome":"fine","problem":null}'), "protocol-mismatch"),
        (answers('{"t":"end","t":"end","outcome":"ok"}'), "protocol-mismatch"),
        (answers("[" * 2000), "protocol-mismatch"),
        (HEARS + "; printf '\\377\\376\\n'", "protocol-mismatch"),
        (HEARS + "; head -c 3000000 /dev/zero | tr '\\0' x", "output-limit"),
        ("exit 127", "no-python"),
    ],
)
async def test_an_answer_without_its_end_is_unknown_never_ok(
    node: Stranger, shell: str, expected: str
) -> None:
    # What makes no sense ends the talk at once: else the shell might end before it heard it all.
    stays = "; cat >/dev/null" if expected == "protocol-mismatch" else ""
    answer = await node.says(shell + stays).ask("status")
    assert answer.outcome is Outcome.UNREACHABLE
    assert code(answer) == expected


@pytest.mark.drill
async def test_p15_a_node_that_says_nothing_ends_at_the_limit(node: Stranger) -> None:
    answer = await node.says("sleep 60").ask("status", seconds=0.5)
    assert (answer.outcome, code(answer)) == (Outcome.TIMED_OUT, "timeout")


async def test_row_67_endless_standard_error_ends_at_its_limit(node: Stranger) -> None:
    answer = await node.says(f"{answers(HELLO)}; yes trouble >&2").ask("status")
    assert (answer.outcome, code(answer)) == (Outcome.UNREACHABLE, "output-limit")


async def test_row_67_an_answer_without_end_is_not_kept(node: Stranger) -> None:
    shell = f"{answers(HELLO)}; yes '{ROW}'"
    answer = await node.says(shell).ask("check", seconds=30)
    assert (answer.outcome, code(answer)) == (Outcome.UNREACHABLE, "output-limit")
    assert not answer.messages


async def test_row_67_a_journal_without_end_is_refused_at_its_limit(
    node: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "JOURNAL_BYTES", 100_000)
    told: list[object] = []
    answer = await node.says(f"{answers(HELLO)}; yes '{RECORD}'").journal("r1", told.append)
    assert (answer.outcome, code(answer)) == (Outcome.UNREACHABLE, "output-limit")
    assert 100 < len(told) < 100_000 / len(RECORD)


async def test_p11_who_talks_without_end_is_heard_at_a_rate(
    node: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "WATCH_BURST_BYTES", 100_000)
    monkeypatch.setattr(flow, "WATCH_BYTES_PER_SECOND", 100_000)
    heard: list[str] = []
    shell = f"{answers(HELLO)}; yes '{BEAT}'"
    watching = asyncio.create_task(node.says(shell).watch(lambda seen: heard.append(seen.name)))
    turns = 0
    give_up = time.monotonic() + 1.5
    while time.monotonic() < give_up:
        await asyncio.sleep(0)  # others have their turn meanwhile
        turns += 1
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert 0 < len(heard) < 700
    assert turns > 1_000


async def test_row_64_what_a_node_says_cannot_drive_the_terminal(node: Stranger) -> None:
    problem = (
        '{"code":"x\\u001b]0;t\\u0007","summary":"a\\u001b[2Jb\\u202ec",'
        '"evidence":"\\u009b1m\\nok","advice":"\\u0000"}'
    )
    end = f'{{"t":"end","outcome":"refused","problem":{problem}}}'
    reading = await node.says(f"{answers(HELLO)}; printf '%s\\n' '{end}'").read()
    found = reading.problem
    assert found is not None
    text = found.code + found.summary + found.evidence + found.advice
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
    assert "a^[[2Jb\\u202ec" in found.summary


async def test_facts_that_make_no_sense_are_a_reading_that_failed(node: Stranger) -> None:
    facts = '{"t":"facts","state":"splendid"}'
    reading = await node.says(answers(HELLO, facts, END)).read()
    assert not reading.read
    assert reading.facts is None
    assert reading.unreachable is Unreachable.PROTOCOL


async def test_no_python_is_told_from_other_trouble(node: Stranger) -> None:
    reading = await node.contact("/no/such/python3").read()
    assert reading.unreachable is Unreachable.NO_PYTHON
    assert reading.problem is not None
    assert "Python 3.6" in reading.problem.advice


async def test_an_interpreter_with_a_quote_in_its_name_is_one_word(
    node: Stranger, tmp_path: Path
) -> None:
    """Row 70: nothing from a file becomes shell."""
    reading = await node.contact(f"'; touch {tmp_path}/pwned; '").read()
    assert not reading.read
    assert not (tmp_path / "pwned").exists()
