"""The harness of hostile texts sees what it is there for, and no text ends the program."""

import pytest

from tests.hostile.gallery import HARMLESS, Gallery
from tests.hostile.painted import Painted, foreign, taken_apart
from tests.hostile.texts import corpus

NOTHING = Painted()


def objections(text: str) -> list[str]:
    """What the harness says of a text that came through as it is."""
    found = taken_apart(text.encode("utf-8", "surrogatepass"))
    return found.strange + foreign(found, NOTHING)


def test_there_are_at_least_two_hundred_texts() -> None:
    assert len(corpus()) >= 200


OBEYED = [each for each in corpus() if not (each.isprintable() or each.isspace())]


@pytest.mark.parametrize("text", OBEYED, ids=lambda text: ascii(text[:20]))
def test_row_64_the_harness_objects_to_each_text_that_came_through(text: str) -> None:
    assert objections(text)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[31m\x1b[41;1Hx",  # below the last line
        b"\x1b[1;121Hx",
        b"a\xffb",
        b"a\xe2\x80",
        "a\u202eb".encode(),
        "a\x9b31mb".encode(),
        b"a\x7fb",
        b"\x1b",
        b"\x1b]0;title",
    ],
)
def test_row_64_the_harness_objects_to_what_stands_wrong(data: bytes) -> None:
    found = taken_apart(data)
    assert found.strange + foreign(found, taken_apart(b"\x1b[31m\x1b[1;1Hx"))


def test_a_mode_that_is_set_once_more_than_usual_is_foreign() -> None:
    usual = taken_apart(b"\x1b[?1049h x \x1b[?1049l")
    assert foreign(taken_apart(b"\x1b[?1049h x\x1b[?1049l y \x1b[?1049l"), usual)
    assert not foreign(usual, usual)


def test_letters_of_two_colours_stand_side_by_side() -> None:
    assert taken_apart(b"\x1b[1;1Ha\x1b[31mb\x1b[0mc\x1b[2;1Hd").runs == ["", "abc", "d"]


async def test_row_65_no_text_ends_the_program() -> None:
    gallery = Gallery([*HARMLESS, *corpus()[::24], "[/x]", "[@click=app.quit]x[/]"])
    async with gallery.run_test(size=(120, 40)):
        await gallery.workers.wait_for_complete()
    assert gallery.return_code == 0
