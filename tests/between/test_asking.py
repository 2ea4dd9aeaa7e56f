"""Questions: each is answered by its number, from any thread, once."""

import asyncio
import threading
from typing import Any

import pytest

from app.between.asking import Answer, Asking
from app.between.news import AskedSecret, AskedToAdopt, AskedToGoOn, News
from backends.engine.acts import Preview
from backends.transport.prompt import Question, Secret

QUESTION = Question(Secret.PASSWORD, "ops", "n1")


def answering(answer: Answer, *, thread: bool = False) -> tuple[Asking, list[News]]:
    """An asking whose questions are answered at once, from a thread of its own if wanted."""
    told: list[News] = []

    def tell(letter: News) -> None:
        told.append(letter)
        number = letter.number  # type: ignore[union-attr]
        if not thread:
            asking.answer(number, answer)
            return
        other = threading.Thread(target=asking.answer, args=(number, answer))
        other.start()
        other.join()

    asking = Asking(tell)
    return asking, told


@pytest.mark.parametrize("thread", [False, True])
async def test_a_secret_is_given_from_any_thread(thread: bool) -> None:
    asking, told = answering("geheim", thread=thread)
    assert await asking.ask(QUESTION) == "geheim"
    assert told == [AskedSecret(1, QUESTION)]


@pytest.mark.parametrize("answer", [None, "", True, False])
async def test_what_is_no_secret_is_none(answer: Answer) -> None:
    asking, _ = answering(answer)
    assert await asking.ask(QUESTION) is None


@pytest.mark.parametrize(("answer", "agreed"), [(True, True), (False, False), (None, False)])
async def test_only_yes_is_yes(answer: Answer, agreed: bool) -> None:
    asking, told = answering(answer)
    assert await asking.go_on("n2", ("n1",)) is agreed
    previews = (Preview("n1", ("4.12",), {"t": "adopted"}),)
    assert await asking.adopt(previews) is agreed
    assert told == [AskedToGoOn(1, "n2", ("n1",)), AskedToAdopt(2, previews)]


async def test_a_word_is_not_a_yes() -> None:
    asking, _ = answering("yes")
    assert await asking.go_on("n2", ()) is False


async def test_two_questions_at_once_are_answered_apart() -> None:
    told: list[News] = []
    asking = Asking(told.append)
    async with asyncio.TaskGroup() as group:
        one = group.create_task(asking.ask(QUESTION))
        other = group.create_task(asking.ask(QUESTION))
        while len(told) < 2:
            await asyncio.sleep(0)
        asking.answer(2, "second")
        asking.answer(1, "first")
    assert (one.result(), other.result()) == ("first", "second")


async def test_an_answer_to_nothing_is_dropped() -> None:
    asking, _ = answering("x")
    asking.answer(7, "nobody asked")
    assert await asking.ask(QUESTION) == "x"
    asking.answer(1, "too late")


async def test_a_second_answer_changes_nothing() -> None:
    told: list[News] = []
    asking = Asking(told.append)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(asking.ask(QUESTION))
        while not told:
            await asyncio.sleep(0)
        asking.answer(1, "first")
        asking.answer(1, "second")
    assert asked.result() == "first"


async def test_a_question_that_nobody_waits_for_any_more_is_forgotten() -> None:
    told: list[News] = []
    asking = Asking(told.append)
    asked: asyncio.Task[Any] = asyncio.get_running_loop().create_task(asking.ask(QUESTION))
    while not told:
        await asyncio.sleep(0)
    asked.cancel()
    asking.answer(1, "in the same moment")
    with pytest.raises(asyncio.CancelledError):
        await asked
    asking.answer(1, "late")
    await asyncio.sleep(0)


async def test_an_answer_after_the_loop_is_gone_harms_nobody() -> None:
    told: list[News] = []
    asking = Asking(told.append)

    async def ask() -> None:
        try:
            async with asyncio.timeout(0):
                await asking.ask(QUESTION)
        except TimeoutError:
            return

    thread = threading.Thread(target=lambda: asyncio.run(ask()))
    thread.start()
    thread.join()
    asking.answer(1, "nobody is there")
