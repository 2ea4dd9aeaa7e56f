"""What is waited for between two nodes: that what one turn has shaken serves again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.runs.acting import Done, Scene, act, roll_back
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.pace import Upcoming
from backends.domain.plan import Plan
from backends.domain.policy import Limits, Pause, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import HealthState, NodeState, ServiceState
from backends.engine import gatekeeper, serving
from backends.engine.answer import Answer
from backends.engine.results import NodeResult, Result
from tests.domain.nodes import nothing_there, silent, transaction, upgraded
from tests.runs.pretended import PATIENCE_SECONDS, Asked, Theatre, session
from tests.support.readings import item, old, plan

Make = Callable[..., Theatre]
FOR_EVER = float("inf")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long between two looks."""
    monkeypatch.setattr(serving, "_BETWEEN_LOOKS_SECONDS", 0.01)
    monkeypatch.setattr(gatekeeper, "_BETWEEN_LOOKS_SECONDS", 0.01)


# --- roll back ----------------------------------------------------------------------------------


class Person:
    """Answers whether to go on, and remembers what was asked."""

    def __init__(self, *answers: bool) -> None:
        self.answers = [*answers]
        self.asked: list[tuple[str, tuple[str, ...], Problem | None]] = []

    async def go_on(self, last: str, rest: tuple[str, ...], sick: Problem | None) -> bool:
        self.asked.append((last, rest, sick))
        return self.answers.pop(0)


def opened(name: str, health: HealthState = HealthState.HEALTHY) -> NodeReading:
    return upgraded(name, transaction=transaction(driver_alive=False), health=health)


async def taken_back(here: Theatre, person: Person) -> Done:
    async def agreed(_: object) -> None:
        return None

    async def work(scene: Scene) -> list[NodeResult]:
        return await roll_back(scene, "why", agreed, person.go_on)

    chosen = session(here.nodes)
    return await act(
        chosen, here.book, "r1", "rollback", Result.ROLLED_BACK, work, here.events.append
    )


def results(found: Done) -> dict[str, Result]:
    return {each.node: each.result for each in found.nodes}


async def test_a_node_that_serves_is_taken_back_only_when_the_one_before_serves_again(
    theatre: Make,
) -> None:
    here = theatre(opened("n1"), opened("n2"))
    here.nodes["n2"].sick_when_back = 3
    person = Person(True)
    found = await taken_back(here, person)
    assert person.asked == [("n2", ("n1",), None)]  # it serves by the time it is asked
    assert (found.exit, results(found)) == (
        Exit.OK,
        {"n1": Result.ROLLED_BACK, "n2": Result.ROLLED_BACK},
    )
    texts = [(event.node, event.text) for event in here.events]
    early = next(at for at, (_, text) in enumerate(texts) if text.startswith("does not serve yet"))
    settling = [event.data["settling"] for event in here.events if "settling" in event.data]
    assert settling[0] == f"n2 does not serve yet; waited for, {PATIENCE_SECONDS:g} s at most"
    assert settling[1:] == ["", ""]  # n2 serves, n1 serves
    assert texts[early][0] == "n2"
    assert "healthz: HTTP 503" in texts[early][1]
    assert early < texts.index(("n2", "serves again")) < texts.index(("n1", "roll back"))


