"""What every node does without us, in words, when an operator leaves in the middle."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backends.domain.facts import NodeFacts, NodeReading, OpenTransaction
from backends.domain.plan import NodePlan, Plan, Treatment
from backends.domain.policy import Vanished
from backends.domain.states import CHANGING, NodeState
from backends.engine.reading import back_in_words

_ALONE = {
    Vanished.ROLLBACK: "goes back by itself",
    Vanished.HOLD: "stays as it is and waits for a person",
    Vanished.KEEP_IF_HEALTHY: "keeps the new version if it is healthy, else goes back",
}

_TOLD = CHANGING | {NodeState.HELD, NodeState.INCONSISTENT}
"""Where a node stands of which it is no comfort that this run has not begun it."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The nodes of a run, by what becomes of them when nobody is here."""

    begun: tuple[str, ...]
    """One sentence for each node on which the install was begun."""

    kept: tuple[str, ...]
    """Accepted before: they stay."""

    not_started: tuple[str, ...]
    others: tuple[str, ...] = field(default=())
    """One sentence for each node that this run has not begun, and that is not just as it was."""

    there: tuple[str, ...] = field(default=())
    """Final before: they are left alone."""

    left_out: tuple[str, ...] = field(default=())
    """Each with its reason."""

    def sentences(self) -> Iterator[str]:
        """All of it, one sentence after the other."""
        yield from self.begun
        yield from self.others
        if self.kept:
            yield f"Accepted before: {', '.join(self.kept)}."
        if self.there:
            yield f"There before, left alone: {', '.join(self.there)}."
        if self.left_out:
            yield f"Left out: {', '.join(self.left_out)}."
        if self.not_started:
            yield f"Not started: {', '.join(self.not_started)}."


def alone(readings: Sequence[NodeReading], made: Plan, begun: Collection[str]) -> Alone:
    """What becomes of the nodes of a plan; readings that are missing are said to be."""
    by_name = {reading.name: reading for reading in readings if reading.read}
    others: list[str] = []
    kept: list[str] = []
    there: list[str] = []
    left_out: list[str] = []
    not_started: list[str] = []
    for item in made.nodes:
        if item.node in begun:
            continue
        reading = by_name.get(item.node)
        facts = reading.facts if reading is not None else None
        why = reading.left_out if reading is not None else None
        if item.treatment is Treatment.EXCLUDED or why is not None:
            left_out.append(f"{item.node} ({why or item.reason})")
        elif facts is None or facts.state is NodeState.UNKNOWN:
            if item.treatment is Treatment.INSTALL:
                not_started.append(item.node)
            else:
                others.append(_unread_before(item, made))
        elif facts.state is NodeState.ACCEPTED:
            kept.append(item.node)
        elif facts.state in _TOLD:
            others.append(_one(item.node, facts, made))
        elif item.treatment is Treatment.INSTALL:
            not_started.append(item.node)
        elif item.treatment is Treatment.ALREADY or _is_final(facts, made):
            there.append(item.node)
        else:
            others.append(_one(item.node, facts, made))
    return Alone(
        begun=tuple(_one(node, _facts_of(by_name.get(node)), made) for node in sorted(begun)),
        kept=tuple(kept),
        not_started=tuple(not_started),
        others=tuple(others),
        there=tuple(there),
        left_out=tuple(left_out),
    )


def _facts_of(reading: NodeReading | None) -> NodeFacts | None:
    facts = reading.facts if reading is not None else None
    return None if facts is None or facts.state is NodeState.UNKNOWN else facts


def _is_final(facts: NodeFacts, made: Plan) -> bool:
    is_it = (facts.final_version, facts.digest) == (made.release_version, made.release_digest)
    return facts.is_finalized and is_it


def _unread_before(item: NodePlan, made: Plan) -> str:
    """A node that this run did not begin now, and that was not as before when it was planned."""
    now = f"{item.node} could not be read"
    match item.treatment:
        case Treatment.ALREADY:
            why = item.reason or "final there"
            return f"{now}; when this was planned it was left alone: {why}."
        case Treatment.ACCEPTED:
            return (
                f"{now}; it was {item.reason or 'accepted'} when this was planned. What is "
                f"accepted stays, still reversible."
            )
        case _:
            return (
                f"{now}; it was {item.reason.replace('_', ' ') or 'changing'} when this was "
                f"planned. {_if_in_trial(made)}"
            )


def _if_in_trial(made: Plan) -> str:
    """What holds of a node of which it is not known where it stands."""
    return (
        f"What is accepted stays, still reversible; in trial it {_alone(None, made)} when its "
        f"accept window of {_window(made)} ends, unless it is accepted."
    )


def _one(node: str, facts: NodeFacts | None, made: Plan) -> str:
    """What a node does that was begun, now or in an earlier run."""
    if facts is None:
        return f"{node} could not be read any more. {_if_in_trial(made)}"
    opened = facts.transaction
    version = opened.to_version if opened is not None else made.release_version
    match facts.state:
        case NodeState.ACCEPTED:
            return f"{node} is accepted on {version}: it stays, still reversible."
        case NodeState.ROLLED_BACK:
            return f"{node} {back_in_words(facts)}."
        case NodeState.HELD:
            return f"{node} is held on {version}: it stays as it is and waits for a person."
        case NodeState.INCONSISTENT:
            why = f": {facts.problem.summary.rstrip('.')}" if facts.problem else ""
            return f"{node} is inconsistent and needs a person{why}."
        case NodeState.FAILED:
            return f"{node} failed before anything was changed there: it stays as it was."
        case NodeState.FINALIZING:
            return f"{node} makes {version} final, and finishes that without you."
        case NodeState.ROLLING_BACK:
            return f"{node} goes back now, and finishes that without you."
        case NodeState.MONITORING:
            return f"{node} is in trial: {_trial(opened, made)}"
        case NodeState.INSTALLING:
            return (
                f"{node} goes on without you (installing). After {_window(made)} in trial it "
                f"{_alone(opened, made)}, unless accepted."
            )
        case _ if _is_final(facts, made):
            return f"{node} is on {made.release_version}, final."
        case state:
            return (
                f"{node} says: {state.replace('_', ' ')}. If the install has just been asked for, "
                f"it goes on without you: after {_window(made)} in trial it "
                f"{_alone(opened, made)}, unless accepted."
            )


def _trial(opened: OpenTransaction | None, made: Plan) -> str:
    does = _alone(opened, made)
    if opened is None or opened.decides_at_seconds is None:
        return f"when its accept window of {_window(made)} ends it {does}, unless accepted."
    if opened.decides_at_seconds <= 0:
        return f"its accept window is over, and it {does}."
    ends = datetime.fromtimestamp(time.time() + opened.decides_at_seconds, UTC).astimezone()
    return f"at {ends:%H:%M:%S} at the latest it {does}, unless accepted."


def _alone(opened: OpenTransaction | None, made: Plan) -> str:
    """What it does when its window ends: what it was begun with, as it says itself."""
    said = opened.then if opened is not None else ""
    policy = Vanished(said) if said in set(Vanished) else made.policy.if_operator_vanishes
    return _ALONE[policy]


def _window(made: Plan) -> str:
    return f"{made.limits.accept_window_seconds:g} s"
