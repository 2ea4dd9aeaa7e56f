"""What besides the nodes themselves holds a run: the whole cluster, no return, two journals."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.domain.cluster_health import ClusterCheck
from backends.domain.no_return import Crossing, NoReturn
from backends.domain.plan import Plan, Treatment, identified
from backends.domain.policy import Limits, Pause, Policy, Skip
from backends.domain.problem import Exit
from backends.domain.states import NodeState
from backends.engine import gatekeeper
from backends.engine.conductor import Conductor
from backends.engine.results import Result
from backends.engine.scribe import Scribe
from backends.store.book import Start
from tests.runs.pretended import Theatre
from tests.support.readings import item, old, plan, release

Make = Callable[..., Theatre]
LIMITS = Limits(healthy_deadline_seconds=1.0)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatekeeper, "_BETWEEN_LOOKS_SECONDS", 0.02)


def of(
    *names: Any,
    checks: tuple[ClusterCheck, ...] = (),
    no_return: NoReturn | None = None,
    **policy: Any,
) -> Plan:
    made = plan(*names, policy=Policy(**{"pause": Pause.NONE, **policy}), limits=LIMITS)
    return identified(replace(made, cluster_checks=checks, no_return=no_return))


async def drive(here: Theatre, made: Plan) -> Any:
    here.book.begin(Start(made.run, "harbor", "netstack", "upgrade", "ann", 1.0))
    scribe = Scribe(here.book, made.run, here.events.append)
    nodes: Any = here.nodes
    async with asyncio.timeout(20):
        return await Conductor(made, nodes, release(), scribe, "harbor").run()


def results(outcome: Any) -> list[Result]:
    return [each.result for each in outcome.nodes]


def shell(words: str, name: str = "quorum", **more: Any) -> ClusterCheck:
    return ClusterCheck(name, ("sh", "-c", words), **more)


# --- the whole cluster --------------------------------------------------------------------------


async def test_f6_a_cluster_that_says_no_is_not_touched(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"))
    outcome = await drive(here, of("n1", "n2", checks=(shell("echo 1 of 3 voters; exit 1"),)))
    assert (outcome.exit, results(outcome)) == (Exit.REFUSED, [Result.NOT_STARTED] * 2)
    assert "cluster quorum: exit 1: 1 of 3 voters" in outcome.problem.evidence
    assert not [word for word in here.said if word.startswith("install")]


async def test_f6_one_that_is_not_there_yet_is_waited_for(theatre: Make, tmp_path: Path) -> None:
    """It loses quorum when the first node is taken out, and finds it again."""
    here = theatre(old("n1"), old("n2"))
    count = tmp_path / "asked"
    words = (
        f'echo x >>{count}; echo "cluster $LIFTLOCK_CLUSTER run $LIFTLOCK_RUN"; '
        f'[ "$(wc -l <{count})" -ge 3 ] && [ "$(wc -l <{count})" -le 5 ] && exit 21; exit 0'
    )
    outcome = await drive(here, of("n1", "n2", checks=(shell(words),)))
    assert (outcome.exit, results(outcome)) == (Exit.OK, [Result.ACCEPTED] * 2)
    rows = [event for event in here.events if event.data.get("name") == "cluster quorum"]
    assert {event.data["result"] for event in rows} == {"ok", "wait"}
    assert any("run 1120-k7f" in event.text for event in rows)


async def test_f6_after_the_last_accept_it_has_to_hold_too(theatre: Make) -> None:
    here = theatre(old("n1"))
    node = here.nodes["n1"]
    accepted = f"{here.book.path.parent}/accepted"
    accept = node.accept

    async def accepting(*args: Any, **other: Any) -> Any:
        Path(accepted).touch()
        return await accept(*args, **other)

    node.accept = accepting  # type: ignore[method-assign]
    outcome = await drive(here, of("n1", checks=(shell(f"[ ! -e {accepted} ]"),)))
    assert results(outcome) == [Result.ACCEPTED]
    assert outcome.exit is Exit.NEEDS_PERSON, "what is accepted stays, and somebody has to look"
    assert "after the last accept" in outcome.text


async def test_one_that_hangs_or_is_not_there_is_never_a_yes(theatre: Make) -> None:
    for check, said in (
        (ClusterCheck("lag", ("/nonexistent/lag",)), "No such file"),
        (shell("sleep 60", timeout_seconds=0.1), "no answer within 0.1 s"),
    ):
        here = theatre(old("n1"))
        outcome = await drive(here, of("n1", checks=(check,)))
        assert outcome.exit is Exit.REFUSED
        assert said in outcome.problem.evidence
        here.book.close()
        Path(here.book.path).unlink()


async def test_it_is_skipped_by_its_name_and_stays_red(theatre: Make) -> None:
    here = theatre(old("n1"))
    skips = (Skip("cluster quorum", "INC-7"),)
    outcome = await drive(here, of("n1", checks=(shell("exit 1"),), skips=skips))
    assert outcome.exit is Exit.OK
    rows = [event for event in here.events if event.data.get("name") == "cluster quorum"]
    assert {event.data["result"] for event in rows} == {"refused"}
    assert {event.data["skipped"] for event in rows} == {"INC-7"}


# --- no return ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "batch", "there"),
    [("first", 1, 0), ("majority", 1, 1), ("last", 1, 2), ("majority", 2, 0), ("last", 2, 2)],
)
async def test_the_run_waits_before_the_node_that_crosses_it(
    theatre: Make, when: str, batch: int, there: int
) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    limit = NoReturn(Crossing(when), "the old version cannot read the index")
    outcome = await drive(here, of("n1", "n2", "n3", no_return=limit, batch=batch))
    assert outcome.exit is Exit.WAITING
    assert results(outcome).count(Result.ACCEPTED) == there
    assert "the point of no return: the old version cannot read the index" in outcome.text
    assert 'resume harbor --skip "point of no return=REASON"' in outcome.text


async def test_named_with_a_reason_it_is_crossed(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    skips = (Skip("point of no return", "CHG-7"),)
    limit = NoReturn(Crossing.MAJORITY, "x")
    outcome = await drive(here, of("n1", "n2", "n3", no_return=limit, skips=skips))
    assert (outcome.exit, results(outcome)) == (Exit.OK, [Result.ACCEPTED] * 3)


# --- two journals -------------------------------------------------------------------------------


def taken_up(theatre: Make, *records: int, in_book: tuple[int, ...] = ()) -> tuple[Theatre, Plan]:
    here = theatre(old("n1"), old("n2"))
    node = here.nodes["n1"]
    node._becomes(NodeState.ACCEPTED)
    node.records = [{"t": "EFFECT", "n": n, "wt": 1e9, "step": n, "what": "x"} for n in records]
    made = of(item("n1", Treatment.ACCEPTED), "n2")
    here.book.begin(Start(made.run, "harbor", "netstack", "upgrade", "ann", 1.0))
    opened = node.reading.facts.transaction.txn  # type: ignore[union-attr]
    for number in in_book:
        about: dict[str, Any] = {"phase": None, "kind": "record", "text": "x", "data": {}}
        here.book.record(made.run, time=1.0, node="n1", key=f"{opened}.n1.{number}", **about)
    return here, made


@pytest.mark.parametrize(
    ("in_book", "said"),
    [
        ((), "nothing of it was here; 3 records added"),
        ((1,), "2 records of the node were not here; added"),
        ((1, 2, 3), "they say the same"),
    ],
)
async def test_i9_what_only_the_node_has_is_added_and_said(
    theatre: Make, in_book: tuple[int, ...], said: str
) -> None:
    here, made = taken_up(theatre, 1, 2, 3, in_book=in_book)
    outcome = await drive(here, made)
    assert outcome.exit is Exit.OK
    assert [e.text for e in here.events if "journals compared" in e.text] == [
        f"journals compared: {said}"
    ]
    keys = [entry.key for entry in here.book.entries(made.run, "n1") if entry.key]
    assert len(keys) == len(set(keys)) == 3


async def test_i9_what_only_this_history_has_is_a_finding(theatre: Make) -> None:
    here, made = taken_up(theatre, 1, 2, in_book=(1, 2, 9))
    outcome = await drive(here, made)
    assert outcome.exit is Exit.OK, "the node's word counts"
    (found,) = [event for event in here.events if "journals-differ" in event.text]
    assert str(found.data["evidence"]).endswith(".n1.9")
