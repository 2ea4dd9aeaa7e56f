"""What goes on without us when the operator leaves now."""

from collections.abc import Sequence

from app.runs.leaving import alone
from app.state import Run
from backends.domain.facts import NodeReading


def sentences(
    run: Run | None, readings: Sequence[NodeReading], begun: Sequence[str]
) -> tuple[str, ...]:
    """One sentence for each thing that goes on; empty when nothing is under way."""
    if run is None or not run.is_under_way:
        return ()
    if run.prepared is None:
        return (f"What the {run.kind} has begun goes on alone; no other node is begun.",)
    return tuple(alone(readings, run.prepared.plan, begun).sentences())
