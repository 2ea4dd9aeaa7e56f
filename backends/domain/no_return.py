"""The point from which an upgrade of a product cannot be taken back (design.md, section 6)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

NAME = "point of no return"
"""What it is called where a person names it: `--skip "point of no return=REASON"`."""


class Crossing(StrEnum):
    """Which node crosses it."""

    FIRST = "first"
    MAJORITY = "majority"
    """The one by which more than half of the nodes are on the new version."""

    LAST = "last"


@dataclass(frozen=True, slots=True)
class NoReturn:
    """Where it is, and what cannot be taken back behind it."""

    when: Crossing
    text: str

    def crossed_by(self, batch: Collection[str], there: Collection[str], of: int) -> bool:
        """Whether these nodes cross it, when `there` are on the new version, of so many."""
        before, after = len(there), len({*there, *batch})
        at = {Crossing.FIRST: 1, Crossing.MAJORITY: of // 2 + 1, Crossing.LAST: of}[self.when]
        return before < at <= after

    def words(self, batch: Sequence[str]) -> str:
        """Before which nodes, and what it means."""
        verb = "crosses" if len(batch) == 1 else "cross"
        return f"{', '.join(batch)} {verb} the {NAME}: {self.text}"
