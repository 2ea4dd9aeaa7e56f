"""Configuration that somebody edited and whose default has changed, too: what differs."""

from dataclasses import dataclass

Difference = tuple[str, ...] | None
"""Lines of a unified difference; None: one of both is not known, or is no text."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One file of one node."""

    node: str
    path: str
    yours: Difference
    """From the old default to what lies there."""

    theirs: Difference
    """From the old default to the new one, which lies beside it."""

    both: Difference
    """From what lies there to the new default."""
