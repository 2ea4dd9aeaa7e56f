"""A word that comes before anybody waits for it counts as one that comes later."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backends.domain.policy import Policy
from backends.engine.answer import Answer
from backends.engine.results import Result
from backends.node import monitor
from tests.faults.bench import Bench
from tests.faults.planting import before, decided, watched
from tests.runs.pretended import Pretended, Theatre
from tests.support.readings import old, plan


@pytest.mark.parametrize("moment", ["watch", "Trial", "_look"])
def test_p01_an_accept_before_while_and_after_the_watcher_is_armed_counts(
    flat: Bench, moment: str
) -> None:
    """deploy-rs: a confirmation that was written before the watcher was armed was never seen."""
    # The accept window is 0 s: a watcher that misses the word goes back at its first look.
    found = watched(flat, before(monitor, moment, decided(flat, "ACCEPT")))
    assert "ROLLBACK" not in found
    assert flat.running() == "2.0"
    looked = found[found.index("ACCEPT") :]
    assert looked == ["ACCEPT"] if moment == "watch" else looked[0] == "ACCEPT"


def test_p01_without_a_word_the_same_trial_goes_back(flat: Bench) -> None:
    """deploy-rs: what the test before is worth; nobody confirms, and the node is back."""
    assert "ROLLBACK" in watched(flat, lambda: None)
    assert flat.running() == "1.0"


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_p01_health_that_is_told_before_it_is_waited_for_is_accepted(
    theatre: Callable[..., Theatre], turns: int
) -> None:
    """deploy-rs: the same on the operator's side, whoever of the two is first."""
    here = theatre(old("n1"))
    _tells_after(here.nodes["n1"], turns)
    outcome = await here.carries_out(plan("n1", policy=Policy()))
    assert [each.result for each in outcome.nodes] == [Result.ACCEPTED]


def _tells_after(node: Pretended, turns: int) -> None:
    follow = node.follow

    async def later(*args: Any, **other: Any) -> Answer:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await follow(*args, **other)

    node.follow = later  # type: ignore[method-assign]
