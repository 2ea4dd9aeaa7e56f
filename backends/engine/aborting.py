"""The end of a run on its nodes: what is in the middle is taken back, what is accepted stays."""

import asyncio
from collections.abc import Sequence

from backends.domain.facts import NodeReading
from backends.domain.states import NodeState
from backends.engine.acts import Acts
from backends.engine.orders import is_undecided
from backends.engine.results import NodeResult, Result


def in_the_middle(reading: NodeReading) -> bool:
    """Whether the node is in an install or a trial that may still go either way."""
    opened = reading.facts.transaction if reading.facts else None
    return reading.left_out is None and opened is not None and is_undecided(reading, opened.run)


def is_accepted(reading: NodeReading) -> bool:
    """Whether the node has accepted the new version and may still be rolled back."""
    facts = reading.facts
    counts = reading.read and reading.left_out is None
    return counts and facts is not None and facts.state is NodeState.ACCEPTED


async def abort(acts: Acts, readings: Sequence[NodeReading], why: str) -> list[NodeResult]:
    """Take back every node that is in the middle, all at once; nobody is waited for meanwhile."""

    async def one(reading: NodeReading) -> NodeResult:
        if in_the_middle(reading):
            # What is newer in its data stays, as in every rollback that nobody decides about.
            return await acts.take_back(reading, why, "keep")
        if is_accepted(reading):
            return NodeResult(reading.name, Result.ACCEPTED, forward=True)
        return acts.left_alone(reading)

    return list(await asyncio.gather(*map(one, readings)))
