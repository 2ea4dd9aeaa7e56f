"""What a demo refuses, and what a start that fails leaves behind: nothing that runs."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from backends.demo import beacons
from backends.demo.cluster import MAX_NODES, Demo
from backends.demo.processes import processes_of
from backends.domain.problem import Exit, LiftlockError, Problem
from tests.demo.looking import answers, listens_here, ports_in, running
from tests.support.node import picture


async def refusal(demo: Demo) -> tuple[Problem, Exit]:
    """Why it does not start."""
    with pytest.raises(LiftlockError) as caught:
        await demo.start()
    return caught.value.problem, caught.value.exit_code


async def test_a_directory_of_somebody_else_is_refused_and_not_touched(top: Path) -> None:
    other = top / "demo"
    other.mkdir(mode=0o755)
    (other / "thesis.txt").write_text("years of work")
    before = picture(top)
    problem, code = await refusal(Demo(other, 2))
    assert (problem.code, code) == ("demo-directory", Exit.USAGE)
    assert "thesis.txt" in problem.evidence
    assert picture(top) == before


@pytest.mark.parametrize(
    "content", ["", "no json", "[]", '{"format": 2, "nodes": 2}', '{"format": 1, "nodes": "2"}']
)
async def test_a_marker_that_is_none_of_ours_is_refused(top: Path, content: str) -> None:
    other = top / "demo"
    other.mkdir()
    (other / ".liftlock-demo").write_text(content)
    (other / "thesis.txt").write_text("years of work")
    before = {name: about[1:] for name, about in picture(other).items()}
    problem, code = await refusal(Demo(other, 2))
    assert (problem.code, code) == ("demo-directory", Exit.USAGE)
    assert {name: about[1:] for name, about in picture(other).items()} == before


async def test_a_file_and_a_linked_marker_are_refused(top: Path) -> None:
    (top / "demo").write_text("a file")
    assert (await refusal(Demo(top / "demo")))[0].code == "demo-directory"
    victim = top / "victim"
    victim.write_text('{"format": 1, "nodes": 2}\n')
    (top / "linked").mkdir()
    (top / "linked/.liftlock-demo").symlink_to(victim)
    assert (await refusal(Demo(top / "linked")))[0].code == "demo-directory"
    assert victim.read_text() == '{"format": 1, "nodes": 2}\n'


async def test_a_demo_that_runs_is_named_and_another_number_of_nodes_is_refused(top: Path) -> None:
    async with running(Demo(top / "demo", 2)) as demo:
        problem, code = await refusal(Demo(demo.directory))
        assert (problem.code, code) == ("demo-running", Exit.LOCKED)
        assert f"pid {os.getpid()}" in problem.summary
        assert answers(demo) == {"n1": "4.11.0", "n2": "4.11.0"}, "it disturbed the first one"
    problem, code = await refusal(Demo(demo.directory, 3))
    assert (problem.code, code) == ("demo-nodes", Exit.USAGE)
    assert "2 nodes, not 3" in problem.summary


@pytest.mark.parametrize("nodes", [0, -1, MAX_NODES + 1])
def test_an_odd_number_of_nodes_is_refused(tmp_path: Path, nodes: int) -> None:
    with pytest.raises(LiftlockError) as caught:
        Demo(tmp_path / "demo", nodes)
    assert (caught.value.problem.code, caught.value.exit_code) == ("demo-nodes", Exit.USAGE)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a{node}b", "a%h", "ä", "a\nb", "a#b", "a'b"])
def test_a_path_that_the_files_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LiftlockError) as caught:
        Demo(tmp_path / name)
    assert (caught.value.problem.code, caught.value.exit_code) == ("demo-path", Exit.USAGE)
    assert list(tmp_path.iterdir()) == []


# --- a start that fails -------------------------------------------------------------------------


async def test_a_failed_start_leaves_nothing_that_runs(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = beacons.start

    async def start(places: Any, node: str, version: str, port: int) -> None:
        if node == "n2":
            control = places.product(node) / version / "control"
            control.write_text("#!/bin/sh\necho torn\nsleep 0.3\nexit 1\n")
        await real(places, node, version, port)

    monkeypatch.setattr(beacons, "start", start)
    problem, code = await refusal(Demo(top / "demo", 2))
    assert (problem.code, code) == ("demo-beacon", Exit.ERROR)
    assert "torn" in problem.evidence
    assert processes_of(top / "demo") == []
    assert not any(map(listens_here, ports_in(top / "demo/cluster.toml")))


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.15])
async def test_a_start_that_is_cancelled_leaves_nothing_that_runs(top: Path, after: float) -> None:
    demo = Demo(top / "demo", 2)
    starting = asyncio.get_running_loop().create_task(demo.start())
    await asyncio.sleep(after)
    starting.cancel()
    await asyncio.wait([starting])
    if not starting.cancelled():
        await demo.stop()
    assert processes_of(top / "demo") == []
    async with running(Demo(top / "demo", 2)) as again:
        assert again.fresh
        assert answers(again) == {"n1": "4.11.0", "n2": "4.11.0"}


async def test_what_the_system_refuses_is_a_problem(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(beacons, "build_releases", full)
    problem, code = await refusal(Demo(top / "demo", 2))
    assert (problem.code, code) == ("demo-start", Exit.USAGE)
    assert "No space left on device" in problem.evidence
