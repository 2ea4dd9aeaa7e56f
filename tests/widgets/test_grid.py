"""The grid: what it shows, where its cursor stays, what it says, what it paints again."""

import pytest
from textual import events
from textual.pilot import Pilot

from tests.support.screen import counted, find, strips_of, style_at, style_of, text_of
from tests.widgets.stage import COLUMNS, Stage, row, rows, swapped
from widgets.cells import Cell, Tone
from widgets.grid import Column, Grid, Row


def grid(stage: Stage) -> Grid:
    return stage.query_one(Grid)


async def shown(pilot: Pilot[None], found: list[Row]) -> list[str]:
    """Show rows, and read the screen."""
    stage = pilot.app
    assert isinstance(stage, Stage)
    grid(stage).show(found)
    await pilot.pause()
    return text_of(stage)


async def test_rows_stand_below_their_titles() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 6)) as pilot:
        found = [row("n1", "2.12.8", "ok 9 s"), row("日本", "2.15.1", "ok 14 h", "x", marked=True)]
        assert await shown(pilot, found) == [
            "  NODE  RUNS     HEALTH  NOTE",
            "› n1    2.12.8   ok 9 s",
            " •日本  2.15.1  ok 14 h  x",
            "",
            "",
            "",
        ]
        assert {strip.cell_length for strip in strips_of(stage)} == {40}


async def test_text_is_never_markup() -> None:
    odd = ("[red]x[/]", "[", "[/]", "\x1b[31m")
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 4)) as pilot:
        found = [Row("k", tuple(Cell(each) for each in odd))]
        grid(stage).entitle("[b]t[/]", "[")
        assert (await shown(pilot, found))[1].split() == ["›", "[red]x[/]", "[", "[/]", "^[[31m"]


async def test_titles_in_the_border_are_never_markup() -> None:
    stage = Stage(Grid(COLUMNS), css="Grid { border: round $primary; }")
    async with stage.run_test(size=(40, 5)) as pilot:
        grid(stage).entitle("nodes [b]t[/]\n", "[x")
        await pilot.pause()
        assert "nodes [b]t[/] " in text_of(stage)[0]
        assert " [x " in text_of(stage)[4]
        grid(stage).entitle("")
        await pilot.pause()
        assert set(text_of(stage)[0]) == set("╭─╮")


async def test_an_empty_grid_says_so_quietly() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(30, 5)) as pilot:
        grid(stage).empty = "No node matches [role]:voter now"
        assert (await shown(pilot, []))[:3] == [
            "  NODE  RUNS  HEALTH  NOTE",
            "  No node matches",
            "  [role]:voter now",
        ]
        assert style_of(stage, "No").color == style_of(stage, "NODE").color  # both quiet
        await shown(pilot, rows(1))
        assert grid(stage).cursor == "n1"
        await shown(pilot, [])
        assert grid(stage).cursor is None
        await pilot.press("down", "enter", "G")


async def test_columns_of_a_high_rank_are_hidden() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(26, 4)) as pilot:
        assert (await shown(pilot, rows(1)))[:2] == ["  NODE  HEALTH  NOTE", "› n1    ok 1 s"]
        await pilot.resize_terminal(40, 4)
        await pilot.pause()
        assert text_of(stage)[0] == "  NODE  RUNS    HEALTH  NOTE"


async def test_columns_do_not_shrink_while_the_same_rows_are_shown() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 4)) as pilot:
        wide = await shown(pilot, [row("n1", "2.12.8-rc1", "ok"), row("n2")])
        assert (await shown(pilot, [row("n2"), row("n1", "2")]))[0] == wide[0]
        assert (await shown(pilot, [row("n1", "2")]))[0] == "  NODE  RUNS  HEALTH  NOTE"


# --- the cursor ---------------------------------------------------------------------------------


async def test_the_cursor_stays_on_its_key() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(5))
        await pilot.press("down", "j")
        assert grid(stage).cursor == "n3"
        await shown(pilot, swapped(rows(5), 0, 2))
        assert grid(stage).cursor == "n3"
        assert text_of(stage)[1].startswith("› n3")
        await shown(pilot, [each for each in rows(5) if each.key != "n3"])
        assert grid(stage).cursor == "n1"  # the first place, where n3 had been
        assert stage.said == [("pointed", f"n{i}") for i in (1, 2, 3, 1)]


async def test_the_cursor_of_a_lost_last_row_is_on_the_last() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(5))
        await pilot.press("end")
        await shown(pilot, rows(2))
        assert grid(stage).cursor == "n2"
        assert stage.said[-1] == ("pointed", "n2")


