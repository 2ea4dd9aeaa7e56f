"""How a run ended: one result for every node, and one exit code for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from backends.domain.problem import Exit, Problem, worst


class Result(StrEnum):
    """What became of one node in a run."""

    ACCEPTED = "accepted"
    FINALIZED = "finalized"
    ALREADY = "already"
    """It was there before; nothing was done."""

    ROLLED_BACK = "rolled_back"
    """Undone and proven."""

    HELD = "held"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    """It could not be reached before anything was changed on it."""

    LOCKED = "locked"
    LOST = "lost"
    """Contact was lost while it was changing; the node decides by itself."""

    INCONSISTENT = "inconsistent"
    NOT_STARTED = "not_started"
    EXCLUDED = "excluded"
    DONE = "done"
    """A single act was done."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """One node's result."""

    node: str
    result: Result
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    run: str
    exit: Exit
    nodes: tuple[NodeResult, ...]
    text: str
    """One sentence."""

    problem: Problem | None = None
    """What concerns the whole run."""

    def of(self, *results: Result) -> tuple[str, ...]:
        """The nodes with one of these results."""
        return tuple(node.node for node in self.nodes if node.result in results)


_EXITS = {
    Result.HELD: Exit.NEEDS_PERSON,
    Result.INCONSISTENT: Exit.NEEDS_PERSON,
    Result.LOST: Exit.CONTACT_LOST,
    Result.REFUSED: Exit.REFUSED,
    Result.UNREACHABLE: Exit.UNREACHABLE,
    Result.LOCKED: Exit.LOCKED,
    Result.ROLLED_BACK: Exit.ROLLED_BACK,
}


def exit_of(results: Sequence[NodeResult], paused: bool = False) -> Exit:
    """The exit code of an upgrade (design.md, section 9).

    Some nodes on the new version beside one that failed, or could not be begun, need a person.
    """
    found = [_EXITS[node.result] for node in results if node.result in _EXITS]
    forward = any(node.result is Result.ACCEPTED for node in results)
    if forward and found:
        found.append(Exit.NEEDS_PERSON)
    if paused:
        found.append(Exit.WAITING)
    return worst(found)
