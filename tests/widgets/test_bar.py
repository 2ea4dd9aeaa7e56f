"""The bar: lines cut to the width, and a right part that stands whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.screen import counted, strips_of, text_of
from tests.widgets.stage import Stage
from widgets.bar import Bar, Split, joined
from widgets.cells import Cell, Tone, line, width_of
from widgets.cells import text_of as plain

SPLIT = Split(line("harbor  UPGRADING"), line("5 of 5 ", ("read", Tone.OK)))


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (32, "harbor  UPGRADING    5 of 5 read"),
        (30, "harbor  UPGRADING  5 of 5 read"),
        (29, "harbor  UPGRADI…  5 of 5 read"),
        (14, "…  5 of 5 read"),
        (13, "harbor  UPGR…"),
        (1, "…"),
        (0, ""),
    ],
)
def test_the_left_part_is_cut_first(width: int, shown: str) -> None:
    assert plain(joined(SPLIT, width)) == shown


@pytest.mark.parametrize(
    ("split", "shown"),
    [
        (Split((), line("read")), "      read"),
        (Split(line("harbor"), ()), "harbor"),
        (Split(line("日本"), line("語")), "日本    語"),
    ],
)
def test_one_part_may_be_missing(split: Split, shown: str) -> None:
    assert plain(joined(split, 10)) == shown


@given(st.text("ab 日", max_size=30), st.text("ab 日", max_size=30), st.integers(0, 40))
def test_a_split_line_is_never_wider(left: str, right: str, width: int) -> None:
    found = joined(Split(line(left), line(right)), width)
    assert width_of(found) <= width
    if right and width_of(line(right)) + 3 <= width:
        assert plain(found).endswith(right)


async def test_a_bar_is_as_high_as_it_was_made() -> None:
    stage = Stage(bar := Bar(height=2), Bar(id="below"))
    async with stage.run_test(size=(20, 4)) as pilot:
        bar.show([line("[red]first line that is long"), line("日本"), line("never")])
        stage.query_one("#below", Bar).show([SPLIT])
        await pilot.pause()
        assert text_of(stage) == [
            " [red]first line t…",
            " 日本",
            " harb…  5 of 5 read",
            "",
        ]
        bar.show([])
        await pilot.pause()
        assert text_of(stage)[:2] == ["", ""]
        for size in ((40, 10), (20, 5), (2, 2), (1, 1)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert {strip.cell_length for strip in strips_of(stage)} == {size[0]}


async def test_only_changed_lines_are_painted() -> None:
    stage = Stage(bar := Bar(height=2))
    async with stage.run_test(size=(20, 4)) as pilot:
        bar.show([line("a"), line("b")])
        await pilot.pause()
        painted = counted(bar, "render_line")
        bar.show([line("a"), line(Cell("c"))])
        await pilot.pause()
        assert painted == [(1,)]
