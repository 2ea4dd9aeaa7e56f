"""Whoever is to be told is not there when it is decided: what was decided is as it would be."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.domain.policy import Pause, Policy
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.answer import Answer
from backends.engine.results import Result
from tests.runs.pretended import Theatre
from tests.support.beacon import Beacon
from tests.support.node import Node
from tests.support.raising import says
from tests.support.readings import old, plan

UNWRITABLE = LiftlockError(Problem("book-unwritable", "The history cannot be written."))


def test_p06_without_a_log_a_node_is_accepted_and_made_final(node: Node) -> None:
    """mender PR 823: the report could not be delivered, and a good update was taken back."""
    log = Path(node.places.log)
    log.unlink(missing_ok=True)
    log.mkdir()  # whatever is written there fails
    release = Beacon("2.0")
    node.finalized(release)
    facts = node.facts()
    assert (facts["running"], facts["finalized"]["version"]) == ("2.0", "2.0")
    kinds = [record["t"] for record in node.records()]
    assert "ROLLBACK" not in kinds
    assert kinds[-3:] == ["ACCEPT", "FINALIZE", "END"]
    shutil.rmtree(log)


async def test_p06_a_history_that_fails_in_the_trial_keeps_no_healthy_node_from_its_accept(
    theatre: Callable[..., Theatre], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mender PR 823: on the operator's side; the node is kept, and no other one is begun."""
    here = theatre(old("n1"), old("n2"))
    follow = here.nodes["n1"].follow

    async def behind_a_full_disk(*args: Any, **other: Any) -> Answer:
        monkeypatch.setattr(here.book, "record", says(UNWRITABLE))
        return await follow(*args, **other)

    here.nodes["n1"].follow = behind_a_full_disk  # type: ignore[method-assign]
    outcome = await here.carries_out(plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    assert [each.result for each in outcome.nodes] == [Result.ACCEPTED, Result.NOT_STARTED]
    assert "accept n1" in here.said
    assert not {"rollback n1", "install n2"} & {*here.said}, "what is not written is not begun"
    assert outcome.exit is Exit.NEEDS_PERSON
    assert outcome.problem is not None
    assert outcome.problem.code == "book-unwritable"
