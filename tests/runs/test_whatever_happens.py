"""Whatever a cluster, a policy and its nodes are: what a run promises holds.

Random clusters, policies, outcomes and orders. Order, batch, pause, stop rule and minimum are
never violated; every run ends; every node has exactly one result (notes on peers, pain 4).
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from backends.domain.minimum import EVERYWHERE, Minimum
from backends.domain.plan import Plan, identified, order_nodes
from backends.domain.policy import Limits, Pause, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import NodeState, Outcome
from backends.engine import gatekeeper, orders, turn
from backends.engine.answer import Answer
from backends.engine.conductor import Conductor
from backends.engine.pace import ByPolicy
from backends.engine.planner import _batches
from backends.engine.results import Result
from backends.engine.scribe import Scribe
from backends.store.book import Start
from tests.runs.pretended import Pretended, Theatre
from tests.support.readings import item, old, plan, release

ROLES = ("voter", "edge", "")

GOOD = "good"
GOES_BACK = "goes back"
REFUSES = "refuses to begin"
HELD = "is held"
UNSTAGED = "is not staged"
BAD = (GOES_BACK, REFUSES, HELD)

LIMITS = Limits(healthy_deadline_seconds=0.05, accept_window_seconds=0.1)


@dataclass
class World:
    """A random cluster, what each node will do, and what was seen."""

    roles: dict[str, str]
    canaries: frozenset[str]
    fates: dict[str, str]
    policy: Policy
    minimums: tuple[Minimum, ...]
    order: tuple[tuple[int, object], ...]
    """Before which turn, and which order is given then."""

    changing: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    """The pause policy that counted when each node was begun."""

    faults: list[str] = field(default_factory=list)


class Fated(Pretended):
    """A node that does what was drawn for it, and looks whether it may be begun at all."""

    world: World
    all: dict[str, "Fated"]

    async def ask(self, command: str, **args: object) -> Answer:
        world = self.world
        if command == "install":
            if len(world.changing) >= world.policy.batch:
                world.faults.append(f"{self.node} begun beside {sorted(world.changing)}")
            world.changing.add(self.node)
            world.begun.append(self.node)
            self._look_at_minimums()
            if world.fates[self.node] == REFUSES:
                world.changing.discard(self.node)
                world.ended.append(self.node)
                return Answer(Outcome.REFUSED, Problem("no", "it says no"), ())
        return await super().ask(command, **args)

    async def accept(self, run: str, how: str, reason: str = "") -> Answer:
        answer = await super().accept(run, how, reason)
        self._decided()
        return answer

    async def rows(self, scope: str, observe: Any, **args: object) -> Answer:
        if scope == "staged" and self.world.fates[self.node] == UNSTAGED:
            return Answer(Outcome.REFUSED, Problem("no", "it says no"), ())
        return await super().rows(scope, observe, **args)

    async def follow(self, run: Any, offset: int, observe: Any, seconds: float, *_: Any) -> Answer:
        fate = self.world.fates[self.node]
        if self.node in self.world.changing and fate in (GOES_BACK, HELD):
            await asyncio.sleep(0)
            if fate == HELD:
                self._becomes(NodeState.HELD)
            else:
                await Pretended.ask(self, "rollback")
            self._decided()
        return await super().follow(run, offset, observe, seconds)

    def _decided(self) -> None:
        self.world.changing.discard(self.node)
        self.world.ended.append(self.node)

    def _look_at_minimums(self) -> None:
        for minimum in self.world.minimums:
            of = [
                node
                for node, role in self.world.roles.items()
                if minimum.role in (role, EVERYWHERE)
            ]
            left = [
                node
                for node in of
                if node not in self.world.changing
                and self.all[node].reading.facts is not None
                and self.all[node].reading.facts.serves
            ]
            taken = self.world.changing & {*of}
            if taken and len(left) < minimum.needed(len(of)):
                self.world.faults.append(f"{sorted(taken)} leaves {left} of {of}")


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = [f"n{number}" for number in range(1, draw(st.integers(1, 7)) + 1)]
    fates = st.sampled_from([GOOD, GOOD, GOOD, *BAD])
    drawn = {name: draw(fates) for name in names}
    if draw(st.integers(0, 9)) == 0:
        drawn[draw(st.sampled_from(names))] = UNSTAGED
    limit = st.integers(0, 3)
    order = st.tuples(st.integers(0, 6), st.sampled_from([*Pause, "wait", "abort"]))
    count = st.none() | st.integers(1, 3)
    minimums = st.builds(Minimum, st.sampled_from([*ROLES[:2], EVERYWHERE]), count)
    asked = st.just([]) | st.lists(minimums, max_size=2, unique_by=lambda each: each.role)
    return World(
        roles={name: draw(st.sampled_from(ROLES)) for name in names},
        canaries=frozenset(draw(st.sets(st.sampled_from(names), max_size=2))),
        fates=drawn,
        policy=Policy(
            batch=draw(st.integers(1, 3)),
            pause=draw(st.sampled_from(Pause)),
            limit_failed=draw(limit),
            limit_refused=draw(limit),
        ),
        minimums=tuple(draw(asked)),
        order=tuple(draw(st.lists(order, max_size=2))),
    )


class Ordering(ByPolicy):
    """Gives the drawn orders before the turns, as somebody at another terminal would."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.run: Conductor | None = None

    async def may_begin(self, upcoming: Any) -> str:
        assert self.run is not None
        for number, order in self._world.order:
            if number == len(self._world.begun) and upcoming.phase == "install":
                match order:
                    case "wait":
                        self.run.orders.waits = "paused by ann"
                    case "abort":
                        self.run.orders.abort("ann")
                    case Pause():
                        self.run.orders.pause = order
        return await super().may_begin(upcoming)


