"""What goes on without us when the operator leaves now."""

from collections.abc import Sequence

from app.runs.leaving import alone
from app.state import State
from backends.domain.facts import NodeReading


def sentences(
    state: State, readings: Sequence[NodeReading], begun: Sequence[str]
) -> tuple[str, ...]:
    """One sentence for each thing that goes on; empty when nothing is under way."""
    found: list[str] = []
    act, upgrade = state.act, state.upgrade
    if act is not None and act.is_under_way:
        found.append(f"What the {act.kind} has begun goes on alone; no other node is begun.")
    if upgrade is not None and upgrade.is_under_way and upgrade.prepared is not None:
        found += alone(readings, upgrade.prepared.plan, begun).sentences()
    return tuple(found)
