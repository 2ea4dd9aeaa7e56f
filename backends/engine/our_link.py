"""Is it a node, or is it us? A link of ours that is gone is no node's failure (design.md, 6).

When a node is not heard, all are asked. If none answers, or none of those behind the same
gateway, the run waits; nothing is counted against a node. What each node decides meanwhile is
said, and facts are read first when the link is back.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from enum import Enum, auto

from backends.domain.clean import line
from backends.domain.facts import NodeReading
from backends.domain.plan import Plan
from backends.domain.problem import Problem
from backends.domain.states import Unreachable
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.readings import read_all
from backends.engine.scribe import Scribe

_BETWEEN_LOOKS_SECONDS = 2.0
_SLEPT_SECONDS = 5.0
CODE = "your-link"


class Link(Enum):
    """Why nodes are not heard."""

    THEIRS = auto()
    """Others are heard: it is these nodes."""

    BACK = auto()
    """It was our link, and it is back."""

    GONE = auto()
    """It is our link, and it did not come back in time."""


class OurLink:
    """The ways from here to the nodes of one run."""

    def __init__(self, contacts: Mapping[str, Contact], plan: Plan, scribe: Scribe) -> None:
        self._contacts = contacts
        self._plan = plan
        self._scribe = scribe
        self._one_at_a_time = asyncio.Lock()
        self._seen: dict[str, tuple[NodeReading, float]] = {}
        """The newest reading of a node that is changing, and when, on the wall clock."""

        self._slept = _suspended_seconds()
        self.problem: Problem | None = None
        """Why the run waits, or waited in vain."""

    def saw(self, reading: NodeReading) -> None:
        """Keep what a node that is changing said last."""
        if reading.read:
            self._seen[reading.name] = reading, time.time()

    async def awaited(self, silent: Collection[str], give_up: float) -> Link:
        """Find out why these nodes are not heard; if it is our link, wait until it is back.

        No longer than until `give_up` of the monotonic clock; `problem` says why then.
        """
        async with self._one_at_a_time:
            why = await self._why(silent)
            if not why:
                return Link.THEIRS
            began = time.monotonic()
            self._tell(why)
            while why:
                if time.monotonic() > give_up:
                    return Link.GONE
                await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
                why = await self._why(silent)
            self.problem = None
            gone = time.monotonic() - began
            self._scribe.say(
                Kind.RESULT, f"the link is back after {gone:.0f} s; facts are read first"
            )
            return Link.BACK

    async def _why(self, silent: Collection[str]) -> str:
        """Whose silence says that it is us; "" when it does not."""
        if len(self._contacts) < _TELLING or not silent:
            return ""
        readings = await read_all(self._contacts.values())
        unheard = {each.name for each in readings if _is_silent(each)}
        if len(unheard) == len(readings):
            return f"none of the {len(readings)} nodes answers"
        for gateway, behind in self._gateways().items():
            if len(behind) >= _TELLING and behind <= unheard and behind & {*silent}:
                return f"none of the {len(behind)} nodes behind {line(gateway)} answers"
        return ""

    def _gateways(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, contact in self._contacts.items():
            if contact.subject.gateway:
                found.setdefault(contact.subject.gateway, set()).add(name)
        return found

    def _tell(self, why: str) -> None:
        slept = _suspended_seconds() - self._slept
        self._slept += slept
        asleep = f", this machine slept {slept:.0f} s" if slept > _SLEPT_SECONDS else ""
        self.problem = Problem(
            CODE,
            f"It is your link: {why}{asleep}. The run waits; nothing is counted against a node.",
            "\n".join(self._alone()),
            "When the link is back it goes on by itself, after it has read what the nodes are.",
        )
        self._scribe.problem(self.problem)

    def _alone(self) -> list[str]:
        """What each node that is changing decides by itself, and when."""
        policy = self._plan.policy.if_operator_vanishes.value
        window = self._plan.limits.accept_window_seconds
        found = []
        for name, (reading, at) in sorted(self._seen.items()):
            opened = reading.facts.transaction if reading.facts else None
            if opened is None or opened.decision:
                continue
            if opened.decides_at_seconds is None:
                found.append(f"{name}: within {window:g} s of its trial, by itself: {policy}")
            else:
                when = time.strftime("%H:%M:%S", time.localtime(at + opened.decides_at_seconds))
                found.append(f"{name}: at {when} at the latest, by itself: {opened.then}")
        return [*found, "what is accepted stays, still reversible; no other node is begun"]


def _is_silent(reading: NodeReading) -> bool:
    """Whether nobody was heard there; who shows another host key was."""
    return not reading.read and reading.unreachable is not Unreachable.HOST_KEY_CHANGED


_TELLING = 2
"""One node alone cannot tell its own silence from ours."""


def _suspended_seconds() -> float:
    """So long this machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
