"""How wide the columns of a grid are. Pure, so that the tests need no screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from widgets.cells import Cell, Line, Tone, cut, measure, width_of

GAP: Final = 2
"""Blanks between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a grid shows below one title."""

    title: str
    least: int = 1
    """It is not made narrower than this."""
    most: int = 0
    """It is not made wider than this; 0 is no cap."""
    rank: int = 0
    """Where the width does not suffice, the highest rank is hidden first; 0 is never hidden."""
    right: bool = False
    """Its cells end at its right edge, as numbers do."""
    grows: bool = False
    """It counts with what it needs least, and gets what width remains."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A column that is shown."""

    place: int
    """Among all columns."""
    width: int


def fitted(columns: Sequence[Column], widest: Sequence[int], width: int) -> tuple[Fit, ...]:
    """The columns that fit into `width`, `widest` being what each has to show.

    First go the columns of the highest rank, the right one first among equals. Only when none is
    left that may go, the widest are made narrower, as far as their `least`.
    """
    wanted = [_wanted(*each) for each in zip(columns, widest, strict=True)]
    shown = list(range(len(columns)))
    while _total(wanted, shown) > width and any(columns[place].rank for place in shown):
        shown.remove(max(shown, key=lambda place: (columns[place].rank, place)))
    _narrow(columns, wanted, shown, width)
    _grow(columns, wanted, shown, width)
    return tuple(Fit(place, wanted[place]) for place in shown)


def _wanted(column: Column, widest: int) -> int:
    title = measure(Cell(column.title).text)
    wanted = max(column.least, title if column.grows else max(title, widest))
    return min(wanted, column.most) if column.most else wanted


def _total(wanted: list[int], shown: list[int]) -> int:
    return sum(wanted[place] for place in shown) + GAP * max(0, len(shown) - 1)


def _narrow(columns: Sequence[Column], wanted: list[int], shown: list[int], width: int) -> None:
    for _ in range(_total(wanted, shown) - width):
        spare = [place for place in shown if wanted[place] > max(1, columns[place].least)]
        if not spare:
            return
        wanted[max(spare, key=lambda place: wanted[place])] -= 1


def _grow(columns: Sequence[Column], wanted: list[int], shown: list[int], width: int) -> None:
    growing = [place for place in shown if columns[place].grows]
    for count, place in enumerate(growing):
        share = (width - _total(wanted, shown)) // (len(growing) - count)
        wider = wanted[place] + max(0, share)
        most = columns[place].most
        wanted[place] = max(wanted[place], min(wider, most)) if most else wider


def titles(columns: Sequence[Column], fits: Sequence[Fit]) -> Line:
    """The header line."""
    return beside(columns, fits, tuple(Cell(each.title) for each in columns))


def beside(columns: Sequence[Column], fits: Sequence[Fit], cells: Sequence[Cell]) -> Line:
    """The cells of one row side by side, each in its column; a missing one leaves it empty."""
    found: list[Cell] = []
    gap = ""
    for fit in fits:
        content = cut((cells[fit.place],), fit.width) if fit.place < len(cells) else ()
        blanks = " " * (fit.width - width_of(content))
        before, after = (blanks, "") if columns[fit.place].right else ("", blanks)
        if gap + before:
            found.append(Cell(gap + before))
        found += content
        gap = after + " " * GAP
    return tuple(found)


def natural_width(columns: Sequence[Column], widest: Sequence[int]) -> int:
    """What every column together would like to have."""
    wide = [
        min(max(each.least, measure(each.title), size), each.most or size + len(each.title))
        for each, size in zip(columns, widest, strict=True)
    ]
    return sum(wide) + GAP * max(0, len(wide) - 1)


MARKED: Final = Cell("•", Tone.KEY)
"""Stands before a marked row."""
POINTER: Final = Cell("›", Tone.STRONG)
"""Stands before the row under the cursor."""
GUTTER: Final = 2
"""Cells before the first column: one for each of the two."""


def gutter(pointed: bool, marked: bool) -> Line:
    """What stands before a row."""
    return (POINTER if pointed else Cell(" "), MARKED if marked else Cell(" "))
