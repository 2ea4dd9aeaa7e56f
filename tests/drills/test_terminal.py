"""`make demo` in a real terminal: the main job there and back, by keyboard alone."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.demo.processes import processes_of
from tests.conftest import ROOT
from tests.drills.terminal import Terminal, terminal

pytestmark = pytest.mark.drill


@pytest.fixture(autouse=True)
def tmux() -> None:
    if shutil.which("tmux") is None:
        pytest.fail("this drill needs tmux: apt-get install tmux")


@pytest.fixture(params=[(80, 24), (160, 45)], ids=["80x24", "160x45"])
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path, *request.param) as made:
        yield made


def environment(tmp_path: Path) -> dict[str, str]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return {"HOME": os.environ["HOME"], "TMPDIR": str(temporary), "TERM": "screen-256color"}


def walk(window: Terminal, version: str) -> None:
    """From the list of releases to the first install."""
    window.sees("preflight for " + version)
    window.steps(then="send " + version)
    window.steps(then="check what was staged")
    window.steps(then=f"install {version} on n1, then n2, n3, n4, n5 by themselves")
    time.sleep(1.2)
    window.presses("n")


def test_make_demo_there_and_back_by_keyboard_alone(window: Terminal, tmp_path: Path) -> None:
    window.runs("make", "--silent", "demo", folder=ROOT, environment=environment(tmp_path))
    shown = window.sees("SETTLED 4.11.0", "n  choose a release")
    assert all(f"n{number}" in shown for number in range(1, 6))
    window.presses("u")
    window.sees("4.13.0", "4.12.0")
    window.presses("Down", "Enter")
    walk(window, "4.12.0")
    window.sees("READY TO FINALIZE 4.11.0 -> 4.12.0", "n1, n2, n3, n4, n5 on 4.12.0, accepted")
    window.sees("n  finalize 4.12.0 for good")  # the run has ended
    window.presses("F")
    window.sees("way back afterwards: none")
    window.types("demo")
    for key in ("Enter", "Right", "Enter"):
        time.sleep(0.6)  # as a person does
        window.presses(key)
    window.sees("SETTLED 4.12.0", "none: 4.12.0 is finalized")
    window.sees("n  choose a release")
    window.presses("u")
    window.sees("releases in")
    window.presses("Enter")
    walk(window, "4.13.0")
    window.sees("why n1 failed", "HTTP 503", "what n1 did: it is back on 4.12.0, proven")
    window.sees("leave it as it is", "try 4.13.0 again")
    window.sees("STOPPED: n1 rolled back; now SETTLED 4.12.0")
    window.presses("q")
    window.sees("ended with 0")
    assert not [*(tmp_path / "tmp").iterdir()], "the demo's folder is left"


def test_a_window_that_closes_leaves_neither_process_nor_folder(
    window: Terminal, tmp_path: Path
) -> None:
    window.runs("make", "--silent", "demo", folder=ROOT, environment=environment(tmp_path))
    window.sees("SETTLED 4.11.0", "n  choose a release")
    (folder,) = (tmp_path / "tmp").iterdir()
    window.close()
    give_up = time.monotonic() + 20
    while [*(tmp_path / "tmp").iterdir()] or processes_of(folder / "demo"):
        assert time.monotonic() < give_up, [*(tmp_path / "tmp").rglob("*")][:5]
        time.sleep(0.1)
