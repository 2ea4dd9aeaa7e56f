"""How a run ends: which results count as failed, and what is said when nothing stopped it."""

from collections.abc import Collection, Mapping

from backends.domain.plan import Plan
from backends.domain.policy import Policy
from backends.domain.problem import Problem
from backends.domain.states import Outcome
from backends.engine.results import NodeResult, Result

_FAILED = {
    Result.ROLLED_BACK: Outcome.UNDONE,
    Result.HELD: Outcome.FAILED,
    Result.INCONSISTENT: Outcome.UNPROVEN,
    Result.LOST: Outcome.UNREACHABLE,
    Result.UNREACHABLE: Outcome.UNREACHABLE,
    Result.TIMED_OUT: Outcome.TIMED_OUT,
    Result.REFUSED: Outcome.REFUSED,
    Result.LOCKED: Outcome.REFUSED,
    Result.UNHEALTHY: Outcome.FAILED,
}


class Stopped(Exception):
    """The run ends here; what became of each node is known."""

    def __init__(self, text: str, problem: Problem | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.problem = problem


class Paused(Exception):
    """The run waits here for a person; it is taken up again by starting it again."""

    def __init__(self, text: str, problem: Problem | None = None) -> None:
        super().__init__(text)
        self.problem = problem
        """What keeps it from going on, where it is not a person's word or the policy."""


def has_failed(result: NodeResult) -> bool:
    """Whether the node counts for the stop rule."""
    return result.result in _FAILED


def stopped_by(results: Mapping[str, NodeResult], policy: Policy) -> tuple[str, Problem | None]:
    """Why no further node is started, and the newest problem; "" when the run may go on."""
    bad = [result for result in results.values() if has_failed(result)]
    counts: dict[Outcome, int] = {}
    for result in bad:
        outcome = _FAILED[result.result]
        counts[outcome] = counts.get(outcome, 0) + 1
    if policy.stopped_by(counts) is None:
        return "", None
    words = ", ".join(map(_words, bad))
    return f"stopped: {words}; no further node is started", bad[-1].problem


def arrived(plan: Plan, results: Collection[NodeResult]) -> tuple[str, Problem | None]:
    """What is said when nothing stopped the run; one in which no node counts is none."""
    version = plan.release_version
    there = [r.node for r in results if r.forward or r.result is Result.ALREADY]
    others = [_words(r) for r in results if r.node not in there]
    beside = f"; {', '.join(others)}" if others else ""
    if all(r.result is Result.EXCLUDED for r in results):
        problem = Problem(
            "nobody-counts",
            "No node was upgraded: all are left out.",
            "\n".join(f"{item.node}: {item.reason}" for item in plan.nodes),
            "Take a node in again, or name another one.",
        )
        return "no node was upgraded", problem
    if not there:
        return f"no node is on {version}{beside}", None
    reversible = any(r.forward and r.result is not Result.FINALIZED for r in results)
    state = "accepted and still reversible" if reversible else "there before, left alone"
    return f"{', '.join(there)} on {version}, {state}{beside}", None


def _words(result: NodeResult) -> str:
    return f"{result.node} {result.result.replace('_', ' ')}"
