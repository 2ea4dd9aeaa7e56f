"""The journal of a simulated node: the same records, chained and framed as the real ones.

What the records mean is said below in pure functions, as `backends.node.standing` says it (the
updater's own file is not shared; a test holds the two against each other).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backends.node import wire
from backends.node.journal import frame, link

Record = Mapping[str, Any]

_NO_RECORD_BEFORE = "0" * 16

Stamp = Callable[[], Mapping[str, object]]
"""The three times of a record: `bt` seconds since boot, `bid` boot id, `wt` wall time."""


class Records:
    """One journal. Whoever listens is told after each record."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._last = _NO_RECORD_BEFORE
        self.all: list[Record] = []
        self.ends: list[int] = []
        """Behind each record: bytes of the journal up to there."""

        self.listeners: list[Callable[[], None]] = []

    def append(self, kind: str, **fields: object) -> Record:
        """Add a record."""
        record = {**fields, "t": kind, "n": len(self.all), "p": self._last, **self._stamp()}
        line = frame(record)
        self._last = link(line)
        self.all.append(record)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(line))
        for listener in tuple(self.listeners):
            listener()
        return record


# --- what they mean -----------------------------------------------------------------------------


def last(records: Sequence[Record], *kinds: str) -> Record | None:
    """The newest record of one of these types."""
    return next((record for record in reversed(records) if record["t"] in kinds), None)


def decision(records: Sequence[Record]) -> str | None:
    """The decision in force: ACCEPT, ROLLBACK, FINALIZE or None."""
    found = last(records, *wire.DECISIONS)
    return None if found is None else str(found["t"])


def is_healthy(records: Sequence[Record]) -> bool:
    """Whether the hard checks have passed long enough, none failed since, the process stayed."""
    found = last(records, "HEALTHY", "UNHEALTHY", "RESTART", "TRIAL")
    return found is not None and found["t"] == "HEALTHY"


def is_held(records: Sequence[Record]) -> bool:
    """Whether the new version stays in place until a person decides."""
    found = last(records, "HELD", "EXTEND", *wire.DECISIONS)
    return found is not None and found["t"] == "HELD"


def deadline(records: Sequence[Record]) -> float | None:
    """When the accept window ends, in seconds since boot; None before the trial."""
    trial = last(records, "TRIAL")
    if trial is None:
        return None
    return float((last(records, "EXTEND") or trial)["until"])


def state(records: Sequence[Record], driver: bool) -> str:
    """The node state that a transaction stands for; `driver` says whether one is at work."""
    decided = decision(records)
    if last(records, "END"):
        return "idle"
    if decided == "ACCEPT":
        return "accepted"
    if is_held(records):
        return "held"
    if not driver:
        return "inconsistent"
    if decided == "ROLLBACK":
        return "rolling_back"
    if decided == "FINALIZE":
        return "finalizing"
    return "monitoring" if last(records, "TRIAL") else "installing"


def needs_recovery(records: Sequence[Record]) -> bool:
    """Whether somebody must bring it to rest, when no driver is at work."""
    if last(records, "END"):
        return True
    return decision(records) != "ACCEPT" and not is_held(records)


def why_not_accept(records: Sequence[Record], now: float, unhealthy_too: bool) -> str | None:
    """Why ACCEPT must not be recorded, or None. `now` in seconds since boot."""
    decided = decision(records)
    if decided is not None:
        return f"already decided: {decided}"
    ends = deadline(records)
    if ends is None:
        return "the new version is not in trial yet"
    if is_held(records):
        return None if unhealthy_too or is_healthy(records) else "held and not healthy"
    if now > ends:
        return "the accept window is over"
    return None if is_healthy(records) else "not healthy for long enough yet"


def why_not_roll_back(records: Sequence[Record]) -> str | None:
    """Why ROLLBACK must not be recorded, or None."""
    decided = decision(records)
    if decided in ("ROLLBACK", "FINALIZE"):
        return f"already decided: {decided}"
    return "the transaction is over" if last(records, "END") else None


def why_not_finalize(records: Sequence[Record]) -> str | None:
    """Why FINALIZE must not be recorded, or None."""
    decided = decision(records)
    return None if decided == "ACCEPT" else f"not accepted: {decided or 'undecided'}"


def why_not_extend(records: Sequence[Record], now: float) -> str | None:
    """Why the accept window cannot be moved, or None. `now` in seconds since boot."""
    decided = decision(records)
    if decided is not None:
        return f"already decided: {decided}"
    ends = deadline(records)
    if ends is None:
        return "the new version is not in trial yet"
    return "the accept window is over" if now > ends and not is_held(records) else None


def first_error(records: Sequence[Record]) -> str:
    """Why the node went back, in words."""
    return next((str(record["why"]) for record in records if record["t"] == "ROLLBACK"), "")


def at_rest(records: Sequence[Record]) -> str | None:
    """The outcome for whoever follows, if nothing more will come by itself."""
    end = last(records, "END")
    if end is not None:
        return str(end["outcome"])
    if records and records[-1]["t"] == "UNPROVEN":
        return "unproven"
    return "ok" if is_held(records) or decision(records) == "ACCEPT" else None
