"""What live updates of a grid cost, as ratios of one run: `python -m tests.widgets.bench_grid`.

Four updates a second that change 10 % of the rows, as a cluster under upgrade does; and every row
of 5,000. Counted is the CPU time from the call with new values to the letters for the terminal:
comparing, layout, painting, control sequences. Making the values is not: that is the same work for
every widget. Rounds alternate between the cases; the median counts.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator

from textual._compositor import CompositorUpdate
from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import DataTable

from widgets.cells import Cell, Tone
from widgets.grid import Column, Grid, Row

TITLES = ("NODE", "ROLE", "RUNS", "STAGED", "FINAL", "PHASE", "HEALTH", "NOTE")
SIZE = (160, 50)
UPDATES = 12
ROUNDS = 3


def texts(place: int, turn: int) -> tuple[str, ...]:
    """One row's values at one moment."""
    phase = ("3/6 checked", "4/6 install", "5/6 monitor")[turn % 3]
    last = ("2.15.1", "2.12.8", phase, f"ok {turn % 60:2} s", f"{turn % 100:3} %")
    return (f"node-{place:04}", "voter", "2.12.8", *last)


class Stage(App[None]):
    """One widget, and what the case does with it."""

    def __init__(self, case: "Case") -> None:
        super().__init__()
        self.case = case
        self.written = 0

    def compose(self) -> ComposeResult:
        yield self.case.make()

    def _display(self, screen: Screen[object], renderable: object) -> None:
        if isinstance(renderable, CompositorUpdate):  # as for a terminal, which is not there
            self.written += len(renderable.render_segments(self.console))


class Case:
    """A number of rows, of which a share changes with each update."""

    def __init__(self, name: str, count: int, share: float) -> None:
        self.name, self.count, self.share = name, count, share
        self.turn = 0

    def changing(self) -> Iterator[int]:
        """Which rows change this time: spread evenly, so also in sight."""
        self.turn += 1
        step = round(1 / self.share)
        return iter(range(self.turn % step, self.count, step))

    def make(self) -> Widget:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the next values."""
        raise NotImplementedError

    def update(self) -> None:
        """Show them."""
        raise NotImplementedError


class OurGrid(Case):
    """Shows new rows for those that changed, the same objects for the others."""

    def make(self) -> Widget:
        self.grid = Grid([Column(each) for each in TITLES])
        self.rows = [self.row(place) for place in range(self.count)]
        self.grid.call_after_refresh(self.grid.show, self.rows)
        return self.grid

    def row(self, place: int) -> Row:
        values = texts(place, self.turn)
        return Row(values[0], tuple(Cell(each, Tone.OK) for each in values))

    def prepare(self) -> None:
        for place in self.changing():
            self.rows[place] = self.row(place)

    def update(self) -> None:
        self.grid.show(self.rows)


class Table(Case):
    """Textual's own table, told each cell that changed."""

    def make(self) -> Widget:
        self.table: DataTable[str] = DataTable(cursor_type="row")
        self.columns = self.table.add_columns(*TITLES)
        for place in range(self.count):
            self.table.add_row(*texts(place, 0), key=str(place))
        return self.table

    def prepare(self) -> None:
        columns = self.columns[3:]
        self.values = [
            (str(place), column, value)
            for place in self.changing()
            for column, value in zip(columns, texts(place, self.turn)[3:], strict=True)
        ]

    def update(self) -> None:
        for each in self.values:
            self.table.update_cell(*each)


async def seconds(case: Case) -> float:
    """CPU time of one update, painted."""
    total = 0.0
    async with (stage := Stage(case)).run_test(size=SIZE) as pilot:
        await pilot.pause()
        for _ in range(UPDATES):
            case.prepare()
            written, start = stage.written, time.process_time()
            case.update()
            await pilot.pause()
            total += time.process_time() - start
            assert stage.written > written, "nothing was painted"
    return total / UPDATES


CASES = (
    (OurGrid, "grid, 100 rows, 10 %", 100, 0.1),
    (OurGrid, "grid, 1,000 rows, 10 %", 1000, 0.1),
    (OurGrid, "grid, 5,000 rows, 10 %", 5000, 0.1),
    (OurGrid, "grid, 5,000 rows, all", 5000, 1.0),
    (Table, "DataTable, 1,000 rows, 10 %", 1000, 0.1),
    (Table, "DataTable, 5,000 rows, all", 5000, 1.0),
)


def main() -> int:
    """Measure, print, and say whether goal G10 is met."""
    found: dict[str, list[float]] = {name: [] for _, name, _, _ in CASES}
    for _ in range(ROUNDS):
        for kind, name, count, share in CASES:
            found[name].append(asyncio.run(seconds(kind(name, count, share))))
    cost = {name: statistics.median(values) for name, values in found.items()}
    hundred, thousand, five, every, table, table_every = cost.values()
    for name, value in cost.items():
        print(
            f"{name:28} {value * 1000:7.2f} ms per update, painted; 4 Hz: {value * 400:5.1f} % CPU"
        )
    print()
    goals = (
        ("grid 1,000 / grid 100", thousand / hundred, 1.5),
        ("grid 5,000 / grid 100", five / hundred, 1.8),
        ("grid 1,000 / DataTable 1,000", thousand / table, 0.35),
        ("grid 5,000 all / DataTable 5,000 all", every / table_every, 0.25),
    )
    for name, ratio, goal in goals:
        print(f"{name:38} {ratio:5.2f}   at most {goal}   {'met' if ratio <= goal else 'MISSED'}")
    return 0 if all(ratio <= goal for _, ratio, goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
