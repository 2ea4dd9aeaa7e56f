"""`watch` and `journal` on a simulated node: what stays and tells.

The real ones read again and again; these are told what changed, and say it at the moment at which
the real ones would have found it.
"""

import math
from typing import Any

from backends.node import wire
from backends.sim import facts, verify
from backends.sim import records as standing
from backends.sim.call import OK, Answer, Answering, Beat, Call
from backends.sim.records import Records

QUICK_SECONDS = 0.5
"""How often the real watch looks at the disk."""

_BUSY = ("installing", "monitoring", "rolling_back", "finalizing")
_BUSY_SLOW_SECONDS = 1.0
_FOLLOW_SECONDS = 0.1
_DEAD_SECONDS = 2.0
"""How long a journal may be silent without a driver, before that is told to who follows."""

_CLOSE = 1e-6


def watch(call: Call) -> Answering:
    """A line when something changed, and a beat otherwise, for as long as somebody reads."""
    watcher = _Watcher(call)
    call.beat = Beat(watcher.every, watcher.say_again)
    call.node.listeners.append(watcher.heard)
    try:
        while True:
            yield watcher.go_on()
    finally:
        call.node.listeners.remove(watcher.heard)


class _Watcher:
    """Remembers what was said, so that only changes are sent."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._clock = call.node.clock
        self._beat = float(call.args["beat"])
        self._busy_beat = float(call.args.get("busy_beat") or self._beat)
        self._slow = float(call.args["slow"])
        self._begun = self._spoke_at = self._clock.now()
        self._look_at = self._begun
        self._said: facts.Facts | None = None
        self._slow_facts: facts.Facts = {}
        self._slow_at = 0.0
        self._slow_is_old = True
        self._about: object = None
        self._is_busy = False
        self._told = self._beat
        opened = call.disk.active
        self._tail: Records | None = opened.journal if opened else None
        self._known = len(opened.records) if opened else 0

    def heard(self) -> None:
        """Something changed: it is seen at the next look."""
        self._slow_is_old = True
        tick = self._tick_after(self._clock.now() + _CLOSE)
        if tick < self._look_at:
            self._look_at = tick
            self._call.wake(max(0.0, tick - self._clock.now()))

    def go_on(self) -> float:
        """Look and say what is due; how long until there is something to do again."""
        if self._clock.now() >= self._look_at - _CLOSE:
            self._look()
        now = self._clock.now()
        every = self.every()
        left = self._spoke_at + min(every, self._told) - now
        if left <= _CLOSE or every < self._told:
            self.beat()
            left = every
        return max(0.0, min(left, self._look_at - now))

    def beat(self) -> None:
        """Say that we live, and when the next word will have come."""
        looked = round((self._clock.now() - self._begun) % QUICK_SECONDS, 3)
        bt = round(self._call.node.since_boot(), 3)
        self._told = self.every()
        self._say({"t": "beat", "bt": bt, "every": self._told, "looked": looked})

    def say_again(self) -> None:
        """Say the facts once more: time stands still, and so they are as new as ever."""
        if self._said is None:
            return
        found = dict(self._said)
        now = facts.quick(self._call.node, self._call.document)["transaction"]
        if found["transaction"] and now:
            left = now["seconds_left"]
            found["transaction"] = dict(found["transaction"], seconds_left=left)
        self._say(dict(found, t="facts", every=self._told))

    def every(self) -> float:
        """How long we may be silent now."""
        return self._busy_beat if self._is_busy else self._beat

    def _look(self) -> None:
        call, now = self._call, self._clock.now()
        found = facts.quick(call.node, call.document)
        about = (found["selected"], found["state"])
        self._is_busy = found["state"] in _BUSY
        slow = min(self._slow, _BUSY_SLOW_SECONDS) if self._is_busy else self._slow
        is_due = now >= self._slow_at + slow - _CLOSE or about != self._about
        if not self._slow_facts or is_due:
            self._slow_facts = facts.slow(call.node, call.document)
            self._slow_at, self._slow_is_old, self._about = now, False, about
        found.update(self._slow_facts, drift=verify.drift(call.node, found))
        for record in self._fresh():
            self._say({"t": "record", "record": record})
        if self._said is None or _stable(found) != _stable(self._said):
            self._said = found
            self._told = self.every()
            self._say(dict(found, t="facts", every=self._told))
        self._look_at = self._tick_after(self._slow_at + slow) if self._slow_is_old else math.inf

    def _fresh(self) -> list[standing.Record]:
        opened = self._call.disk.active
        if opened is None:
            return []
        if opened.journal is not self._tail:
            self._tail, self._known = opened.journal, 0
        new = opened.records[self._known :]
        self._known = len(opened.records)
        return new

    def _tick_after(self, moment: float) -> float:
        """The first look of the real watch that is not before this moment."""
        ticks = math.ceil((moment - self._begun - _CLOSE) / QUICK_SECONDS)
        return self._begun + max(0, ticks) * QUICK_SECONDS

    def _say(self, message: dict[str, Any]) -> None:
        self._call.send(message)
        self._spoke_at = self._clock.now()


def _stable(found: facts.Facts) -> facts.Facts:
    """The facts without what changes with every look."""
    same = dict(found)
    if isinstance(same["drift"], dict) and "read" in same["drift"]:
        same["drift"] = dict(same["drift"], read=None)
    if same["transaction"]:
        same["transaction"] = dict(same["transaction"], seconds_left=None, last=None)
    return same


def follow(call: Call) -> Answering:
    """Send a journal from a byte offset on; with `follow` until it comes to rest."""
    journal = _journal(call)
    if journal is None:
        return OK
    node = call.node
    beat = call.args.get("beat")
    offset = int(call.args.get("offset", 0))
    at = 0
    spoke = silent_since = node.clock.now()

    if beat is not None:
        call.beat = Beat(lambda: float(beat), lambda: call.send({"t": "beat"}))

    def heard() -> None:
        call.wake(_FOLLOW_SECONDS)

    node.listeners.append(heard)
    try:
        while True:
            now = node.clock.now()
            while at < len(journal.all):
                end, record = journal.ends[at], journal.all[at]
                at += 1
                if end > offset:
                    offset, spoke, silent_since = end, now, now
                    call.send({"t": "record", "offset": end, "record": record})
            if not call.args.get("follow"):
                return OK
            rest = standing.at_rest(journal.all)
            if rest is not None:
                return rest, None
            if node.driver is None and now > silent_since + _DEAD_SECONDS:
                return _driver_gone()
            if beat is not None and now >= spoke + float(beat) - _CLOSE:
                spoke = now
                call.send({"t": "beat"})
            dead = silent_since + _DEAD_SECONDS + _FOLLOW_SECONDS
            soonest = min(
                dead if node.driver is None else math.inf,
                math.inf if beat is None else spoke + float(beat),
            )
            yield None if soonest == math.inf else max(0.0, soonest - now)
    finally:
        node.listeners.remove(heard)


def _driver_gone() -> Answer:
    return "failed", wire.problem("driver-gone", "the updater died while it was followed")


def _journal(call: Call) -> Records | None:
    disk, run = call.disk, call.args.get("run")
    if run == "-":
        return disk.own
    if disk.active is not None and run in (None, disk.active.plan["txn"]):
        return disk.active.journal
    if run is not None:
        found = disk.done.get(str(run).rpartition("/")[2])
        return found.journal if found else None
    return [*disk.done.values()][-1].journal if disk.done else None
