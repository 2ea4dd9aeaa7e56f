"""The single acts and the upgrade: in the book before they begin, and at their end."""

import asyncio
import json
from collections.abc import Callable

import pytest

from app.runs.acting import Interrupted, Scene, act, finalize, roll_back
from app.runs.looking import chosen, look, unread
from app.runs.upgrading import Prepared, Upgrade, bring_to_rest
from backends.domain.facts import Finalized, NodeReading
from backends.domain.gates import before_upgrade
from backends.domain.plan import Treatment
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import NodeState
from backends.engine.answer import Answer
from backends.engine.planner import target_of
from backends.engine.results import NodeResult, Result
from backends.store.book import Run
from tests.domain.nodes import node, silent, transaction, upgraded
from tests.runs.pretended import Asked, Pretended, Theatre, session
from tests.support.readings import RUN, item, old, plan, release

Make = Callable[..., Theatre]


def the_run(here: Theatre, run: str = "r1") -> Run:
    found = here.book.run(run)
    assert found is not None
    return found


async def done(
    here: Theatre, work: object, wanted: Result = Result.DONE, **other: object
) -> object:
    return await act(
        session(here.nodes, **other),  # type: ignore[arg-type]
        here.book,
        "r1",
        "accept",
        wanted,
        work,  # type: ignore[arg-type]
        here.events.append,
        "CHG-1",
    )


async def test_an_act_is_in_the_book_before_it_is_done_and_with_its_end_after(
    theatre: Make,
) -> None:
    here = theatre(upgraded("n1"))

    async def work(scene: Scene) -> list[NodeResult]:
        begun = the_run(here)
        assert (begun.ended, begun.kind, begun.note) == (None, "accept", "CHG-1")
        assert [each.name for each in scene.readings] == ["n1"]
        return [NodeResult("n1", Result.DONE)]

    found = await done(here, work)
    assert (found.exit, found.run, found.kind) == (Exit.OK, "r1", "accept")  # type: ignore[attr-defined]
    ended = the_run(here)
    assert ended.exit == Exit.OK
    assert ended.ended is not None


async def test_names_that_are_no_node_are_part_of_the_result(theatre: Make) -> None:
    here = theatre(upgraded("n1"))

    async def work(scene: Scene) -> list[NodeResult]:
        return [NodeResult("n1", Result.DONE)]

    found = await done(here, work, unknown=("n9",))
    assert [each.node for each in found.nodes] == ["n1", "n9"]  # type: ignore[attr-defined]
    assert found.exit is Exit.NEEDS_PERSON  # type: ignore[attr-defined]


async def test_a_refusal_and_an_interruption_are_in_the_book(theatre: Make) -> None:
    here = theatre(upgraded("n1"))

    async def refused(scene: Scene) -> list[NodeResult]:
        raise LiftlockError(Problem("declined", "Nothing was done."), Exit.REFUSED)

    with pytest.raises(LiftlockError):
        await done(here, refused)
    assert the_run(here).exit == Exit.REFUSED
    assert "declined" in (the_run(here).outcome or "")


async def test_an_act_that_broke_has_an_end_in_the_book(theatre: Make) -> None:
    here = theatre(upgraded("n1"))

    async def broken(scene: Scene) -> list[NodeResult]:
        raise KeyError("zonk")

    with pytest.raises(KeyError):
        await done(here, broken)
    assert (the_run(here).exit, the_run(here).outcome) == (Exit.ERROR, "broke off: KeyError")


