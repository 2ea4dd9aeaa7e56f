"""Whether it is our own link that is gone, and what the nodes do while nobody can reach them."""

from app.state import LINK_CAUSES, State
from app.view.words import Moment, clock, left_of
from backends.domain.states import CHANGING, NEEDS_PERSON, NodeState
from backends.domain.survey import listed

_AT_ONCE_SECONDS = 5.0


def link_is_gone(state: State) -> float | None:
    """Since when, when all nodes fell silent within seconds: that is not the nodes' failure.

    (design.md, section 6.) A single node has no others to be compared with.
    """
    counted = [known for known in state.known.values() if known.reading.excluded is None]
    if len(counted) < 2:
        return None
    if any(known.reading.unreachable not in LINK_CAUSES for known in counted):
        return None
    since = [known.fell for known in counted if known.last is not None]
    if len(since) < len(counted) or max(since) - min(since) > _AT_ONCE_SECONDS:
        return None
    return min(since)


def meanwhile(state: State, moment: Moment) -> str:
    """What the nodes do by themselves, from what each of them said last."""
    deciding: list[str] = []
    staying: list[str] = []
    others: list[str] = []
    for name, known in state.known.items():
        facts = known.last.reading.facts if known.last is not None else None
        if known.last is None or facts is None or known.reading.excluded is not None:
            continue
        left = left_of(known.last.aged(moment.monotonic))
        if facts.transaction is not None and left is not None:
            then = facts.transaction.then
            by = f"decides alone by {clock(moment.wall + left)}" if left > 0 else "has decided"
            deciding.append(f"{name} {by}: {then}")
        elif facts.state in CHANGING:
            deciding.append(f"{name} goes on alone ({facts.state.replace('_', ' ')})")
        elif facts.state in NEEDS_PERSON:
            deciding.append(f"{name} waits for a person")
        elif facts.state is NodeState.ACCEPTED:
            staying.append(name)
        else:
            others.append(name)
    parts = [
        *deciding,
        *([f"{listed(staying)} accepted, stay"] if staying else []),
        *([f"{listed(others)} untouched"] if others else []),
    ]
    return "; ".join([*parts, "it is tried again"])


def beginning(state: State) -> tuple[str, ...]:
    """The nodes whose install has begun, while no reading of them shows it yet."""
    run = state.upgrade
    told = run.told_to_change if run is not None else ()
    return tuple(node for node in told if not _is_open(state, node))


def _is_open(state: State, node: str) -> bool:
    """Whether it is read that something was begun there, or it cannot be read at all."""
    reading = state.reading(node)
    facts = reading.facts if reading is not None and reading.read else None
    return facts is None or facts.is_open


def lost_in_its_turn(state: State, moment: Moment) -> str:
    """A node of the run that changes, and cannot be read: what it decides, and when."""
    run = state.upgrade
    if run is None or run.prepared is None:
        return ""
    for node in run.told_to_change:
        known = state.known.get(node)
        if known is None or known.reading.read:
            continue
        left = left_of(known.last.aged(moment.monotonic)) if known.last is not None else None
        policy = run.prepared.plan.policy.if_operator_vanishes
        window = run.prepared.plan.limits.accept_window_seconds
        by = f"by {clock(moment.wall + left)}" if left is not None else f"within {window:g} s"
        return f"no contact with {node}: it decides alone {by}: {policy}; it is tried again"
    return ""
