"""What is on its way is told as it is: bytes, a rate that was seen, and silence as silence."""

import pytest

from app.progress import Progress
from app.state import Run, Stage
from app.view.sending import on_its_way
from backends.domain.states import Phase

WHOLE = 8_000_000


def run(**nodes: Progress) -> Run:
    progress = {(name, Phase.STAGE): done for name, done in nodes.items()}
    return Run("upgrade", "1120-k7f", Stage.GOING, progress=progress)


def sent(bytes_: int, of: int, since: float, now: float, before: int = 0) -> Progress:
    return Progress(begun=0.0, sent=bytes_, of=of, first=(since, before), latest=now)


@pytest.mark.parametrize(
    ("nodes", "now", "said"),
    [
        ({}, 0.0, ""),
        ({"n1": Progress(begun=0.0)}, 9.0, ""),
        ({"n1": sent(0, 0, 1.0, 1.0)}, 1.0, ""),
        ({"n1": sent(0, 9_000_000, 1.0, 1.0)}, 1.5, "0.0/9.0 MB"),
        ({"n1": sent(4_000_000, 9_000_000, 1.0, 3.0)}, 3.5, "4.0/9.0 MB, 2.0 MB/s"),
        # What was there before the first word did not come since.
        ({"n1": sent(6_000_000, 9_000_000, 1.0, 3.0, 4_000_000)}, 3.0, "6.0/9.0 MB, 1.0 MB/s"),
        (
            {
                "n1": sent(4_000_000, WHOLE, 1.0, 3.0),
                "n2": sent(2_000_000, WHOLE, 1.0, 3.0),
            },
            3.0,
            "6.0/16.0 MB, 3.0 MB/s",
        ),
        # A node that has it all has no rate any more.
        (
            {
                "n1": sent(WHOLE, WHOLE, 1.0, 2.0),
                "n2": sent(2_000_000, WHOLE, 1.0, 3.0),
            },
            3.0,
            "10.0/16.0 MB, 1.0 MB/s",
        ),
        ({"n1": sent(4_000_000, 9_000_000, 1.0, 3.0)}, 10.0, "4.0/9.0 MB, nothing for 7 s"),
    ],
)
def test_what_is_told_of_bytes(nodes: dict[str, Progress], now: float, said: str) -> None:
    assert on_its_way(run(**nodes), now) == said


def test_other_phases_send_nothing() -> None:
    progress = {("n1", Phase.CHECK): sent(1, 2, 1.0, 2.0)}
    assert on_its_way(Run("upgrade", "r", Stage.GOING, progress=progress), 2.0) == ""
