"""The terminal's side: the waiting thread asks the questions, Ctrl-C ends the work first."""

import asyncio
import os
import signal
import threading

import pytest

from app.headless.foreground import in_foreground, run


def test_a_question_is_asked_in_the_thread_that_waits_and_the_engine_goes_on_meanwhile() -> None:
    ticks = 0
    enough = threading.Event()

    def ask() -> str:
        assert enough.wait(10), "the engine stood still while a person thought"
        return threading.current_thread().name

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            if ticks > 5:
                enough.set()
            await asyncio.sleep(0.001)

    async def work() -> str:
        ticking = asyncio.get_running_loop().create_task(tick())
        try:
            return await in_foreground(ask)
        finally:
            ticking.cancel()

    assert run(work()) == threading.main_thread().name


def test_what_a_question_raises_is_raised_where_it_was_asked() -> None:
    def ask() -> None:
        raise ValueError("no terminal")

    async def work() -> str:
        with pytest.raises(ValueError, match="no terminal"):
            await in_foreground(ask)
        return "went on"

    assert run(work()) == "went on"


def test_ctrl_c_ends_the_work_which_may_say_goodbye() -> None:
    said = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            said.append("bye")

    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert said == ["bye"]


def test_ctrl_c_at_a_question_ends_the_work_too() -> None:
    said = []

    def ask() -> None:
        raise KeyboardInterrupt

    async def work() -> None:
        try:
            await in_foreground(ask)
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert said == ["cancelled"]
