"""What becomes of a node is judged by what it says, at whatever moment it is asked."""

from types import SimpleNamespace
from typing import Any

import pytest

from backends.domain.facts import Finalized
from backends.domain.states import NodeState
from backends.engine.results import Result
from backends.engine.turn import Turn
from tests.domain.nodes import node, transaction, upgraded

RUN, DIGEST = "1120-k7f", "d" * 64


@pytest.fixture
def turn() -> Turn:
    """The turn of n1 in an upgrade to 4.12."""
    policy = SimpleNamespace(reinstall="")
    plan: Any = SimpleNamespace(
        run=RUN, release_version="4.12", release_digest=DIGEST, policy=policy
    )
    contact: Any = SimpleNamespace(node="n1")
    scribe: Any = SimpleNamespace(say=lambda *_, **__: None)
    link: Any = SimpleNamespace(saw=lambda reading: None)
    return Turn(contact, plan, scribe, "harbor", link)


def test_between_its_end_and_its_being_put_away_nothing_is_decided(turn: Turn) -> None:
    """The journal has its end, and the transaction still lies there: that is nobody's lock."""
    ending = upgraded("n1", "4.11", state=NodeState.IDLE, transaction=transaction(run=RUN))
    assert turn._judge(ending) is None
    back = node("n1", "4.11", state=NodeState.ROLLED_BACK, last_run=RUN, transaction=None)
    found = turn._judge(back)
    assert found is not None
    assert found.result is Result.ROLLED_BACK


def test_an_end_that_nobody_puts_away_is_not_waited_for(turn: Turn) -> None:
    """Its driver has died: the next acting command puts it away."""
    left = transaction(run=RUN, driver_alive=False)
    found = turn._judge(upgraded("n1", "4.11", state=NodeState.IDLE, transaction=left))
    assert found is not None
    assert found.result is Result.LOCKED


def test_what_another_run_has_open_is_locked(turn: Turn) -> None:
    other = upgraded("n1", "4.11", state=NodeState.IDLE, transaction=transaction(run="1120-bbb"))
    found = turn._judge(other)
    assert found is not None
    assert found.result is Result.LOCKED
    assert found.problem is not None
    assert "run 1120-bbb of ann@jump is open" in found.problem.summary


def test_what_somebody_finalized_meanwhile_is_final(turn: Turn) -> None:
    final = node("n1", finalized=Finalized("4.12", RUN, DIGEST))
    found = turn._judge(final)
    assert found is not None
    assert found.result is Result.FINALIZED
    other = node("n1", finalized=Finalized("4.12", RUN, "e" * 64))
    judged = turn._judge(other)
    assert judged is not None
    assert judged.result is Result.REFUSED, "it is the same version with other configuration"
