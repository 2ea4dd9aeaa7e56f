"""The updater is killed behind each record, when what it says is begun may not be done yet."""

import os
import signal
from typing import Any

import pytest

from backends.node.journal import Journal
from tests.faults.bench import Bench, attempt, run
from tests.faults.injector import Injector
from tests.faults.oracle import Oracle, same
from tests.faults.sweeps import PHASES

NOTHING = Injector(0, "none")


class _Killed:
    """Ends the process behind its k-th record, which is in the file then."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self) -> None:
        real = Journal._write

        def write(journal: Journal, *args: Any) -> None:
            real(journal, *args)
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        Journal._write = write  # type: ignore[method-assign]


def _records(bench: Bench, phase: str) -> int:
    """How many records a phase appends."""
    template, work = PHASES[phase]
    bench.reset(template)
    before = len(bench.opened().records) if template == "accepted" else 0
    run(bench, lambda: work(bench))
    if phase == "install":
        return len(bench.opened().records)
    (name,) = os.listdir(bench.places.done)
    book = Journal(os.path.join(bench.places.done, name, "journal"))
    book.close()
    return len(book.records) - before


def _killed_at(bench: Bench, phase: str, at: int) -> int:
    """A phase that is killed behind one of its records; its wait status."""
    template, work = PHASES[phase]
    bench.reset(template)
    bench.seed = _Killed(at)
    status = attempt(bench, lambda: work(bench), NOTHING)
    bench.seed = None
    return status


@pytest.mark.drill
@pytest.mark.parametrize("phase", PHASES)
def test_p04_killed_behind_each_record_the_node_comes_to_rest(flat: Bench, phase: str) -> None:
    """BindPlane: what was begun was kept in memory, and forgotten with the process."""
    oracle = Oracle(flat)
    count = _records(flat, phase)
    assert count >= 2
    for at in range(count):
        status = _killed_at(flat, phase, at)
        assert os.WIFSIGNALED(status), f"record {at} of {count} was never written"
        run(flat, flat.recover)
        oracle.judge()


def test_p04_killed_between_the_word_and_the_deed_of_the_switch_the_old_version_is_back(
    flat: Bench,
) -> None:
    """BindPlane: a short one of the test before; the stop is announced, and then nothing."""
    before = flat.product()
    assert os.WIFSIGNALED(_killed_at(flat, "install", _first(flat, "SVC")))
    assert flat.running() == "1.0", "it was announced, and not done"
    run(flat, flat.recover)
    same(flat.product(), before)
    assert (flat.decision(), flat.running()) == ("ROLLBACK", "1.0")


def test_p04_an_undo_that_is_killed_again_and_again_comes_to_its_end(flat: Bench) -> None:
    """BindPlane: the way back may be killed, and so may whoever takes it up."""
    before = flat.product()
    assert os.WIFSIGNALED(_killed_at(flat, "rollback", 3))
    for at in (0, 1):
        flat.seed = _Killed(at)
        assert os.WIFSIGNALED(attempt(flat, flat.recover, NOTHING))
    flat.seed = None
    run(flat, flat.recover)
    same(flat.product(), before)
    assert (flat.decision(), flat.running()) == ("ROLLBACK", "1.0")


def _first(bench: Bench, kind: str) -> int:
    """The number of an install's first record of this kind."""
    bench.reset("accepted")
    return next(each["n"] for each in bench.opened().records if each["t"] == kind)
