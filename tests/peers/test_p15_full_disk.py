"""The disk is full when the journal is written: what is not announced is not done."""

import errno
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.bench import Bench, attempt, run
from tests.faults.injector import Injector
from tests.faults.ledger import Ledger
from tests.faults.oracle import same
from tests.faults.planting import goes_back

NOTHING = Injector(0, "none")


def full_at(*words: bytes, then: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """From the first record with all of these words on, no record of its kind fits."""

    def plant() -> None:
        real = os.write

        def write(fd: int, data: Any) -> int:
            if all(word in bytes(data) for word in words):
                then()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(fd, data)

        os.write = write

    return plant


INTENTS = {
    "the steps": (b'"t":"INTENTS"',),
    "the backups": (b'"t":"BACKUPS"',),
    "the stop": (b'"t":"SVC"', b'"verb":"stop"'),
}


@pytest.mark.parametrize("what", INTENTS)
def test_p15_what_could_not_be_announced_is_not_begun(flat: Bench, what: str) -> None:
    """An intent that was not durable was acted upon: nobody could undo what was never said."""

    def plant() -> None:
        full_at(*INTENTS[what])()

        def stop(ledger: Ledger) -> tuple[bool, str]:
            with open(f"{ledger.values['book']}.stopped", "w"):
                return True, "stopped"

        Ledger.stop = stop  # type: ignore[method-assign]

    assert "No space left" in goes_back(flat, plant)
    assert not os.path.exists(f"{flat.book}.stopped"), "it was stopped before that was written"


DONE = {
    "a stop": (b'"t":"SVC"', b'"verb":"stopped"'),
    "a step": (b'"t":"EFFECT"',),
    "the switch": (b'"t":"TARGET"',),
    "a start": (b'"t":"SVC"', b'"verb":"started"'),
}


@pytest.mark.parametrize("what", DONE)
def test_p15_what_was_done_and_not_written_down_is_seen_and_undone(flat: Bench, what: str) -> None:
    """What was done could not be written, and counted as not done: here it is looked at anew."""
    assert "No space left" in goes_back(flat, full_at(*DONE[what]))


@pytest.mark.parametrize("what", DONE)
def test_p15_whoever_comes_after_it_was_killed_there_sees_it_too(flat: Bench, what: str) -> None:
    """The same, and the process dies as well: whoever recovers finds out what was done."""
    before = flat.product()
    flat.seed = full_at(*DONE[what], then=lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert os.WIFSIGNALED(attempt(flat, lambda: flat.install("keep_if_healthy"), NOTHING))
    flat.seed = None
    run(flat, flat.recover)
    same(flat.product(), before)
    assert (flat.decision(), flat.running()) == ("ROLLBACK", "1.0")
