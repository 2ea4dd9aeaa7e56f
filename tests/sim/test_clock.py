"""The clock stands still, or runs; either way everybody finds the time of their own deadline."""

import asyncio

import pytest

from backends.sim.clock import START, SimClock
from backends.sim.routine import Routine, Steps


def test_a_clock_stands_still_until_told() -> None:
    clock = SimClock()
    assert clock.now() == clock.now() == START
    clock.wind(2.5)
    assert clock.now() == START + 2.5
    with pytest.raises(ValueError, match="back"):
        clock.wind(-1)


def test_calls_come_in_the_order_of_their_deadlines_each_at_its_own_time() -> None:
    clock, seen = SimClock(), []
    for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("late", 9.0)):
        clock.call_after(seconds, lambda name=name: seen.append((name, clock.now() - START)))
    clock.call_after(2.0, lambda: seen.append(("never", 0.0))).cancel()
    clock.wind(5)
    assert seen == [("a", 1.0), ("b", 1.0), ("c", 3.0)]
    assert clock.now() == START + 5


def test_a_call_may_order_another_one_that_is_due_in_the_same_time() -> None:
    clock, seen = SimClock(), []

    def again() -> None:
        seen.append(clock.now() - START)
        if len(seen) < 4:
            clock.call_after(0.5, again)

    clock.call_after(0.5, again)
    clock.wind(10)
    assert seen == [0.5, 1.0, 1.5, 2.0]


async def test_sleepers_wake_in_the_order_of_their_deadlines_and_see_them() -> None:
    clock, seen = SimClock(), []

    async def sleeper(name: str, *naps: float) -> None:
        for seconds in naps:
            await clock.sleep(seconds)
            seen.append((name, clock.now() - START))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("slow", 4.0))
        group.create_task(sleeper("quick", 1.0, 1.0, 1.0))
        group.create_task(sleeper("other", 2.5))
        await clock.advance(10)
    assert seen == [
        ("quick", 1.0),
        ("quick", 2.0),
        ("other", 2.5),
        ("quick", 3.0),
        ("slow", 4.0),
    ]


async def test_a_sleeper_that_is_cancelled_leaves_nothing_behind() -> None:
    clock = SimClock()
    sleeping = asyncio.ensure_future(clock.sleep(5))
    await asyncio.sleep(0)
    sleeping.cancel()
    await asyncio.gather(sleeping, return_exceptions=True)
    await clock.advance(10)
    assert clock.now() == START + 10


async def test_with_a_pace_time_runs_by_itself_in_order_and_never_past_a_deadline() -> None:
    clock, seen = SimClock(pace=200.0), []
    for seconds in (3.0, 1.0, 2.0):
        clock.call_at(START + seconds, lambda: seen.append(clock.now() - START))
    await clock.sleep(4.0)
    assert seen == [1.0, 2.0, 3.0]
    assert clock.now() - START >= 4.0


async def test_a_pace_goes_on_from_where_time_was_wound_to() -> None:
    clock = SimClock(pace=100.0)
    clock.now()
    clock.wind(1000)
    before = clock.now()
    assert 1000 <= before - START < 1100
    await clock.sleep(1)
    assert clock.now() > before
    with pytest.raises(ValueError, match="nowhere"):
        SimClock(pace=0)


def test_a_clock_with_a_pace_stands_still_where_nothing_runs_and_goes_on_in_a_new_loop() -> None:
    clock, seen = SimClock(pace=500.0), []
    clock.call_after(1.0, lambda: seen.append(clock.now() - START))
    assert clock.now() == START
    asyncio.run(clock.sleep(2))
    reached = clock.now()
    assert seen == [1.0]
    assert clock.now() == reached, "no loop, no time"
    asyncio.run(clock.sleep(2))
    assert clock.now() >= reached + 2


# --- routines -----------------------------------------------------------------------------------


def test_a_routine_waits_is_woken_and_ends() -> None:
    clock, seen, over = SimClock(), [], []

    def steps() -> Steps:
        for wait in (1.0, None, 5.0):
            seen.append(clock.now() - START)
            yield wait
        seen.append(clock.now() - START)

    routine = Routine(clock, steps(), lambda: over.append(True))
    routine.step()
    clock.wind(10)
    assert seen == [0.0, 1.0], "it waits until it is woken"
    routine.wake(0.5)
    clock.wind(10)
    assert seen == [0.0, 1.0, 10.5, 15.5]
    assert over == [True]
    routine.wake(1)
    routine.step()
    clock.wind(10)
    assert len(seen) == 4


def test_a_routine_that_is_stopped_goes_no_further() -> None:
    clock, seen = SimClock(), []

    def steps() -> Steps:
        try:
            yield 1.0
            seen.append("on")
        finally:
            seen.append("closed")

    routine = Routine(clock, steps(), lambda: seen.append("over"))
    routine.step()
    routine.stop()
    clock.wind(5)
    assert seen == ["closed"]
