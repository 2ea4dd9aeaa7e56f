"""How a run ended: one result for every node, and one exit code for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from backends.domain.problem import Exit, Problem, worst
from backends.domain.states import Outcome as Outcomes
from backends.domain.states import Phase
from backends.engine.answer import Answer


class Result(StrEnum):
    """What became of one node in a run."""

    ACCEPTED = "accepted"
    FINALIZED = "finalized"
    ALREADY = "already"
    """It was there before; it was looked at and left alone."""

    ROLLED_BACK = "rolled_back"
    """Undone and proven."""

    HELD = "held"
    REFUSED = "refused"
    """A check or a gate said no; nothing was changed on this node."""

    UNHEALTHY = "unhealthy"
    """It is on the version it was brought to, or back on the old one, and does not serve; or it is
    not what was installed."""

    UNREACHABLE = "unreachable"
    """It could not be reached before anything was changed on it."""

    TIMED_OUT = "timed_out"
    """It was reached, and did not answer in time, before anything was changed on it."""

    LOCKED = "locked"
    LOST = "lost"
    """Contact was lost while it was changing; the node decides by itself."""

    DRIFTED = "drifted"
    """What runs is not what was recorded of it."""

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
    forward: bool = False
    """Whether the node is on the new version now, whoever brought it there."""


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


def not_done(node: str, answer: Answer, phase: Phase) -> NodeResult:
    """The result of a node that did not do what it was asked, with the reason."""
    problem = answer.problem or Problem("no-reason", f"{node}: {phase} ended {answer.outcome}")
    if answer.outcome is Outcomes.UNREACHABLE:
        return NodeResult(node, Result.UNREACHABLE, problem)
    if answer.outcome is Outcomes.TIMED_OUT:
        return NodeResult(node, Result.TIMED_OUT, problem)
    locked = problem.code == "locked"
    return NodeResult(node, Result.LOCKED if locked else Result.REFUSED, problem)


_EXITS = {
    Result.HELD: Exit.NEEDS_PERSON,
    Result.INCONSISTENT: Exit.NEEDS_PERSON,
    Result.UNHEALTHY: Exit.NEEDS_PERSON,
    Result.DRIFTED: Exit.NEEDS_PERSON,
    Result.LOST: Exit.CONTACT_LOST,
    Result.REFUSED: Exit.REFUSED,
    Result.UNREACHABLE: Exit.UNREACHABLE,
    Result.TIMED_OUT: Exit.UNREACHABLE,
    Result.LOCKED: Exit.LOCKED,
    Result.ROLLED_BACK: Exit.ROLLED_BACK,
}

_CHANGED = frozenset({Result.ROLLED_BACK, Result.FINALIZED, Result.ACCEPTED, Result.DONE})


def exit_of_upgrade(
    results: Sequence[NodeResult], *, paused: bool = False, stopped: Exit = Exit.OK
) -> Exit:
    """The exit code of an upgrade (design.md, section 9).

    Some nodes on the new version beside one that failed, or while the run stopped, need a person:
    3, 4 and 5 promise that nothing, or nothing any more, is on the new version.
    """
    found = [_EXITS[node.result] for node in results if node.result in _EXITS]
    if stopped is not Exit.OK:
        found.append(stopped)
    if found and any(node.forward for node in results):
        found.append(Exit.NEEDS_PERSON)
    if paused:
        found.append(Exit.WAITING)
    return worst(found)


def exit_of_act(results: Sequence[NodeResult], wanted: Result, *, changes: bool = True) -> Exit:
    """The exit code of a single act that wanted each node to end as `wanted`.

    Done on some nodes and not on others needs a person; done on none is what the first one says.
    One that changes nothing is only what the nodes say.
    """
    missed = [node for node in results if node.result is not wanted]
    found = [_EXITS[node.result] for node in missed if node.result in _EXITS]
    left = any(node.result is Result.NOT_STARTED for node in missed)
    changed = changes and any(node.result in _CHANGED for node in results)
    if found and changed:
        found.append(Exit.NEEDS_PERSON)
    if wanted is Result.ROLLED_BACK:
        left, changed = left or any(node.result is Result.ACCEPTED for node in missed), changes
    if left and changed and not found:
        found.append(Exit.WAITING)
    return worst(found)
