"""What can be made final now, by what the nodes say."""

from collections.abc import Sequence
from contextlib import suppress

from backends.domain.facts import NodeReading
from backends.domain.problem import LiftlockError
from backends.engine.accepted import is_reversible, refuse_unless_all_accepted


def final_version(readings: Sequence[NodeReading]) -> str:
    """The version that `finalize` would make final on every node; empty when it would refuse."""
    if not any(is_reversible(reading) for reading in readings):
        return ""
    with suppress(LiftlockError):
        return refuse_unless_all_accepted(readings, None)
    return ""


def why_not(readings: Sequence[NodeReading]) -> str:
    """Why `finalize` would refuse, node by node; empty when it would not."""
    try:
        refuse_unless_all_accepted(readings, None)
    except LiftlockError as error:
        return "; ".join(error.problem.evidence.splitlines())
    return ""
