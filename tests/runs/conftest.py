"""A theatre for each test, and its book closed afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.domain.facts import NodeReading
from tests.runs.pretended import Theatre


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Callable[..., Theatre]]:
    made: list[Theatre] = []

    def make(*readings: NodeReading) -> Theatre:
        made.append(Theatre(tmp_path, *readings))
        return made[-1]

    yield make
    for each in made:
        each.book.close()
