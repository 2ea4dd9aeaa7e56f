"""What a person has to do after a finalize, and what of it was ticked: by whom, when, why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EVERY_STEP = "all"
"""Stands for all of them on the command line."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One step that a person says is done."""

    step: str
    runs: frozenset[str]
    """The upgrades that were made final before it."""

    by: str = ""
    reason: str = ""


def left_of(steps: Sequence[str], ticks: Iterable[Tick], runs: frozenset[str]) -> tuple[str, ...]:
    """The steps that nobody has ticked behind all of these upgrades."""
    done = {tick.step for tick in ticks if runs <= tick.runs}
    return tuple(step for step in steps if step not in done)