@pytest.mark.parametrize(
    ("keys", "key", "top"),
    [
        ("down", "n2", 1),
        ("down k up", "n1", 1),
        ("G", "n1000", 992),
        ("end g", "n1", 1),
        ("G home j", "n2", 1),
        ("pagedown", "n9", 1),
        ("pagedown pagedown", "n17", 9),
        ("pagedown pagedown pageup", "n9", 9),
        ("ctrl+d ctrl+d ctrl+d", "n13", 5),
        ("G ctrl+u", "n996", 992),
    ],
)
async def test_keys_move_the_cursor(keys: str, key: str, top: int) -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:  # nine rows under the header
        await shown(pilot, rows(1000))
        await pilot.press(*keys.split())
        await pilot.pause()
        assert grid(stage).cursor == key
        screen = text_of(stage)
        assert screen[0].startswith("  NODE")
        assert screen[1].removeprefix("›").split()[0] == f"n{top}"
        assert sum(line.startswith("›") for line in screen) == 1


async def test_enter_and_a_second_click_open() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(20))
        await pilot.press("enter")
        await pilot.click(Grid, offset=(5, 3))
        assert stage.said == [("pointed", "n1"), ("opened", "n1"), ("pointed", "n3")]
        await pilot.click(Grid, offset=(5, 3))
        await pilot.click(Grid, offset=(5, 0))  # the header
        assert stage.said[3:] == [("opened", "n3")]
        await pilot.press("G")
        await pilot.pause()
        await pilot.click(Grid, offset=(5, 1))
        assert grid(stage).cursor == "n12"


async def test_a_click_below_the_last_row_is_nothing() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(2))
        await pilot.click(Grid, offset=(5, 3))
        assert stage.said == [("pointed", "n1")]


async def test_point_at_brings_a_row_into_view() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        grid(stage).show(rows(100))
        grid(stage).point_at("n50")
        grid(stage).point_at("nowhere")
        await pilot.pause()
        assert find(stage, "› n50")[1] == 9
        assert stage.said[-1] == ("pointed", "n50")


async def test_pointing_before_the_first_layout_is_seen_after_it() -> None:
    shown_early = Grid(COLUMNS)

    class Early(Stage):
        def on_mount(self) -> None:
            shown_early.show(rows(100))
            shown_early.point_at("n50")

    stage = Early(shown_early)
    async with stage.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        assert find(stage, "› n50")[1] == 9


async def test_rows_shown_before_it_is_on_a_screen_are_there() -> None:
    early = Grid(COLUMNS)
    early.show(rows(100))
    early.point_at("n50")
    stage = Stage(early)
    async with stage.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        assert early.cursor == "n50"
        assert find(stage, "› n50")[1] == 9


async def test_a_grid_as_high_as_its_content() -> None:
    stage = Stage(Grid(COLUMNS), css="Grid { height: auto; max-height: 4; }")
    async with stage.run_test(size=(30, 8)) as pilot:
        grid(stage).empty = "No node"
        await pilot.pause()
        assert text_of(stage)[1] == "  No node"
        await shown(pilot, rows(2))
        assert grid(stage).size.height == 3
        await shown(pilot, rows(9))
        assert grid(stage).size.height == 4


# --- scrolling ----------------------------------------------------------------------------------


async def test_the_view_stays_when_it_was_scrolled_away_from_the_cursor() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(100))
        grid(stage).scroll_to(y=40, animate=False)
        await shown(pilot, rows(100, "new"))
        assert "n41 " in text_of(stage)[1]
        await pilot.press("down")
        await pilot.pause()
        assert text_of(stage)[1].startswith("› n2")


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(100))
        for _ in range(8):
            grid(stage).post_message(
                events.MouseScrollDown(grid(stage), 5, 5, 0, 0, 0, False, False, False)
            )
        await pilot.pause()
        assert grid(stage).cursor == "n1"
        assert grid(stage).scroll_offset.y > 4
        assert text_of(stage)[0].startswith("  NODE")
        assert not any(each.startswith("›") for each in text_of(stage))


