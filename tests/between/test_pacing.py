"""A run by hand: which upcoming waits, and that nodes which are changing never do."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.between.news import Goes, Held, News, Waits
from app.between.pacing import ByHand
from backends.domain.pace import Upcoming
from backends.domain.states import Phase
from tests.support.readings import installs

WALK = [Upcoming(phase, ("n1", "n2")) for phase in (Phase.PREFLIGHT, Phase.STAGE, Phase.CHECK)]


class Walk:
    """A pace, and what it told."""

    def __init__(self) -> None:
        self.told: list[News] = []
        self.pace = ByHand(self.told.append)

    async def until_it_waits(self) -> None:
        """Let the run go on until it stands still."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def passes(self, upcoming: Upcoming) -> str:
        """What may begin without anybody: it is told to go and does not wait."""
        async with asyncio.timeout(1):
            reason = await self.pace.may_begin(upcoming)
        assert self.told[-1] == Goes(upcoming)
        return reason

    async def waits(self, upcoming: Upcoming, then: Callable[[], None]) -> str:
        """What has to wait does, until somebody says something; why the run pauses."""
        async with asyncio.timeout(1), asyncio.TaskGroup() as group:
            asked = group.create_task(self.pace.may_begin(upcoming))
            await self.until_it_waits()
            assert self.told[-1] == Waits(upcoming)
            assert not asked.done()
            then()
        return asked.result()


@pytest.fixture
def walk() -> Walk:
    return Walk()


async def past_the_first_install(walk: Walk) -> None:
    await walk.waits(installs("n1"), walk.pace.go)


async def test_a_run_waits_before_each_phase_that_a_person_walks_through(walk: Walk) -> None:
    preflight, stage, check = WALK
    assert await walk.passes(preflight) == ""
    assert await walk.waits(stage, walk.pace.go) == ""
    assert await walk.waits(check, walk.pace.go) == ""
    assert await walk.waits(installs("n1"), walk.pace.go) == ""
    assert await walk.passes(installs("n2")) == ""
    assert await walk.waits(installs("n3", waits="paused after n2"), walk.pace.go) == ""
    kinds = [type(each) for each in walk.told]
    assert kinds == [Goes, Waits, Goes, Waits, Goes, Waits, Goes, Goes, Waits, Goes]


@pytest.mark.parametrize("held", [False, True])
async def test_what_is_changing_already_never_waits(walk: Walk, held: bool) -> None:
    walk.pace.hold(held)
    assert await walk.passes(installs("n1", waits="paused", resumes=True)) == ""
    assert walk.told[-1] == Goes(installs("n1", waits="paused", resumes=True))


async def test_held_waits_before_every_node_until_it_is_not_held_any_more(walk: Walk) -> None:
    await past_the_first_install(walk)
    walk.pace.hold(True)
    assert walk.told[-1] == Held(True)
    assert await walk.waits(installs("n2"), walk.pace.go) == ""
    assert await walk.waits(installs("n3"), walk.pace.go) == ""
    walk.pace.hold(False)
    assert walk.told[-1] == Held(False)
    assert await walk.passes(installs("n4")) == ""


async def test_hold_is_told_only_when_it_changes(walk: Walk) -> None:
    walk.pace.hold(False)
    walk.pace.hold(True)
    walk.pace.hold(True)
    assert walk.told == [Held(True)]


async def test_not_held_any_more_does_not_wait_any_more(walk: Walk) -> None:
    await past_the_first_install(walk)
    walk.pace.hold(True)
    walk.pace.hold(False)
    assert await walk.passes(installs("n2")) == ""


async def test_a_run_that_is_paused_says_why_and_does_not_go(walk: Walk) -> None:
    reason = await walk.waits(WALK[1], lambda: walk.pace.pause("ended here by a person"))
    assert reason == "ended here by a person"
    assert not any(isinstance(each, Goes) for each in walk.told)


async def test_go_and_pause_when_nothing_waits_are_nothing(walk: Walk) -> None:
    walk.pace.go()
    walk.pace.pause("why")
    walk.pace.hold(True)
    walk.pace.go()
    assert walk.told == [Held(True)]
    assert await walk.waits(WALK[1], walk.pace.go) == ""


@pytest.mark.parametrize("second", ["go", "pause"])
async def test_the_first_word_counts(walk: Walk, second: str) -> None:
    def both() -> None:
        walk.pace.go()
        walk.pace.go() if second == "go" else walk.pace.pause("too late")

    assert await walk.waits(WALK[1], both) == ""
    # The second one was for the step that waited, and not for the one that waits next.
    assert await walk.waits(WALK[2], walk.pace.go) == ""


async def test_a_run_that_is_cancelled_where_it_waits_can_be_asked_again(walk: Walk) -> None:
    waiting: Awaitable[str] = walk.pace.may_begin(WALK[1])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await waiting
    walk.pace.go()
    assert await walk.waits(WALK[2], walk.pace.go) == ""


async def test_an_ended_run_takes_no_further_step_and_what_changes_is_finished(walk: Walk) -> None:
    await past_the_first_install(walk)
    walk.pace.end("ended by a rollback")
    assert await walk.pace.may_begin(installs("n2")) == "ended by a rollback"
    assert await walk.passes(installs("n3", resumes=True)) == ""


async def test_a_run_that_is_ended_where_it_waits_waits_no_longer(walk: Walk) -> None:
    reason = await walk.waits(WALK[1], lambda: walk.pace.end("ended by a rollback"))
    assert reason == "ended by a rollback"
    assert await walk.pace.may_begin(WALK[2]) == "ended by a rollback"


async def test_nobody_is_asked_while_others_come_to_serve_and_held_counts_afterwards(
    walk: Walk,
) -> None:
    await past_the_first_install(walk)
    walk.pace.hold(True)
    for _ in range(3):
        assert await walk.passes(installs("n2", settling="n3 is sick")) == ""
    assert await walk.waits(installs("n2"), walk.pace.go) == ""


async def test_a_run_that_waits_for_others_to_serve_can_be_ended(walk: Walk) -> None:
    await past_the_first_install(walk)
    assert await walk.passes(installs("n2", settling="n3 is sick")) == ""
    walk.pace.pause("ended here by a person")
    assert await walk.pace.may_begin(installs("n2", settling="n3 is sick")) == (
        "ended here by a person"
    )


async def test_what_has_begun_is_not_ended_by_a_key_that_came_late(walk: Walk) -> None:
    await past_the_first_install(walk)
    assert await walk.passes(installs("n2", settling="n3 is sick")) == ""
    assert await walk.passes(installs("n2")) == ""
    walk.pace.pause("ended here by a person")
    assert await walk.passes(installs("n3")) == ""
