"""Words and marks that several parts of the screen share."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backends.domain.facts import Fact, NodeReading, Unknown
from backends.domain.states import LETTERS, HealthState, NodeState
from backends.settings.units import format_size
from widgets.cells import Cell, Tone

NONE: Final = "–"
"""It was read, and there is none."""

UNREAD: Final = "?"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a picture is drawn."""

    monotonic: float
    """Seconds; what ages are counted with."""

    wall: float
    """Seconds since 1970; what deadlines are told with."""


TONES: Final[Mapping[NodeState, Tone]] = {
    NodeState.UNKNOWN: Tone.WARN,
    NodeState.IDLE: Tone.PLAIN,
    NodeState.INSPECTING: Tone.BUSY,
    NodeState.STAGING: Tone.BUSY,
    NodeState.STAGED: Tone.PLAIN,
    NodeState.CHECKING: Tone.BUSY,
    NodeState.CHECKED: Tone.PLAIN,
    NodeState.INSTALLING: Tone.BUSY,
    NodeState.MONITORING: Tone.BUSY,
    NodeState.HELD: Tone.WARN,
    NodeState.ACCEPTED: Tone.OK,
    NodeState.FINALIZING: Tone.BUSY,
    NodeState.ROLLING_BACK: Tone.WARN,
    NodeState.ROLLED_BACK: Tone.WARN,
    NodeState.FAILED: Tone.BAD,
    NodeState.INCONSISTENT: Tone.BAD,
    NodeState.EXCLUDED: Tone.QUIET,
    NodeState.DISABLED: Tone.QUIET,
}
"""Colour only repeats what letter and word say."""

FAILING_TONES: Final[Mapping[HealthState, Tone]] = {
    HealthState.FAILING: Tone.BAD,
    HealthState.SOFT_FAILING: Tone.WARN,
}
"""How bad a failing health check is."""

PHASE_WORDS: Final[Mapping[NodeState, str]] = {
    NodeState.UNKNOWN: "not read",
    NodeState.IDLE: NONE,
    NodeState.INSPECTING: "1/6 preflight",
    NodeState.STAGING: "2/6 staging",
    NodeState.STAGED: "2/6 staged",
    NodeState.CHECKING: "3/6 checking",
    NodeState.CHECKED: "3/6 checked",
    NodeState.INSTALLING: "4/6 install",
    NodeState.MONITORING: "5/6 trial",
    NodeState.HELD: "5/6 held",
    NodeState.ACCEPTED: "5/6 accepted",
    NodeState.FINALIZING: "6/6 finalize",
    NodeState.ROLLING_BACK: "rolling back",
    NodeState.ROLLED_BACK: "rolled back",
    NodeState.FAILED: "failed",
    NodeState.INCONSISTENT: "inconsistent",
    NodeState.EXCLUDED: "left out",
    NodeState.DISABLED: "disabled",
}
"""How far a node is, of the six phases."""

SEVERITY: Final = (
    NodeState.INCONSISTENT,
    NodeState.FAILED,
    NodeState.HELD,
    NodeState.UNKNOWN,
    NodeState.ROLLING_BACK,
    NodeState.ROLLED_BACK,
    NodeState.FINALIZING,
    NodeState.MONITORING,
    NodeState.INSTALLING,
    NodeState.CHECKING,
    NodeState.STAGING,
    NodeState.INSPECTING,
    NodeState.ACCEPTED,
    NodeState.CHECKED,
    NodeState.STAGED,
    NodeState.IDLE,
    NodeState.DISABLED,
    NodeState.EXCLUDED,
)
"""The worst comes first."""

_LONGEST_SECONDS: Final = 100 * 365 * 86400
"""What is said to last longer is nonsense."""

_KEYS: Final[Mapping[str, str]] = {
    "upgrade": "u",
    "rollback": "R",
    "finalize": "F",
    "adopt": "A",
    "accept": "a",
    "verify": "v",
}
"""What a command of the command line is on the screen."""


def state_of(reading: NodeReading) -> NodeState:
    """Where a node stands, as far as is known now."""
    if reading.excluded is not None:
        return NodeState.EXCLUDED
    if not reading.read or reading.facts is None:
        return NodeState.UNKNOWN
    return reading.facts.state


def mark(state: NodeState) -> Cell:
    """The letter of a state in its tone."""
    return Cell(LETTERS[state], TONES[state])


def fact(value: Fact) -> str:
    """A fact in a narrow column."""
    if isinstance(value, Unknown):
        return UNREAD
    return NONE if value is None else value


ALWAYS: Final = frozenset({"upgrade", "rollback", "accept", "verify"})
"""Commands whose keys lead somewhere in every state."""


def keyed(text: str, called: str, can: Collection[str] = frozenset(_KEYS)) -> str:
    """A sentence of the command line with the keys of the screen in place of its commands.

    Only of those that `can` be given now: a key that does nothing is not named.
    """
    found = text
    for command, key in _KEYS.items():
        if command not in can:
            continue
        words = rf"liftlock {command} {re.escape(called)}(?: RELEASE)?((?: -n [^\s:;]+)?)"
        found = re.sub(rf"{words}(?=[:;, ]|$)", rf"{key} ({command}\1)", found)
    return found


def clock(seconds: float) -> str:
    """A time of day where the operator is; "?" for one that no clock can show."""
    try:
        return f"{_local(seconds):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return UNREAD


def day_and_clock(seconds: float) -> str:
    """A day and a time, with the zone."""
    return f"{_local(seconds):%Y-%m-%d %H:%M:%S %z}"


def local_time(text: str) -> str:
    """A node's time (ISO 8601), where the operator is; as it came when it is none."""
    try:
        return day_and_clock(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        return text


def span(seconds: float) -> str:
    """A length of time that a tired person reads at a glance: 12 s, 4:07 min, 14 h, 3 days."""
    if not math.isfinite(seconds) or seconds > _LONGEST_SECONDS:
        return UNREAD
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    if whole < 2 * 86400:
        return f"{whole // 3600} h"
    return f"{whole // 86400} days"


def size(count: int) -> str:
    """A number of bytes, in decimal units."""
    return format_size(count)


def part(sent: int, of: int) -> str:
    """So many bytes of so many, in the unit of the whole: 0.4/12.5 MB."""
    whole, _, unit = size(of).partition(" ")
    per = of / float(whole) if float(whole) else 1.0
    done = sent / per
    return f"{done:.0f}/{whole} {unit}" if unit == "B" else f"{done:.1f}/{whole} {unit}"


def count(number: int, word: str) -> str:
    """So many of something: 1 node, 2 nodes."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def left_of(reading: NodeReading) -> float | None:
    """Seconds until the node decides by itself; None when it does not."""
    facts = reading.facts
    opened = facts.transaction if facts is not None else None
    return opened.decides_at_seconds if opened is not None else None


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone()
