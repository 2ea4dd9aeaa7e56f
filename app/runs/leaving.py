"""What every node does without us, in words, when an operator leaves in the middle."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.plan import Plan
from backends.domain.policy import Vanished
from backends.domain.states import CHANGING, NodeState

_ALONE = {
    Vanished.ROLLBACK: "goes back by itself",
    Vanished.HOLD: "stays as it is and waits for a person",
    Vanished.KEEP_IF_HEALTHY: "keeps the new version if it is healthy, else goes back",
}


@dataclass(frozen=True, slots=True)
class Alone:
    """The nodes of a run, by what becomes of them when nobody is here."""

    begun: tuple[str, ...]
    """One sentence for each node on which the install was begun."""

    kept: tuple[str, ...]
    """Accepted before: they stay."""

    not_started: tuple[str, ...]

    def sentences(self) -> Iterator[str]:
        """All of it, one sentence after the other."""
        yield from self.begun
        if self.kept:
            yield f"Accepted before: {', '.join(self.kept)}."
        if self.not_started:
            yield f"Not started: {', '.join(self.not_started)}."


def alone(readings: Sequence[NodeReading], made: Plan, begun: Collection[str]) -> Alone:
    """What becomes of the nodes of a plan; readings that are missing are said to be."""
    facts = {reading.name: reading.facts for reading in readings if reading.read}
    rest = [item.node for item in made.nodes if item.node not in begun]
    return Alone(
        begun=tuple(_one(node, facts.get(node), made) for node in sorted(begun)),
        kept=tuple(node for node in rest if _is_accepted(facts.get(node))),
        not_started=tuple(node for node in rest if not _is_accepted(facts.get(node))),
    )


def _one(node: str, facts: NodeFacts | None, made: Plan) -> str:
    policy = _ALONE[made.policy.if_operator_vanishes]
    window = f"{made.limits.accept_window_seconds:g} s"
    if facts is None:
        return (
            f"{node} could not be read any more. What is accepted stays, still reversible; in "
            f"trial it {policy} when its accept window of {window} ends, unless it is accepted."
        )
    if _is_accepted(facts):
        return f"{node} is accepted on {made.release_version}: it stays, still reversible."
    if facts.state is NodeState.ROLLED_BACK:
        return f"{node} is back on {facts.selected or 'nothing'}, proven."
    opened = facts.transaction
    if opened is None or opened.decides_at_seconds is None:
        is_changing = facts.state in CHANGING
        doing = "goes on without you" if is_changing else "is about to change, or goes on alone"
        state = facts.state.replace("_", " ")
        return f"{node} {doing} ({state}). After {window} in trial it {policy}, unless accepted."
    ends = datetime.fromtimestamp(time.time() + opened.decides_at_seconds, UTC).astimezone()
    return f"{node} is in trial: at {ends:%H:%M:%S} at the latest it {policy}, unless accepted."


def _is_accepted(facts: NodeFacts | None) -> bool:
    return facts is not None and facts.state is NodeState.ACCEPTED
