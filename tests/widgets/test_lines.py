"""Scrolled lines: wrapping, going on at the end, following, staying where one reads."""

from collections.abc import Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.support.screen import counted, strips_of, style_of, text_of
from tests.widgets.stage import Stage
from widgets import lines as module
from widgets.cells import Line, Tone, line
from widgets.lines import Lines


def lines(stage: Any) -> Lines:
    found: Lines = stage.query_one(Lines)
    return found


async def shown(pilot: Pilot[None], content: Sequence[Line]) -> list[str]:
    """Show lines, and read the screen without the scrollbar."""
    lines(pilot.app).show(content)
    await pilot.pause()
    return [each.rstrip() for each in text_of(pilot.app)]


def numbered(count: int, text: str = "line") -> list[Line]:
    return [line(f"{text} ", (str(i), Tone.OK)) for i in range(1, count + 1)]


async def test_lines_are_wrapped_and_continued_further_in() -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(21, 6)) as pilot:
        content = [
            line("[red]one[/]", (" two three four", Tone.BAD)),
            line("日本語日本語日本語日"),
        ]
        assert await shown(pilot, content) == [
            "[red]one[/] two",
            "  three four",
            "日本語日本語日本語日",
            "",
            "",
            "",
        ]
        assert style_of(stage, "three").bold
        assert not style_of(stage, "one").bold
        await pilot.resize_terminal(31, 6)
        await pilot.pause()
        assert text_of(stage)[0] == "[red]one[/] two three four"
        assert {strip.cell_length for strip in strips_of(stage)} == {31}


async def test_nothing_says_so_quietly() -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(12, 4)) as pilot:
        lines(stage).empty = "No step [yet]: wait"
        assert await shown(pilot, []) == ["No step", "[yet]: wait", "", ""]
        assert (await shown(pilot, numbered(1)))[:2] == ["line 1", ""]
        assert (await shown(pilot, []))[0] == "No step"


async def test_unwrapped_lines_are_scrolled_sideways() -> None:
    stage = Stage(Lines(wrap=False))
    async with stage.run_test(size=(12, 4)) as pilot:
        content = [line("0123456789abcdef"), line("日本語日本語日本語")]
        assert (await shown(pilot, content))[:2] == ["0123456789a", "日本語日本"]
        lines(stage).scroll_to(x=5, animate=False)
        await pilot.pause()
        assert text_of(stage)[0].startswith("56789abcdef")


# --- following ----------------------------------------------------------------------------------


async def test_followed_lines_stay_at_the_end() -> None:
    stage = Stage(Lines(follow=True))
    async with stage.run_test(size=(20, 5)) as pilot:
        assert (await shown(pilot, numbered(3)))[0] == "line 1"
        assert (await shown(pilot, numbered(9)))[4].startswith("line 9")
        await pilot.press("k", "up")
        assert (await shown(pilot, numbered(12)))[4].startswith("line 7")
        await pilot.press("j")
        assert (await shown(pilot, numbered(13)))[4].startswith("line 8")
        await pilot.press("G")
        assert (await shown(pilot, numbered(20)))[4].startswith("line 20")
        await pilot.resize_terminal(20, 3)
        await pilot.pause()
        assert text_of(stage)[2].startswith("line 20")
        await pilot.resize_terminal(5, 3)
        await pilot.pause()
        assert text_of(stage)[2].startswith("  20")
        assert (await shown(pilot, numbered(2)))[2].startswith("  2")
        await pilot.resize_terminal(20, 5)
        assert (await shown(pilot, numbered(50)))[4].startswith("line 50")


async def test_the_scrollbar_is_where_the_view_is_also_when_both_come_at_once() -> None:
    stage = Stage(Lines(follow=True))
    async with stage.run_test(size=(20, 5)) as pilot:
        await shown(pilot, numbered(2))
        assert not lines(stage).show_vertical_scrollbar
        await shown(pilot, numbered(19))
        await pilot.pause()
        assert lines(stage).scroll_y == 14
        assert lines(stage).vertical_scrollbar.position == 14


