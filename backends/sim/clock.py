"""The clock of simulated nodes: it stands still until told, or runs at a pace of its own.

What waits is called in the order of its deadlines, and each call finds `now()` at its own
deadline, however late it really comes. So the same story gives the same times, byte for byte. All
that belongs to one clock lives in one thread.
"""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

START = 1_792_200_000.0
"""Where a clock begins unless told otherwise: 2026-10-17 01:20 UTC, in seconds since 1970."""

_SETTLE_TURNS = 5
"""Turns of the event loop that whoever was woken gets before time goes on."""


class Alarm:
    """Something that will be called; `cancel` forgets it."""

    __slots__ = ("deadline", "ring")

    def __init__(self, deadline: float, ring: Callable[[], None]) -> None:
        self.deadline = deadline
        self.ring: Callable[[], None] | None = ring

    def cancel(self) -> None:
        """Do not call any more; may be said twice."""
        self.ring = None


class SimClock:
    """Virtual seconds since 1970."""

    def __init__(self, start: float = START, pace: float | None = None) -> None:
        """With a `pace` (virtual seconds per real second) it runs by itself, in an event loop."""
        if pace is not None and pace <= 0:
            raise ValueError(f"a pace of {pace:g} goes nowhere")
        self._now = start
        self._pace = pace
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offset = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_is_for = 0.0
        self._is_ringing = False

    def run(self, pace: float) -> None:
        """Let it run by itself from now on, whatever it did before."""
        self._pace = pace
        self._set_timer()

    @property
    def stands_still(self) -> bool:
        """Whether time passes only when somebody lets it."""
        return self._pace is None

    def now(self) -> float:
        """Seconds since 1970. Time never passes a deadline before its call was made."""
        self._follow_the_loop()
        return self._now

    def call_at(self, deadline: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` when it is time; a deadline that has passed is as good as now."""
        alarm = Alarm(max(deadline, self.now()), ring)
        heapq.heappush(self._alarms, (alarm.deadline, next(self._numbers), alarm))
        self._set_timer()
        return alarm

    def call_after(self, seconds: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` so many seconds from now."""
        return self.call_at(self.now() + seconds, ring)

    async def sleep(self, seconds: float) -> None:
        """Wait so many virtual seconds."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        alarm = self.call_after(seconds, wake)
        try:
            await woken
        finally:
            alarm.cancel()

    async def advance(self, seconds: float) -> None:
        """Let so much time pass; whoever sleeps wakes at its own deadline and sees that time.

        Whoever is woken may do what takes a few turns of the event loop, and sleep again, before
        time goes on.
        """
        end = self._end_of(seconds)
        await self._settle()
        while self._ring_next(end):
            await self._settle()
        self._arrive(end)

    def wind(self, seconds: float) -> None:
        """Let so much time pass in one go: calls only; whoever sleeps wakes at the end of it."""
        end = self._end_of(seconds)
        while self._ring_next(end):
            continue
        self._arrive(end)

    def _end_of(self, seconds: float) -> float:
        if seconds < 0:
            raise ValueError("time does not go back")
        return self.now() + seconds

    def _arrive(self, end: float) -> None:
        """A pace goes on from there."""
        self._now = max(self._now, end)
        if self._pace is not None and self._loop is not None:
            self._offset = self._now - self._loop.time() * self._pace
            self._timer_is_for = -1.0
            self._set_timer()

    def _ring_next(self, until: float) -> bool:
        """Make the next call that is due by then; False when there is none."""
        self._drop_cancelled()
        if not self._alarms or self._alarms[0][0] > until:
            return False
        deadline, _, alarm = heapq.heappop(self._alarms)
        self._now = max(self._now, deadline)
        ring, alarm.ring = alarm.ring, None
        if ring is not None:
            ring()
        return True

    def _drop_cancelled(self) -> None:
        while self._alarms and self._alarms[0][2].ring is None:
            heapq.heappop(self._alarms)

    async def _settle(self) -> None:
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)

    # --- a pace -----------------------------------------------------------------------------

    def _follow_the_loop(self) -> None:
        """With a pace: take the time from the event loop that runs, and set the next timer."""
        if self._pace is None or self._is_ringing:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # nothing runs: time stands still
        if loop is not self._loop:
            self._loop, self._timer = loop, None
            self._offset = self._now - loop.time() * self._pace
            self._set_timer()
        reached = self._offset + loop.time() * self._pace
        self._drop_cancelled()
        if self._alarms:
            reached = min(reached, self._alarms[0][0])
        self._now = max(self._now, reached)

    def _set_timer(self) -> None:
        if self._pace is None or self._loop is None or self._is_ringing:
            return
        self._drop_cancelled()
        first = self._alarms[0][0] if self._alarms else None
        if self._timer is not None:
            if first == self._timer_is_for:
                return
            self._timer.cancel()
            self._timer = None
        if first is not None and not self._loop.is_closed():
            self._timer_is_for = first
            self._timer = self._loop.call_at(self._real(first), self._ring_due)

    def _real(self, moment: float) -> float:
        return (moment - self._offset) / (self._pace or 1.0)

    def _ring_due(self) -> None:
        if self._loop is None or self._pace is None:
            raise AssertionError("a timer of no loop")
        self._timer = None
        reached = self._offset + self._loop.time() * self._pace
        self._is_ringing = True
        try:
            self._ring_next(max(reached, self._alarms[0][0]) if self._alarms else reached)
        finally:
            self._is_ringing = False
            self._set_timer()
