"""Which run goes on: one run is one, whoever works on it. An order is for who has the lock."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.runs.keeping import locked, orders_of
from app.runs.resuming import Begun, begun_run, how_it_was_begun
from backends.domain.policy import Pause, Policy, Skip
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import Outcome
from backends.engine.answer import Answer
from backends.engine.begun import begun_as
from backends.engine.reading import NO_SENSE
from backends.store.orders import Order, OrderKind
from tests.domain.nodes import transaction, upgraded
from tests.runs.pretended import Theatre, session
from tests.support.readings import old

Make = Callable[..., Theatre]


def opened(name: str, **about: Any) -> Any:
    return upgraded(name, transaction=transaction(driver_alive=False, to_digest="d", **about))


def test_j2_a_run_that_two_operators_have_worked_on_is_one_run(theatre: Make) -> None:
    readings = [opened("n1"), opened("n2", operator="bob@laptop"), old("n3")]
    here = theatre(*readings)
    found = begun_run(session(here.nodes), here.book, readings)
    assert (found.run, found.on) == ("1120-k7f", ("n1", "n2"))
    assert found.by == "ann@jump, bob@laptop"


def test_two_runs_are_two(theatre: Make) -> None:
    readings = [opened("n1"), opened("n2", run="1121-abc")]
    here = theatre(*readings)
    with pytest.raises(LiftlockError) as refused:
        begun_run(session(here.nodes), here.book, readings)
    assert refused.value.problem.code == "several-runs"


def test_an_order_of_before_the_lock_is_gone_and_one_of_after_it_stays(
    theatre: Make, tmp_path: Path
) -> None:
    here = theatre(old("n1"))
    about = session(here.nodes, state_dir=tmp_path / "operator")
    order = Order(OrderKind.WAIT, "ann@jump", "")
    stale = orders_of(about).give(order)
    with locked(about, "upgrade"):
        assert orders_of(about).is_taken(stale)
        orders_of(about).give(order)
        assert orders_of(about).waiting() is not None


def test_how_a_run_was_begun_is_over_the_policy_of_the_cluster_file() -> None:
    written = {"batch": 2, "pause": "all", "downgrade": "", "reinstall": "why", "skips": ()}
    begun = begun_as(["n1", "n\x1b[2J2"], written)
    assert begun.nodes[0] == "n1"
    assert "\x1b" not in begun.nodes[1]
    policy = begun.over(Policy(batch=7, pause=Pause.NONE, skips=(Skip("x", "y"),)))
    assert (policy.batch, policy.pause, policy.reinstall, policy.skips) == (
        2,
        Pause.ALL,
        "why",
        (),
    )


WRITTEN = {"batch": 2, "pause": "all", "downgrade": "", "reinstall": "", "skips": ()}
SILENT = Answer(Outcome.UNREACHABLE, Problem("dead-link", "n1: no word"), ())
NO_SENSE_AT_ALL = Answer(Outcome.OK, None, ({"t": "begun_as", "run": {"nodes": 7}},))


async def test_j2_a_node_tells_how_its_run_was_begun_where_the_history_does_not(
    theatre: Make,
) -> None:
    here = theatre(opened("n1"), opened("n2"))
    run = Begun("1120-k7f", "2.0", "d", "ann@jump", ("n1", "n2"))
    about = session(here.nodes)
    assert await how_it_was_begun(about, here.book, run) is None
    told = {"t": "begun_as", "run": {"nodes": ["n2"], "policy": WRITTEN}}
    here.nodes["n2"].begun = Answer(Outcome.OK, None, (told,))
    for first in (SILENT, NO_SENSE_AT_ALL):
        here.nodes["n1"].begun = first
        found = await how_it_was_begun(about, here.book, run)
        assert found is not None
        assert found.nodes == ("n2",)


@pytest.mark.parametrize(
    ("answer", "code"), [(SILENT, "dead-link"), (NO_SENSE_AT_ALL, "bad-answer")]
)
async def test_where_a_node_does_not_say_how_its_run_was_begun_nothing_goes_on(
    theatre: Make, answer: Answer, code: str
) -> None:
    here = theatre(opened("n1"), opened("n2"))
    here.nodes["n1"].begun = answer
    run = Begun("1120-k7f", "2.0", "d", "ann@jump", ("n1", "n2"))
    with pytest.raises(LiftlockError) as refused:
        await how_it_was_begun(session(here.nodes), here.book, run)
    assert refused.value.exit_code is Exit.UNREACHABLE
    assert refused.value.problem.code == "not-known-how-begun"
    assert code in refused.value.problem.evidence


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"batch": "2"},
        {"batch": True},
        {"pause": "never"},
        {"downgrade": None},
        {"skips": ["x"]},
        {"skips": 7},
    ],
)
def test_how_a_run_was_begun_is_taken_apart_as_a_claim(wrong: dict[str, Any]) -> None:
    written = {"batch": 2, "pause": "all", "downgrade": "", "reinstall": "", "skips": (), **wrong}
    with pytest.raises(NO_SENSE):
        begun_as(["n1"], written)