class Stuck(Pretended):
    """A node whose updater died, and that says nothing, or nonsense, when it is to recover."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        lost = old(name, state=NodeState.INCONSISTENT)
        super().__init__(name, [], lost)
        self.asked = asyncio.Event()
        self._error = error

    async def ask(self, command: str, **args: object) -> Answer:
        self.asked.set()
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError


async def recovers(here: Theatre, stuck: Stuck) -> object:
    about = session({"n1": stuck})
    return await bring_to_rest(about, here.book, release(), "CHG-3", here.events.append)


async def test_bringing_to_rest_has_an_end_in_the_book_when_it_is_interrupted(
    theatre: Make,
) -> None:
    here, stuck = theatre(), Stuck("n1")
    running = asyncio.get_running_loop().create_task(recovers(here, stuck))
    await stuck.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (found,) = here.book.runs()
    assert (found.kind, found.exit, found.outcome) == ("recover", 130, "interrupted")


async def test_bringing_to_rest_has_an_end_in_the_book_when_it_breaks(theatre: Make) -> None:
    here = theatre()
    with pytest.raises(RuntimeError):
        await recovers(here, Stuck("n1", RuntimeError("zonk")))
    (found,) = here.book.runs()
    assert (found.exit, found.outcome) == (Exit.ERROR, "broke off: RuntimeError")


async def test_a_cancelled_act_says_on_which_nodes_it_had_begun(theatre: Make) -> None:
    here = theatre(upgraded("n1"), upgraded("n2"))
    begun = asyncio.Event()

    async def work(scene: Scene) -> list[NodeResult]:
        await scene.acts.accept(upgraded("n2", state=NodeState.HELD), "why")
        begun.set()
        await asyncio.Event().wait()
        return []

    running = asyncio.get_running_loop().create_task(done(here, work))
    await begun.wait()
    running.cancel()
    with pytest.raises(Interrupted) as raised:
        await running
    assert raised.value.begun == ("n2",)
    assert (the_run(here).exit, the_run(here).outcome) == (130, "interrupted")


# --- roll back and finalize ---------------------------------------------------------------------


async def yes(*_: object) -> bool:
    return True


async def no(*_: object) -> bool:
    return False


async def agreed(_: object) -> None:
    return None


def back(go_on: Callable[..., object] = yes) -> object:
    async def work(scene: Scene) -> list[NodeResult]:
        return await roll_back(scene, "why", agreed, go_on)  # type: ignore[arg-type]

    return work


def opened(name: str) -> NodeReading:
    return upgraded(name, transaction=transaction(driver_alive=False))


async def test_the_last_one_goes_back_first_and_then_it_is_asked(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"), old("n3"))
    found = await done(here, back(), Result.ROLLED_BACK)
    assert here.said == ["rollback n2", "rollback n1"]
    results = {each.node: each.result for each in found.nodes}  # type: ignore[attr-defined]
    assert results["n1"] is results["n2"] is Result.ROLLED_BACK
    assert results["n3"] is Result.ALREADY


async def test_no_after_the_first_leaves_the_others_and_is_not_ok(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"))
    found = await done(here, back(no), Result.ROLLED_BACK)
    assert here.said == ["rollback n2"]
    assert found.exit is Exit.WAITING  # type: ignore[attr-defined]


async def test_where_it_is_final_on_a_node_the_others_go_back_only_by_name(theatre: Make) -> None:
    final = node("n1", "4.12", finalized=Finalized("4.12", "1120-k7f", "d" * 64))
    here = theatre(final, opened("n2"))
    with pytest.raises(LiftlockError) as refused:
        await done(here, back(), Result.ROLLED_BACK)
    assert refused.value.exit_code is Exit.REFUSED
    assert refused.value.problem.code == "final-in-part"
    assert "n1: final already" in refused.value.problem.summary
    assert "rollback harbor -n n2" in refused.value.problem.advice
    assert here.said == []
    await done(here, back(), Result.ROLLED_BACK, chosen=("n2",))
    assert here.said == ["rollback n2"]


async def test_only_the_chosen_nodes_go_back(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"))
    await done(here, back(), Result.ROLLED_BACK, chosen=("n1",))
    assert here.said == ["rollback n1"]


@pytest.mark.parametrize(
    ("readings", "code"),
    [((old("n1"), old("n2")), Exit.REFUSED), ((old("n1"), silent("n2")), Exit.UNREACHABLE)],
)
async def test_nothing_open_and_not_known_are_told_apart(
    theatre: Make, readings: tuple[NodeReading, ...], code: Exit
) -> None:
    here = theatre(*readings)
    with pytest.raises(LiftlockError) as raised:
        await done(here, back(), Result.ROLLED_BACK)
    assert raised.value.exit_code is code
    assert not here.said
    assert the_run(here).exit == code


def final(version: str | None = "4.12", says: Callable[[str], object] = agreed) -> object:
    async def work(scene: Scene) -> list[NodeResult]:
        return await finalize(scene, version, says)  # type: ignore[arg-type]

    return work


@pytest.mark.parametrize(
    "readings",
    [
        (upgraded("n1"), silent("n2")),
        (upgraded("n1"), upgraded("n2", state=NodeState.MONITORING)),
        (upgraded("n1"), upgraded("n2", state=NodeState.HELD)),
        (upgraded("n1"), old("n2")),
    ],
)
async def test_nothing_is_made_final_unless_all_have_accepted(
    theatre: Make, readings: tuple[NodeReading, ...]
) -> None:
    here = theatre(*readings)
    with pytest.raises(LiftlockError):
        await done(here, final(), Result.FINALIZED)
    assert not here.said


async def test_another_version_than_agreed_is_not_made_final(theatre: Make) -> None:
    here = theatre(upgraded("n1"))

    async def other(version: str) -> None:
        raise LiftlockError(Problem("changed-meanwhile", version))

    for work in (final("4.13"), final("4.12", other)):
        with pytest.raises(LiftlockError):
            await done(here, work, Result.FINALIZED)
    assert not here.said


# --- looking ------------------------------------------------------------------------------------


async def test_the_whole_cluster_is_looked_at_also_what_is_left_out(theatre: Make) -> None:
    here = theatre(node("n1"), node("n2", excluded="dead"))
    made = session(here.nodes, chosen=("n1",), contacts={"n1": here.nodes["n1"]})
    assert [each.name for each in unread(made)] == ["n1", "n2"]
    readings, verdict = await look(made)
    assert [each.name for each in readings] == ["n1", "n2"]
    assert readings[1].excluded == "dead"
    assert verdict.excluded == (("n2", "dead"),)
    assert [each.name for each in chosen(made, readings)] == ["n1"]


# --- the upgrade --------------------------------------------------------------------------------


def upgrade(here: Theatre, pace: object, **other: object) -> Upgrade:
    made = plan(*here.nodes)
    readings = tuple(each.reading for each in here.nodes.values())
    target = target_of(made, release(), "2026-11-20T00:00:00Z")
    gate = before_upgrade(readings, target, "harbor")
    ready = Prepared(release(), made, readings, target, gate, ())
    about = session(here.nodes, state_dir=here.book.path.parent / "operator", **other)
    return Upgrade(about, here.book, ready, here.events.append, note="CHG-2", pace=pace)  # type: ignore[arg-type]


def test_what_is_changing_is_what_is_to_be_done_first() -> None:
    made = plan("n1", item("n2", Treatment.RESUME), item("n3", Treatment.EXCLUDED), "n4")
    ready = Prepared(
        release(), made, (), target_of(made, release(), "2026-11-20T00:00:00Z"), None, ()
    )
    assert [each.node for each in ready.todo] == ["n2", "n1", "n4"]


async def test_an_upgrade_is_in_the_book_with_its_plan_and_its_end(theatre: Make) -> None:
    here = theatre(old("n1"))
    pace = Asked(here.said)
    one = upgrade(here, pace)
    result = await one.carry_out()
    found = the_run(here, RUN)
    assert (found.kind, found.version, found.note) == ("upgrade", "4.12", "CHG-2")
    assert (found.exit, found.outcome) == (result.exit, result.text)
    assert one.begun == ("n1",)
    rows = here.book._db.execute("select plan from run where id = ?", (RUN,)).fetchall()
    assert json.loads(rows[0][0])["nodes"][0]["node"] == "n1"


async def test_a_name_that_is_no_node_is_an_error_of_its_own(theatre: Make) -> None:
    here = theatre(old("n1"))
    result = await upgrade(here, Asked(here.said), unknown=("n9",)).carry_out()
    assert result.exit is Exit.NEEDS_PERSON
    assert [each.node for each in result.nodes] == ["n1", "n9"]
    assert the_run(here, RUN).exit == Exit.NEEDS_PERSON


async def test_a_paused_run_is_10_in_the_book_and_the_same_run_when_it_is_taken_up(
    theatre: Make,
) -> None:
    here = theatre(old("n1"))
    result = await upgrade(here, Asked(here.said, "install n1")).carry_out()
    assert (result.exit, the_run(here, RUN).exit) == (Exit.WAITING, 10)
    again = await upgrade(here, Asked(here.said)).carry_out()
    assert again.exit is Exit.OK
    assert the_run(here, RUN).exit == 0


async def test_an_interrupted_upgrade_is_130_in_the_book(theatre: Make) -> None:
    here = theatre(old("n1"))
    waits = asyncio.Event()

    class Never:
        async def may_begin(self, upcoming: object) -> str:
            waits.set()
            await asyncio.Event().wait()
            return ""

    running = asyncio.get_running_loop().create_task(upgrade(here, Never()).carry_out())
    await waits.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (the_run(here, RUN).exit, the_run(here, RUN).outcome) == (130, "interrupted")
    assert not here.said


async def test_an_upgrade_that_broke_has_an_end_in_the_book(theatre: Make) -> None:
    here = theatre(old("n1"))

    class Broken:
        async def may_begin(self, upcoming: object) -> str:
            raise RuntimeError("zonk")

    with pytest.raises(RuntimeError):
        await upgrade(here, Broken()).carry_out()
    found = the_run(here, RUN)
    assert (found.exit, found.outcome) == (Exit.ERROR, "broke off: RuntimeError")
    assert found.ended is not None
