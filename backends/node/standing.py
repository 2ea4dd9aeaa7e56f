"""What a transaction's records mean: where it stands, and which decision may still be taken.

Pure functions over the records of one journal. The two decisions (design.md, section 5): in the
trial ACCEPT or ROLLBACK; after ACCEPT, at any later time, FINALIZE or ROLLBACK. The first durable
one wins, because each is appended under the journal's lock after asking the functions below.
"""

from typing import Any, Dict, List, Optional

from backends.node import wire

Record = Dict[str, Any]


def last(records: List[Record], *kinds: str) -> Optional[Record]:
    """The newest record of one of these types."""
    for record in reversed(records):
        if record["t"] in kinds:
            return record
    return None


def decision(records: List[Record]) -> Optional[str]:
    """The decision in force: ACCEPT, ROLLBACK, FINALIZE or None."""
    found = last(records, *wire.DECISIONS)
    return None if found is None else str(found["t"])


def is_healthy(records: List[Record]) -> bool:
    """Whether the hard checks have passed long enough, none failed since, the process stayed."""
    found = last(records, "HEALTHY", "UNHEALTHY", "RESTART", "TRIAL")
    return found is not None and found["t"] == "HEALTHY"


def is_held(records: List[Record]) -> bool:
    """Whether the new version stays in place until a person decides."""
    found = last(records, "HELD", "EXTEND", *wire.DECISIONS)
    return found is not None and found["t"] == "HELD"


def deadline(records: List[Record]) -> Optional[float]:
    """When the accept window ends, in seconds since boot; None before the trial."""
    trial = last(records, "TRIAL")
    if trial is None:
        return None
    extended = last(records, "EXTEND")
    return float(extended["until"] if extended else trial["until"])


def state(records: List[Record], driver: bool) -> str:
    """The node state that a transaction stands for; `driver` says whether one is at work.

    Undecided without a driver is `inconsistent`: the next acting command restores the node, but
    nobody does it now, and that must not look like work in progress.
    """
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


def why_not_accept(records: List[Record], now: float, unhealthy_too: bool) -> Optional[str]:
    """Why ACCEPT must not be recorded, or None. `now` in seconds since boot."""
    decided = decision(records)
    if decided is not None:
        return "already decided: %s" % decided
    ends = deadline(records)
    if ends is None:
        return "the new version is not in trial yet"
    if is_held(records):
        return None if unhealthy_too or is_healthy(records) else "held and not healthy"
    if now > ends:
        return "the accept window is over"
    if not is_healthy(records):
        return "not healthy for long enough yet"
    return None


def why_not_roll_back(records: List[Record]) -> Optional[str]:
    """Why ROLLBACK must not be recorded, or None."""
    decided = decision(records)
    if decided in ("ROLLBACK", "FINALIZE"):
        return "already decided: %s" % decided
    return "the transaction is over" if last(records, "END") else None


def why_not_finalize(records: List[Record]) -> Optional[str]:
    """Why FINALIZE must not be recorded, or None."""
    decided = decision(records)
    return None if decided == "ACCEPT" else "not accepted: %s" % (decided or "undecided")


def why_not_extend(records: List[Record], now: float) -> Optional[str]:
    """Why the accept window cannot be moved, or None. `now` in seconds since boot."""
    decided = decision(records)
    if decided is not None:
        return "already decided: %s" % decided
    ends = deadline(records)
    if ends is None:
        return "the new version is not in trial yet"
    return "the accept window is over" if now > ends and not is_held(records) else None


def first_error(records: List[Record]) -> str:
    """Why the node went back, in words: it stays visible whatever came after it."""
    for record in records:
        if record["t"] == "ROLLBACK":
            return str(record["why"])
    return ""