def planned(world: World, here: Theatre) -> Plan:
    names = [(name, role, name in world.canaries) for name, role in world.roles.items()]
    order = order_nodes(names, ROLES[:2])
    made = plan(
        *(item(name, role=world.roles[name]) for name in order),
        policy=world.policy,
        limits=LIMITS,
    )
    readings = [node.reading for node in here.nodes.values()]
    turns = tuple(_batches(made.nodes, readings, world.policy, world.minimums))
    return identified(replace(made, minimums=world.minimums, batches=turns))


def carry_out(world: World, top: Path) -> tuple[Any, Plan]:
    here = Theatre(top, *(replace(old(name), role=role) for name, role in world.roles.items()))
    try:
        nodes = {}
        for name, node in here.nodes.items():
            fated = Fated(name, here.said, node.reading)
            fated.world, fated.all = world, nodes
            fated.role = world.roles[name]
            nodes[name] = fated
        here.nodes = nodes  # type: ignore[assignment]
        made = planned(world, here)
        here.book.begin(Start(made.run, "harbor", "netstack", "upgrade", "ann", 1.0))
        scribe = Scribe(here.book, made.run, here.events.append)
        pace = Ordering(world)
        pace.run = Conductor(made, nodes, release(), scribe, "harbor", pace)  # type: ignore[arg-type]

        async def drive() -> Any:
            async with asyncio.timeout(30):
                return await pace.run.run()

        return asyncio.run(drive()), made
    finally:
        here.book.close()


@pytest.fixture(scope="module", autouse=True)
def _hurry() -> Iterator[None]:
    """Nobody is waited for: these nodes do at once what they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gatekeeper, "_BETWEEN_LOOKS_SECONDS", 0.005)
        patch.setattr(turn, "_BETWEEN_TRIES_SECONDS", 0.005)
        patch.setattr(orders, "_BETWEEN_TRIES_SECONDS", 0.005)
        yield


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(worlds())
def test_what_a_run_promises_holds(world: World) -> None:
    with TemporaryDirectory() as top:
        outcome, made = carry_out(world, Path(top))
    event(f"exit {outcome.exit.value}")
    assert not world.faults
    results = {each.node: each.result for each in outcome.nodes}
    assert [each.node for each in outcome.nodes] == [each.node for each in made.nodes]
    assert world.begun == [each.node for each in made.nodes][: len(world.begun)], "the order"
    assert max(Counter(world.begun).values(), default=1) == 1, "nobody is begun twice"
    for node, result in results.items():
        begun, fate = node in world.begun, world.fates[node]
        wanted = {
            GOOD: (Result.ACCEPTED, Result.ROLLED_BACK),  # taken back only by an abort
            GOES_BACK: (Result.ROLLED_BACK,),
            HELD: (Result.HELD, Result.ROLLED_BACK),
            REFUSES: (Result.REFUSED,),
        }
        if begun:
            assert result in wanted[fate], (node, result)
            if (fate, result) == (GOOD, Result.ROLLED_BACK):
                assert any(o == "abort" for _, o in world.order), node
        else:
            assert result in (Result.NOT_STARTED, Result.REFUSED), (node, result)
    _stop_rule(world, results)
    _pauses(world, outcome, made)
    if outcome.exit is Exit.OK:
        assert {*results.values()} == {Result.ACCEPTED}


def _stop_rule(world: World, results: dict[str, Result]) -> None:
    """After the batch in which a limit was reached no further node was begun."""
    failed = refused = 0
    reached_at = None
    for number, node in enumerate(world.begun):
        failed += results[node] in (Result.ROLLED_BACK, Result.HELD)
        refused += results[node] is Result.REFUSED
        is_reached = failed >= max(1, world.policy.limit_failed) or refused >= max(
            1, world.policy.limit_refused
        )
        if is_reached and reached_at is None:
            reached_at = number
    if reached_at is not None:
        assert len(world.begun) - 1 - reached_at < world.policy.batch


def _pauses(world: World, outcome: Any, made: Plan) -> None:
    """Without an order in between, the policy's own pause is kept."""
    if world.order or any(world.fates[node] != GOOD for node in world.fates):
        return
    if world.minimums or not world.begun:
        return
    count, batch = len(made.nodes), world.policy.batch
    match world.policy.pause:
        case Pause.NONE:
            assert len(world.begun) == count
        case Pause.FIRST | Pause.ALL:
            assert len(world.begun) == min(batch, count)
        case Pause.AFTER_ROLE:
            assert len({world.roles[node] for node in world.begun}) == 1
    assert (outcome.exit is Exit.WAITING) == (len(world.begun) < count)