async def test_lines_that_are_not_followed_stay_where_they_are() -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(20, 5)) as pilot:
        await shown(pilot, numbered(9))
        assert (await shown(pilot, numbered(12)))[0].startswith("line 1")
        await pilot.press("G")
        assert (await shown(pilot, numbered(13)))[4].startswith("line 12")
        assert (await shown(pilot, numbered(13, "new")))[4].startswith("new 12")


async def test_lines_shown_before_the_first_layout_are_followed_after_it() -> None:
    early = Lines(follow=True)
    early.show(numbered(100))
    stage = Stage(early)
    async with stage.run_test(size=(20, 5)) as pilot:
        await pilot.pause()
        assert text_of(stage)[4].startswith("line 100")


@pytest.mark.parametrize(
    ("keys", "top"),
    [
        ("down", 2),
        ("j j k", 2),
        ("pagedown", 10),
        ("pagedown pageup", 1),
        ("ctrl+d", 6),
        ("ctrl+d ctrl+d ctrl+u", 6),
        ("end", 91),
        ("G g", 1),
        ("G home", 1),
    ],
)
async def test_keys_scroll(keys: str, top: int) -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(20, 10)) as pilot:
        await shown(pilot, numbered(100))
        await pilot.press(*keys.split())
        await pilot.pause()
        assert text_of(stage)[0].split()[1] == str(top)


async def test_the_top_line_stays_on_top_when_the_width_changes() -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, [line(f"{i}: a line of some words") for i in range(100)])
        lines(stage).scroll_to(y=50, animate=False)
        await pilot.resize_terminal(15, 10)
        await pilot.pause()
        assert text_of(stage)[0].startswith("50: a line")


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (3, 2), (1, 1)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    stage = Stage(Lines(follow=True), css="Lines { border: round $primary; }")
    async with stage.run_test(size=(80, 24)) as pilot:
        await shown(pilot, [line("日本 [" * 20), *numbered(100)])
        await pilot.resize_terminal(*size)
        await pilot.pause()
        await shown(pilot, [line("日本 [" * 20), *numbered(200)])
        assert {strip.cell_length for strip in strips_of(stage)} == {size[0]}


async def test_a_view_as_high_as_its_content() -> None:
    stage = Stage(Lines(), css="Lines { height: auto; max-height: 4; border: round $primary; }")
    async with stage.run_test(size=(16, 8)) as pilot:
        await shown(pilot, [line("a line wordy")])  # twelve, and a cell for the scrollbar
        assert lines(stage).size.height == 1
        lines(stage).empty = "nothing at all yet"
        await shown(pilot, [])
        assert lines(stage).size.height == 2
        await shown(pilot, numbered(9))
        assert lines(stage).size.height == 2
        await shown(pilot, [line("a line of words")])
        assert text_of(stage)[:5] == [
            "╭──────────────╮",
            "│a line of     │",
            "│  words       │",
            "╰──────────────╯",
            "",
        ]


# --- what it costs ------------------------------------------------------------------------------


async def test_lines_that_go_on_are_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(Lines(follow=True))
    async with stage.run_test(size=(20, 10)) as pilot:
        content = [line(f"{i}: a line that has to be wrapped") for i in range(20_000)]
        await shown(pilot, content)
        measured = counted(module, "width_of", monkeypatch)
        wrapped = counted(module, "spans", monkeypatch)
        more = [line("more words than fit into twenty") for _ in range(3)]
        assert (await shown(pilot, [*content, *more]))[9] == "  into twenty"
        assert (len(measured), len(wrapped)) == (3, 3)


async def test_unchanged_content_paints_nothing() -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(20, 10)) as pilot:
        await shown(pilot, numbered(100))
        painted = counted(lines(stage), "render_line")
        refreshed = counted(lines(stage), "refresh")
        await shown(pilot, numbered(100))
        assert not painted
        assert not refreshed


async def test_only_changed_lines_are_painted() -> None:
    stage = Stage(Lines())
    async with stage.run_test(size=(20, 10)) as pilot:
        await shown(pilot, numbered(100))
        painted = counted(lines(stage), "render_line")
        after = [*numbered(2), line("other"), *numbered(100)[3:-1], line("out of sight")]
        assert (await shown(pilot, after))[2].startswith("other")
        assert painted == [(2,)]
