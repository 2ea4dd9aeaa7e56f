"""What is typed or pasted into a field."""

import pytest
from textual import events

from tests.support.screen import text_of
from tests.widgets.stage import Stage
from widgets.field import Field


@pytest.mark.parametrize(
    ("pasted", "value"),
    [
        ("plain", "plain"),
        ("a\x1b[2Jb", "a^[[2Jb"),
        ("a\u202eb", "a\\u202eb"),
        ("[/x] [b]", "[/x] [b]"),
        ("a\tb", "a b"),
    ],
)
async def test_what_is_pasted_is_shown_as_what_it_is(pasted: str, value: str) -> None:
    field = Field()
    stage = Stage(field)
    async with stage.run_test(size=(40, 5)) as pilot:
        field.focus()
        field.post_message(events.Paste(pasted))
        await pilot.pause()
        assert field.value == value
        assert value in "\n".join(text_of(stage))


async def test_of_a_secret_every_letter_counts() -> None:
    field = Field(password=True)
    stage = Stage(field)
    async with stage.run_test(size=(40, 5)) as pilot:
        field.focus()
        field.post_message(events.Paste("a\x1b\u202e"))
        await pilot.pause()
        assert field.value == "a\x1b\u202e"
        assert "•••" in "\n".join(text_of(stage))