async def test_a_cursor_that_would_leave_the_view_takes_it_along() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(40, 10)) as pilot:
        await shown(pilot, rows(100))
        await shown(pilot, swapped(rows(100), 0, 70))
        assert text_of(stage)[9].startswith("› n1 ")


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (3, 2), (1, 1)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    stage = Stage(Grid(COLUMNS), css="Grid { border: round $primary; }")
    async with stage.run_test(size=(80, 24)) as pilot:
        await shown(pilot, [row("日本", "[", "x" * 50), *rows(100)])
        await pilot.press("G")
        await pilot.resize_terminal(*size)
        await pilot.pause()
        await pilot.press("up", "pagedown")
        await shown(pilot, rows(50))
        assert {strip.cell_length for strip in strips_of(stage)} == {size[0]}
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert find(stage, "› n50")[1] == 22


async def test_the_width_without_a_stable_gutter_is_the_room_beside_the_scrollbar() -> None:
    stage = Stage(Grid([Column("A", grows=True)]), css="Grid { scrollbar-gutter: auto; }")
    async with stage.run_test(size=(20, 5)) as pilot:
        assert (await shown(pilot, [row("x" * 30)]))[1] == "› " + "x" * 17 + "…"
        found = [row("x" * 30), *rows(9)]
        await shown(pilot, found)
        await pilot.pause()
        assert text_of(stage)[1] == "› " + "x" * 16 + "…"


# --- what is painted ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [20, 1000])
async def test_only_changed_rows_are_painted(count: int) -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        before = rows(count, "old note")
        await shown(pilot, before)
        painted = counted(grid(stage), "render_line")
        after = list(before)
        for i in (0, 3, 7):
            after[i] = row(f"n{i + 1}", "2.15.1", "ok 1 s", "new note")
        after[5] = row("n6", "2.12.8", "ok 6 s", "old note")  # another object, the same row
        after[-1] = row(f"n{count}", "2.15.1")  # changed, and out of sight
        screen = await shown(pilot, after)
        assert sorted(painted) == [(1,), (4,), (8,)]
        assert "2.15.1" in screen[4]
        painted.clear()
        await shown(pilot, list(after))
        assert painted == []


async def test_moving_the_cursor_paints_two_rows() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        await shown(pilot, rows(100))
        painted = counted(grid(stage), "render_line")
        await pilot.press("down")
        await pilot.pause()
        assert sorted(painted) == [(1,), (2,)]


async def test_when_most_rows_changed_all_are_painted_at_once() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        await shown(pilot, rows(100, "old"))
        refreshed = counted(grid(stage), "refresh")
        await shown(pilot, rows(100, "new"))
        assert () in refreshed
        assert "new" in text_of(stage)[14]


async def test_scrolling_paints_no_row_twice() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        await shown(pilot, rows(1000))
        drawn = counted(grid(stage).ink, "strip")
        grid(stage).scroll_to(y=1, animate=False)
        await pilot.pause()
        assert len(drawn) == 1


# --- colours ------------------------------------------------------------------------------------


async def test_the_row_under_the_cursor_is_told_by_its_background_and_a_mark() -> None:
    stage = Stage(Grid(COLUMNS), Grid(COLUMNS, id="other"))
    async with stage.run_test(size=(60, 15)) as pilot:
        await shown(pilot, rows(3))
        x, y = find(stage, "› n1")
        focused, plain = style_at(stage, x, y).bgcolor, style_at(stage, x, y + 1).bgcolor
        await pilot.press("tab")
        await pilot.pause()
        blurred = style_at(stage, x, y).bgcolor
        assert len({focused, plain, blurred}) == 3


async def test_a_new_theme_is_worn_at_once() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        await shown(pilot, [Row("n1", (Cell("n1", Tone.OK),)), row("n2")])
        dark = style_of(stage, "n1"), style_of(stage, "n2")
        stage.theme = "textual-light"
        await pilot.pause()
        assert not {style_of(stage, "n1"), style_of(stage, "n2")} & set(dark)


async def test_an_ancestors_new_background_is_worn_with_the_next_painting() -> None:
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        await shown(pilot, rows(3))
        stage.screen.styles.background = "rebeccapurple"
        grid(stage).refresh()
        await pilot.pause()
        colour = style_of(stage, "n2").bgcolor
        assert colour is not None
        assert colour.name == "#663399"


async def test_without_colours_the_cursor_is_reversed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stage = Stage(Grid(COLUMNS))
    async with stage.run_test(size=(60, 15)) as pilot:
        bad = [Row(key, (Cell(key, Tone.BAD),)) for key in ("n1", "n2")]
        await shown(pilot, bad)
        assert style_of(stage, "› ").reverse
        assert style_of(stage, "n1").reverse
        assert style_of(stage, "n1").underline
        assert style_of(stage, "n2").underline
        assert not style_of(stage, "n2").reverse
