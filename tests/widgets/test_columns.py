"""Which columns of a grid fit, and how wide they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets.cells import Cell, Tone, text_of, width_of
from widgets.columns import GAP, Column, Fit, beside, fitted, natural_width

COLUMNS = (
    Column("NODE"),
    Column("ROLE", rank=2),
    Column("RUNS", rank=1),
    Column("HEALTH"),
    Column("NOTE", least=6, grows=True),
)
WIDEST = (4, 6, 6, 7, 40)  # 4+6+6+7+6 and four gaps: 37


def shown(width: int) -> list[str]:
    return [f"{COLUMNS[fit.place].title} {fit.width}" for fit in fitted(COLUMNS, WIDEST, width)]


@pytest.mark.parametrize(
    ("width", "found"),
    [
        (60, ["NODE 4", "ROLE 6", "RUNS 6", "HEALTH 7", "NOTE 29"]),
        (37, ["NODE 4", "ROLE 6", "RUNS 6", "HEALTH 7", "NOTE 6"]),
        (36, ["NODE 4", "RUNS 6", "HEALTH 7", "NOTE 13"]),
        (28, ["NODE 4", "HEALTH 7", "NOTE 13"]),
        (21, ["NODE 4", "HEALTH 7", "NOTE 6"]),
        (20, ["NODE 4", "HEALTH 6", "NOTE 6"]),
        (12, ["NODE 1", "HEALTH 1", "NOTE 6"]),
        (0, ["NODE 1", "HEALTH 1", "NOTE 6"]),
    ],
)
def test_the_highest_rank_goes_first_and_the_widest_shrink_last(
    width: int, found: list[str]
) -> None:
    assert shown(width) == found


def test_among_equals_the_right_one_goes_first() -> None:
    columns = (Column("A", rank=1), Column("B", rank=1), Column("C"))
    assert fitted(columns, (5, 5, 5), 12) == (Fit(0, 5), Fit(2, 5))


def test_a_column_has_a_least_and_a_most() -> None:
    columns = (Column("A", least=4), Column("B", most=3), Column("C", most=9, grows=True))
    assert fitted(columns, (1, 50, 2), 80) == (Fit(0, 4), Fit(1, 3), Fit(2, 9))


def test_growing_columns_share() -> None:
    columns = (Column("A", grows=True), Column("B", grows=True))
    assert fitted(columns, (1, 1), 13) == (Fit(0, 5), Fit(1, 6))


@given(
    st.lists(
        st.tuples(
            st.builds(
                Column,
                st.text("AB日", max_size=6),
                st.integers(0, 6),
                st.integers(0, 9),
                st.integers(0, 3),
                st.booleans(),
                st.booleans(),
            ),
            st.integers(0, 30),
        ),
        max_size=6,
    ),
    st.integers(0, 80),
)
def test_a_row_is_as_wide_as_its_columns(pairs: list[tuple[Column, int]], width: int) -> None:
    columns = tuple(column for column, _ in pairs)
    widest = tuple(size for _, size in pairs)
    fits = fitted(columns, widest, width)
    total = sum(fit.width for fit in fits) + GAP * max(0, len(fits) - 1)
    least = sum(max(1, columns[fit.place].least) for fit in fits) + GAP * max(0, len(fits) - 1)
    assert total <= max(width, least)
    assert {place for place, each in enumerate(columns) if not each.rank} <= {
        fit.place for fit in fits
    }
    line = beside(columns, fits, tuple(Cell("日" * 20, Tone.OK) for _ in columns))
    assert width_of(line) <= total
    if width >= natural_width(columns, widest):
        assert len(fits) == len(columns)


def test_cells_stand_in_their_columns() -> None:
    columns = (Column("NODE"), Column("N", right=True), Column("NOTE"))
    fits = (Fit(0, 5), Fit(1, 4), Fit(2, 6))
    cells = (Cell("日本語"), Cell("12"), Cell("a long note"))
    assert text_of(beside(columns, fits, cells)) == "日本…    12  a lon…"
    assert text_of(beside(columns, fits, cells[:1])) == "日本…        "
