"""Marks on a cluster: nodes left out or pinned, versions forbidden (notes on peers, row B9).

Each has a reason, an owner and, if wanted, a last day. These are one operator's; what holds for
the whole team stands in the cluster file.
"""

from dataclasses import dataclass
from enum import StrEnum


class MarkKind(StrEnum):
    """What a mark says."""

    EXCLUDE = "exclude"
    """Left out of everything, and not contacted."""

    PIN = "pin"
    """Read and shown, and stays at what it is."""

    FORBID = "forbid"
    """A version that is not to come to the node; without a node, to none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark."""

    kind: MarkKind
    node: str
    """Empty: all nodes, for a forbidden version."""

    version: str
    """The forbidden version; else empty."""

    reason: str
    owner: str
    since: str
    """UTC, as in 2026-11-26T21:00:00Z."""

    until: str = ""
    """The last day on which it counts, as in 2026-11-26; empty: no end."""

    @property
    def about(self) -> tuple[MarkKind, str, str]:
        """What it is about: a newer mark about the same replaces it."""
        return self.kind, self.node, self.version

    def counts(self, today: str) -> bool:
        """Whether it has not lapsed on this day."""
        return not self.until or today <= self.until

    def __str__(self) -> str:
        """The reason, whose it is, and until when."""
        until = f", until {self.until}" if self.until else ""
        return f"{self.reason} ({self.owner}{until})"
