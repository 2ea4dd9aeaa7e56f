"""The engine's thread: work goes in, results and ends come out, nothing is left running."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from backends.engine.core import Core


def test_work_runs_in_a_thread_of_its_own_and_its_result_comes_back() -> None:
    async def work() -> str:
        return threading.current_thread().name

    with Core() as core:
        assert core.submit(work()).result() == "engine"


def test_what_work_raises_is_raised_to_whoever_asks() -> None:
    async def work() -> None:
        raise ValueError("no")

    with Core() as core, pytest.raises(ValueError, match="no"):
        core.submit(work()).result()


def test_cancelled_work_may_still_say_what_goes_on_without_it() -> None:
    said = []
    begun = threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            said.append("bye")

    with Core() as core:
        running = core.submit(work())
        begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            running.result()
        assert said == ["bye"]


def test_leaving_ends_all_that_runs_and_the_thread() -> None:
    ended = threading.Event()
    begun = threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            ended.set()

    with Core() as core:
        running = core.submit(work())
        begun.wait()
    assert ended.is_set()
    with pytest.raises(asyncio.CancelledError):
        running.result()
    assert "engine" not in {thread.name for thread in threading.enumerate()}


def test_an_observer_is_told_of_the_end_once_also_when_it_comes_late() -> None:
    told = []

    async def work() -> None:
        return

    with Core() as core:
        running = core.submit(work())
        running.result()
        running.when_done(lambda: told.append("late"))
    assert told == ["late"]


def test_context_of_the_caller_goes_with_the_work() -> None:
    word: ContextVar[str] = ContextVar("word", default="none")
    word.set("mine")

    async def work() -> str:
        return word.get()

    with Core() as core:
        assert core.submit(work()).result() == "mine"
