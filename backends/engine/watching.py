"""The engine's long look at one node: every change, how old it is, and what silence means.

One resident process on the node says what changes and beats in between; each time it says how
long it may be silent. What a silent node said last is no longer told: its reading is unreachable.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from backends.domain.facts import NodeReading
from backends.domain.policy import Limits
from backends.domain.problem import Problem
from backends.domain.states import Outcome
from backends.engine.answer import Answer
from backends.engine.upload import Message
from backends.transport.link import Channel, LinkFailed

_SLOW_LOOK_SECONDS = 5.0
"""How often a watched node asks its service, when nothing changes."""

_GRACE_SECONDS = 2.0
"""How much later than a beat is due it may come."""

_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 15.0

Observe = Callable[[NodeReading], None]
Silence = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Way:
    """How the node is spoken with, and how what it says becomes a reading."""

    node: str
    prepare: Callable[[], Awaitable[Problem | None]]
    open: Callable[[], AbstractAsyncContextManager[Channel]]
    talk: Callable[
        [Channel, Mapping[str, object], Silence, Callable[[Message], None]], Awaitable[Answer]
    ]
    read: Callable[[Message], NodeReading]
    unread: Callable[[Problem | None], NodeReading]
    first_seconds: float
    """How long its first reading may take."""


async def watch(way: Way, limits: Limits, observe: Observe) -> None:
    """Tell every reading of a node for as long as this runs.

    When the resident process is lost, a new one is started, with back-off.
    """
    wait = _FIRST_RETRY_SECONDS
    while True:
        problem = await way.prepare()
        if problem is not None:
            observe(way.unread(problem))
        elif await _once(way, limits, observe):
            wait = _FIRST_RETRY_SECONDS
        await asyncio.sleep(random.uniform(0.5, 1.0) * wait)  # noqa: S311 - spreads logins
        wait = min(2 * wait, _LAST_RETRY_SECONDS)


async def _once(way: Way, limits: Limits, observe: Observe) -> bool:
    """Watch until the process is lost, and tell that; whether it said anything."""
    heard = Heard(way, limits, observe)
    args = {
        "beat": limits.heart_beat_idle_seconds,
        "busy_beat": limits.heart_beat_upgrade_seconds,
        "slow": _SLOW_LOOK_SECONDS,
        "verify_every": limits.verify_every_seconds,
    }
    try:
        async with way.open() as channel:
            try:
                answer = await way.talk(channel, args, heard.silence_seconds, heard.see)
            except LinkFailed as error:
                answer = Answer(Outcome.UNREACHABLE, error.problem, ())
            observe(way.unread(answer.problem))  # now: leaving a dead channel takes its time
            return bool(answer.messages)
    except LinkFailed as error:
        observe(way.unread(error.problem))
        return False


class Heard:
    """What one resident process has said so far."""

    def __init__(self, way: Way, limits: Limits, observe: Observe) -> None:
        self._way = way
        self._observe = observe
        self._stale_beats = limits.stale_beats
        self._longest = max(limits.heart_beat_idle_seconds, limits.heart_beat_upgrade_seconds)
        self._every: float | None = None
        self._told: NodeReading | None = None
        self._told_at = time.monotonic()

    def silence_seconds(self) -> float:
        """How long it may be silent from now on, by what it said last."""
        if self._every is None:
            return self._way.first_seconds
        return self._stale_beats * self._every + _GRACE_SECONDS

    def see(self, message: Message) -> None:
        """Take a message, and tell the reading that it makes."""
        every = _seconds(message.get("every"))
        if every is not None:
            self._every = min(every, self._longest)
        if message["t"] == "facts":
            self._told, self._told_at = self._way.read(message), time.monotonic()
            self._observe(self._told)
        elif message["t"] == "beat":
            self._see_age(_seconds(message.get("looked")))

    def _see_age(self, looked: float | None) -> None:
        """Tell the same facts again with the age that they have now."""
        passed = time.monotonic() - self._told_at
        if self._told is None and passed > self._way.first_seconds:
            self._told = self._way.unread(self._no_facts())
            self._observe(self._told)
        if looked is None or self._told is None or self._told.facts is None:
            return
        self._observe(replace(_later(self._told, passed), age_seconds=looked))

    def _no_facts(self) -> Problem:
        return Problem(
            "timeout",
            f"{self._way.node}: it lives, but has read nothing within "
            f"{self._way.first_seconds:g} s",
            advice="something hangs there: look at its service's status and health checks",
        )


def _later(reading: NodeReading, seconds: float) -> NodeReading:
    """The same reading so much later: the clock of a trial went on, and nothing else."""
    facts = reading.facts
    opened = facts.transaction if facts is not None else None
    if facts is None or opened is None or opened.decides_at_seconds is None:
        return reading
    left = round(opened.decides_at_seconds - seconds, 1)
    opened = replace(opened, decides_at_seconds=left)
    return replace(reading, facts=replace(facts, transaction=opened))


def _seconds(value: object) -> float | None:
    """A time as a node says it, or None: it may say anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
