"""Something that goes on by itself on a node: a driver, or a command that stays.

It is a generator that yields how many virtual seconds it waits, or None: until it is woken. There
are no threads and no event loop in it, so a thousand of them cost little and always run alike.
"""

from collections.abc import Callable, Generator

from backends.sim.clock import Alarm, SimClock

Steps = Generator[float | None, None, None]


class Routine:
    """A generator on a clock."""

    def __init__(
        self, clock: SimClock, steps: Steps, when_over: Callable[[], None] = lambda: None
    ) -> None:
        """`when_over` is called once, when it has ended by itself."""
        self._clock = clock
        self._steps = steps
        self._when_over = when_over
        self._alarm: Alarm | None = None
        self._is_stepping = False
        self._is_woken = False
        self.is_over = False

    def step(self) -> None:
        """Go on at once. Said while it goes on, it takes one step more instead of waiting."""
        if self.is_over:
            return
        if self._is_stepping:
            self._is_woken = True
            return
        self._forget_alarm()
        self._is_stepping = True
        try:
            wait = self._go_on()
        finally:
            self._is_stepping = False
        if wait is not None and not self.is_over:
            self._alarm = self._clock.call_after(wait, self.step)

    def _go_on(self) -> float | None:
        """To the next wait: how long, or None for until woken (or over)."""
        while True:
            self._is_woken = False
            try:
                wait = next(self._steps)
            except StopIteration:
                if not self.is_over:
                    self.is_over = True
                    self._when_over()
                return None
            if not self._is_woken or self.is_over:
                return wait

    def wake(self, seconds: float) -> None:
        """Go on after so many seconds, unless it goes on sooner anyway."""
        if self.is_over or self._is_stepping:
            return
        at = self._clock.now() + seconds
        if self._alarm is None or self._alarm.ring is None or self._alarm.deadline > at:
            self._forget_alarm()
            self._alarm = self._clock.call_at(at, self.step)

    def stop(self) -> None:
        """End it where it waits, as a kill would; `when_over` is not called."""
        self._forget_alarm()
        if not self.is_over:
            self.is_over = True
            if not self._is_stepping:
                self._steps.close()

    def _forget_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