async def test_who_does_not_serve_in_time_is_asked_about_and_no_ends_it(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"), opened("n3"))
    here.nodes["n3"].sick_when_back = FOR_EVER
    person = Person(False)
    found = await taken_back(here, person)
    (last, rest, sick), *others = person.asked
    assert (last, rest, others) == ("n3", ("n2", "n1"), [])
    assert sick is not None
    assert (sick.code, sick.evidence) == ("back-and-not-serving", "n3: healthz: HTTP 503")
    assert sick.summary.startswith("n3 is back, proven, and was not seen to serve within")
    assert found.exit is Exit.NEEDS_PERSON
    assert results(found) == {
        "n1": Result.NOT_STARTED,
        "n2": Result.NOT_STARTED,
        "n3": Result.UNHEALTHY,
    }
    assert here.said == ["rollback n3"]


async def test_a_person_may_go_on_all_the_same_and_is_not_asked_about_it_again(
    theatre: Make,
) -> None:
    here = theatre(opened("n1"), opened("n2"), opened("n3"))
    here.nodes["n3"].sick_when_back = FOR_EVER
    person = Person(True)
    found = await taken_back(here, person)
    assert [last for last, _, _ in person.asked] == ["n3"]
    assert here.said == ["rollback n3", "rollback n2", "rollback n1"]
    assert found.exit is Exit.NEEDS_PERSON  # n3 still does not serve
    assert results(found)["n3"] is Result.UNHEALTHY
    assert results(found)["n1"] is results(found)["n2"] is Result.ROLLED_BACK


async def test_all_that_do_not_serve_are_named_also_those_that_were_waived(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"), opened("n3"))
    here.nodes["n3"].sick_when_back = here.nodes["n2"].sick_when_back = FOR_EVER
    person = Person(True, False)
    found = await taken_back(here, person)
    assert [last for last, _, _ in person.asked] == ["n3", "n2"]
    assert results(found)["n3"] is results(found)["n2"] is Result.UNHEALTHY
    assert results(found)["n1"] is Result.NOT_STARTED


async def test_a_late_yes_is_about_what_is_so_then(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"))

    class Late(Person):
        async def go_on(self, last: str, rest: tuple[str, ...], sick: Problem | None) -> bool:
            here.nodes["n2"].sick_reads = FOR_EVER  # while the person thought
            return await super().go_on(last, rest, sick)

    person = Late(True, False)
    found = await taken_back(here, person)
    assert [sick is not None for _, _, sick in person.asked] == [False, True]
    assert here.said == ["rollback n2"]
    assert found.exit is Exit.NEEDS_PERSON


@pytest.mark.parametrize("reads", ["sick", "not at all"])
async def test_one_bad_reading_of_the_next_node_does_not_free_the_way(
    theatre: Make, reads: str
) -> None:
    here = theatre(opened("n1"), opened("n2"))
    here.nodes["n2"].sick_when_back = FOR_EVER
    pretended = here.nodes["n1"]
    read, count = pretended.read, 0

    async def once_well() -> NodeReading:
        nonlocal count
        count += 1
        if count == 1:
            return await read()
        return silent("n1") if reads == "not at all" else opened("n1", HealthState.FAILING)

    pretended.read = once_well  # type: ignore[method-assign]
    person = Person(False)
    found = await taken_back(here, person)
    assert [sick is not None for _, _, sick in person.asked] == [True]
    assert here.said == ["rollback n2"]
    assert found.exit is Exit.NEEDS_PERSON


async def test_who_went_back_before_and_does_not_serve_is_in_the_way_the_second_time_too(
    theatre: Make,
) -> None:
    out = old("n3", state=NodeState.ROLLED_BACK, health=HealthState.FAILING)
    here = theatre(opened("n1"), opened("n2"), out)
    person = Person(False)
    found = await taken_back(here, person)
    assert [(last, rest, sick is not None) for last, rest, sick in person.asked] == [
        ("n3", ("n2", "n1"), True)
    ]
    assert here.said == []
    assert found.exit is Exit.NEEDS_PERSON
    assert results(found)["n3"] is Result.UNHEALTHY


async def test_who_waits_can_be_told_to_ask_at_once(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"))
    here.nodes["n2"].sick_when_back = FOR_EVER
    person = Person(False)

    async def agreed(_: object) -> None:
        return None

    async def work(scene: Scene) -> list[NodeResult]:
        asyncio.get_running_loop().call_later(0.1, scene.acts.stop_waiting)
        return await roll_back(scene, "why", agreed, person.go_on)

    chosen = session(here.nodes, limits=Limits(healthy_deadline_seconds=60))
    async with asyncio.timeout(5):
        await act(chosen, here.book, "r1", "rollback", Result.ROLLED_BACK, work, lambda _: None)
    assert [last for last, _, _ in person.asked] == ["n2"]


async def test_after_the_first_node_a_sick_one_is_asked_about_too(theatre: Make) -> None:
    here = theatre(opened("n1"), opened("n2"), opened("n3"))
    here.nodes["n2"].sick_when_back = FOR_EVER
    person = Person(True, False)
    found = await taken_back(here, person)
    assert [(last, sick is not None) for last, _, sick in person.asked] == [
        ("n3", False),
        ("n2", True),
    ]
    assert results(found)["n1"] is Result.NOT_STARTED
    assert found.exit is Exit.NEEDS_PERSON


async def test_nobody_waits_before_a_node_that_does_not_serve_anyhow(theatre: Make) -> None:
    failing = HealthState.FAILING
    here = theatre(opened("n1", failing), opened("n2", failing), opened("n3", failing))
    for name in ("n3", "n2"):
        here.nodes[name].sick_when_back = 12  # and no sooner: they need each other
    person = Person(True)
    found = await taken_back(here, person)
    assert person.asked == [("n3", ("n2", "n1"), None)]
    assert (found.exit, {*results(found).values()}) == (Exit.OK, {Result.ROLLED_BACK})
    texts = [event.text for event in here.events]
    begun = [at for at, text in enumerate(texts) if text == "roll back"]
    assert "serves again" not in texts[: begun[-1]]


async def test_the_last_node_has_to_serve_as_well(theatre: Make) -> None:
    here = theatre(opened("n1"))
    here.nodes["n1"].sick_when_back = FOR_EVER
    found = await taken_back(here, Person())
    assert (found.exit, results(found)) == (Exit.NEEDS_PERSON, {"n1": Result.UNHEALTHY})
    assert found.nodes[0].problem is not None
    assert found.nodes[0].problem.code == "back-and-not-serving"


def once_back(here: Theatre, becomes: Callable[[NodeFacts], NodeReading]) -> None:
    """When n1 is asked to go back, this is what is read of it afterwards."""
    pretended = here.nodes["n1"]
    ask = pretended.ask

    async def asked(command: str, **args: object) -> Answer:
        answer = await ask(command, **args)
        facts = pretended.reading.facts
        assert facts is not None
        pretended.reading = becomes(facts)
        return answer

    pretended.ask = asked  # type: ignore[method-assign]


def stopped(facts: NodeFacts) -> NodeReading:
    down = replace(facts, running=None, service=ServiceState.STOPPED, health=HealthState.FAILING)
    return NodeReading("n1", facts=down, age_seconds=0.0)


async def waits_for_n1(here: Theatre, then: Callable[[], None], at: float) -> tuple[float, Done]:
    """A rollback of n1 with much patience, and what happens meanwhile; how long it took."""
    person = Person()

    async def agreed(_: object) -> None:
        asyncio.get_running_loop().call_later(at, then)

    async def work(scene: Scene) -> list[NodeResult]:
        return await roll_back(scene, "why", agreed, person.go_on)

    chosen = session(here.nodes, limits=Limits(healthy_deadline_seconds=2))
    began = time.monotonic()
    found = await act(
        chosen, here.book, "r1", "rollback", Result.ROLLED_BACK, work, here.events.append
    )
    return time.monotonic() - began, found


async def test_a_service_that_stays_stopped_is_not_waited_for_as_long(
    theatre: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_STOPPED_SECONDS", 0.05)
    here = theatre(opened("n1"))
    once_back(here, stopped)
    took, found = await waits_for_n1(here, lambda: None, 0.0)
    assert took < 2
    assert results(found) == {"n1": Result.UNHEALTHY}


async def test_a_moment_of_being_stopped_does_not_end_the_wait(
    theatre: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_STOPPED_SECONDS", 0.3)
    here = theatre(opened("n1"))
    pretended = here.nodes["n1"]
    pretended.sick_when_back = FOR_EVER

    def restarts() -> None:
        well = pretended.reading
        assert well.facts is not None
        pretended.sick_reads = 0
        pretended.reading = stopped(well.facts)

        def up() -> None:
            pretended.reading = well

        asyncio.get_running_loop().call_later(0.1, up)

    _, found = await waits_for_n1(here, restarts, 0.5)  # later than the limit of the stopped
    assert results(found) == {"n1": Result.ROLLED_BACK}


async def test_a_product_that_is_removed_has_nothing_to_serve(theatre: Make) -> None:
    here = theatre(opened("n1"))

    def removed(facts: NodeFacts) -> NodeReading:
        return nothing_there("n1", state=facts.state, last_txn="t1", last_outcome="undone")

    once_back(here, removed)
    found = await taken_back(here, Person())
    assert (found.exit, results(found)) == (Exit.OK, {"n1": Result.ROLLED_BACK})


# --- the gate before a turn ---------------------------------------------------------------------


def shaken(here: Theatre, reads: float, name: str = "n3") -> None:
    """After the turn of n1, another node is read as failing so often."""
    first = here.nodes["n1"]
    accept = first.accept

    async def shakes(run: str, how: str, reason: str = "") -> Answer:
        here.nodes[name].sick_reads = reads
        return await accept(run, how, reason)

    first.accept = shakes  # type: ignore[method-assign]


def three(patience: float) -> Plan:
    limits = Limits(healthy_deadline_seconds=patience)
    return plan(*map(item, ("n1", "n2", "n3")), policy=Policy(pause=Pause.NONE), limits=limits)


async def test_a_turn_waits_until_the_others_serve_again(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    shaken(here, 3)
    pace = Asked(here.said)
    result = await here.carries_out(three(5), pace)
    assert result.exit is Exit.OK
    settling = [each.settling for each in pace.upcoming if each.nodes == ("n2",)]
    assert settling[0] == settling[-1] == ""  # before, and when nothing is waited for any more
    assert settling[1] == (
        "others healthy: n3: healthz: HTTP 503; 5 s at most; then no further node is begun"
    )
    told = [event.data["result"] for event in here.events if event.data.get("gate") == "before n2"]
    assert told.count("wait") == 1
    assert told[-1] == "ok"


async def test_who_stays_sick_shuts_the_gate_and_nothing_further_is_changed(
    theatre: Make,
) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    shaken(here, FOR_EVER)
    result = await here.carries_out(three(PATIENCE_SECONDS), Asked(here.said))
    assert result.exit is Exit.NEEDS_PERSON
    assert result.text == "the gate before n2 is shut"
    assert result.problem is not None
    assert "healthz: HTTP 503" in result.problem.evidence
    assert "install n2" not in here.said


async def test_a_person_can_end_the_run_while_it_waits_for_the_others(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    shaken(here, FOR_EVER)

    class Ends(Asked):
        async def may_begin(self, upcoming: Upcoming) -> str:
            said = await super().may_begin(upcoming)
            return "ended by a rollback" if upcoming.settling else said

    result = await here.carries_out(three(60), Ends(here.said))
    assert result.exit is Exit.WAITING
    assert "ended by a rollback" in result.text
    assert "install n2" not in here.said


@pytest.mark.parametrize("state", [NodeState.ROLLED_BACK, NodeState.ROLLING_BACK])
async def test_nobody_is_installed_after_an_accepted_node_was_taken_back_elsewhere(
    theatre: Make, state: NodeState
) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    shaken(here, FOR_EVER)

    class Elsewhere(Asked):
        async def may_begin(self, upcoming: Upcoming) -> str:
            if upcoming.settling:
                here.nodes["n1"].reading = old("n1", state=state)
                here.nodes["n3"].sick_reads = 0
            return await super().may_begin(upcoming)

    result = await here.carries_out(three(60), Elsewhere(here.said))
    assert result.exit is Exit.NEEDS_PERSON
    assert "install n2" not in here.said
    assert result.problem is not None
    assert f"accepted nodes stay: n1 is {state.replace('_', ' ')}" in result.problem.evidence


async def test_all_of_a_batch_pass_their_gates_in_the_same_reading(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    shaken(here, 2, "n2")  # before n3 it is one of the others, before n2 it is not
    policy = Policy(pause=Pause.NONE, batch=2)
    limits = Limits(healthy_deadline_seconds=5)
    made = plan(item("n1", role="a"), item("n2", role="b"), item("n3", role="b"), policy=policy)
    made = replace(made, limits=limits, policy=replace(policy, pause=Pause.AFTER_ROLE))
    pace = Asked(here.said)
    result = await here.carries_out(made, pace)
    assert result.exit is Exit.OK
    settling = [each.settling for each in pace.upcoming if each.nodes == ("n2", "n3")]
    assert [bool(words) for words in settling] == [False, True, True, False]


async def test_what_does_not_come_right_by_itself_is_not_waited_for(theatre: Make) -> None:
    here = theatre(old("n1"), old("n2"), old("n3"))
    first = here.nodes["n1"]
    accept = first.accept

    async def breaks(run: str, how: str, reason: str = "") -> Answer:
        here.nodes["n3"].reading = upgraded(
            "n3", state=NodeState.INCONSISTENT, health=HealthState.FAILING
        )
        return await accept(run, how, reason)

    first.accept = breaks  # type: ignore[method-assign]
    pace = Asked(here.said)
    result = await here.carries_out(three(60), pace)
    assert result.exit is Exit.NEEDS_PERSON
    assert not any(each.settling for each in pace.upcoming)


async def test_a_batch_waits_for_nobody_where_one_of_its_gates_is_shut_for_good(
    theatre: Make,
) -> None:
    here = theatre(*map(old, ("n1", "n2", "n3", "n4")))
    shaken(here, FOR_EVER, "n4")  # before n2 that may settle; before n3, n2 is down
    accept = here.nodes["n1"].accept

    async def breaks(run: str, how: str, reason: str = "") -> Answer:
        facts = here.nodes["n2"].reading.facts
        assert facts is not None
        here.nodes["n2"].reading = replace(stopped(facts), name="n2")
        return await accept(run, how, reason)

    here.nodes["n1"].accept = breaks  # type: ignore[method-assign]
    policy = Policy(pause=Pause.AFTER_ROLE, batch=2)
    made = plan(item("n1", role="a"), item("n2", role="b"), item("n3", role="b"), policy=policy)
    made = replace(made, limits=Limits(healthy_deadline_seconds=60))
    pace = Asked(here.said)
    async with asyncio.timeout(5):
        result = await here.carries_out(made, pace)
    assert result.exit is Exit.NEEDS_PERSON
    assert not any(upcoming.settling for upcoming in pace.upcoming)
    assert "install n2" not in here.said
    assert "install n3" not in here.said
