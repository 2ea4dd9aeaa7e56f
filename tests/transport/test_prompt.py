"""Secrets that a person says: each asked for once, kept in memory only, never for longer or for
others than they are good for."""

import asyncio

import pytest

from backends.transport.prompt import Nobody, Question, Secret, Secrets
from tests.support.ssh import Person

ANN = (Secret.PASSWORD, "ann")


async def test_what_was_said_once_is_not_asked_again() -> None:
    person = Person("a word")
    secrets = Secrets(person)
    assert [await secrets.get(*ANN, node) for node in ("n1", "n2", "n1")] == ["a word"] * 3
    assert person.asked == [Question(*ANN, "n1")]


@pytest.mark.parametrize(
    ("secret", "about"), [(Secret.PASSWORD, "bob"), (Secret.SUDO_PASSWORD, "ann")]
)
async def test_it_is_good_for_one_purpose_of_one_user(secret: Secret, about: str) -> None:
    person = Person("a word", "another")
    secrets = Secrets(person)
    assert await secrets.get(*ANN, "n1") == "a word"
    assert await secrets.get(secret, about, "n1") == "another"


async def test_a_code_is_asked_for_each_time() -> None:
    person = Person("1", "2", None, "3")
    secrets = Secrets(person)
    assert await secrets.get(Secret.CODE, "ann", "n1", text="Code:") == "1"
    assert await secrets.get(Secret.CODE, "ann", "n1", text="Code:") == "2"
    assert [each.text for each in person.asked] == ["Code:"] * 2
    assert await secrets.get(Secret.CODE, "ann", "n1") is None
    assert await secrets.get(Secret.CODE, "ann", "n2") is None, "declined once, not asked again"
    assert len(person.asked) == 3


async def test_who_declines_is_not_asked_again_but_what_is_known_still_counts() -> None:
    person = Person("a word", None)
    secrets = Secrets(person)
    assert await secrets.get(*ANN, "n1") == "a word"
    assert await secrets.get(*ANN, "n2", refused="a word") is None
    assert await secrets.get(*ANN, "n2", refused="a word") is None
    assert await secrets.get(*ANN, "n1") == "a word"
    assert await secrets.get(*ANN, "n3") == "a word"
    assert len(person.asked) == 2


async def test_a_refused_secret_is_asked_for_by_the_nodes_name_and_said_to_be_refused() -> None:
    person = Person("a word", "another")
    secrets = Secrets(person)
    await secrets.get(*ANN, "n1")
    assert await secrets.get(*ANN, "n2", refused="a word") == "another"
    assert person.asked[1] == Question(*ANN, "n2", again=True)


async def test_each_node_keeps_the_secret_that_it_took() -> None:
    person = Person("of n1", "of n2")
    secrets = Secrets(person)
    await secrets.get(*ANN, "n1")
    await secrets.get(*ANN, "n2", refused="of n1")
    for _ in range(2):
        assert await secrets.get(*ANN, "n1") == "of n1"
        assert await secrets.get(*ANN, "n2") == "of n2"
    assert len(person.asked) == 2


async def test_a_slip_of_the_finger_is_corrected_for_everybody() -> None:
    person = Person("slip", "right")
    secrets = Secrets(person)
    await secrets.get(*ANN, "n1")
    assert await secrets.get(*ANN, "n2") == "slip"  # at the same time
    assert await secrets.get(*ANN, "n1", refused="slip") == "right"
    assert await secrets.get(*ANN, "n2", refused="slip") == "right"
    assert await secrets.get(*ANN, "n3") == "right"
    assert len(person.asked) == 2


async def test_a_slip_that_nobody_corrects_is_tried_nowhere_else() -> None:
    secrets = Secrets(Person("slip", None))
    await secrets.get(*ANN, "n1")
    assert await secrets.get(*ANN, "n1", refused="slip") is None
    assert await secrets.get(*ANN, "n2") is None


async def test_whoever_comes_meanwhile_waits_for_the_one_answer() -> None:
    person = Person("a word", seconds=0.02)
    secrets = Secrets(person)
    found = await asyncio.gather(*(secrets.get(*ANN, f"n{number}") for number in range(50)))
    assert set(found) == {"a word"}
    assert len(person.asked) == 1


async def test_a_person_is_asked_one_thing_at_a_time() -> None:
    open_questions = most = 0

    class Watches(Person):
        async def ask(self, question: Question) -> str | None:
            nonlocal open_questions, most
            open_questions += 1
            most = max(most, open_questions)
            await asyncio.sleep(0)
            open_questions -= 1
            return question.about

    secrets = Secrets(Watches())
    await asyncio.gather(*(secrets.get(Secret.PASSWORD, str(n), "n1") for n in range(20)))
    assert most == 1


async def test_who_is_cancelled_while_asking_leaves_the_question_to_the_next() -> None:
    person = Person("a word", "a word", seconds=0.02)
    secrets = Secrets(person)
    asking = asyncio.get_running_loop().create_task(secrets.get(*ANN, "n1"))
    waiting = asyncio.get_running_loop().create_task(secrets.get(*ANN, "n2"))
    await asyncio.sleep(0.005)
    asking.cancel()
    assert await waiting == "a word"
    assert [each.node for each in person.asked] == ["n1", "n2"]


async def test_nobody_answers_nothing() -> None:
    secrets = Secrets(Nobody())
    assert await secrets.get(*ANN, "n1") is None


async def test_what_was_said_does_not_show() -> None:
    person = Person("a-secret-word")
    secrets = Secrets(person)
    await secrets.get(*ANN, "n1")
    for each in (secrets, person.asked):
        assert "a-secret-word" not in repr(each)
        assert "a-secret-word" not in str(each)
