"""Finding and ending what belongs to a demo, and nothing else."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.demo.places import MARK
from backends.demo.processes import end_processes, processes_of


class Crowd:
    """Processes of a test, by what they carry in their environment."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []

    def add(self, script: str, mark: Path | str | None) -> int:
        """A shell script, which says `on` when it has begun."""
        environment = {"PATH": os.environ["PATH"]}
        if mark is not None:
            environment[MARK] = str(mark)
        process = subprocess.Popen(
            ["sh", "-c", f"{script}"], env=environment, stdout=subprocess.PIPE
        )
        self.all.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        return process.pid

    def is_alive(self, pid: int) -> bool:
        return next(each for each in self.all if each.pid == pid).poll() is None


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    found = Crowd()
    try:
        yield found
    finally:
        for process in found.all:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


async def test_only_what_carries_this_mark_is_ended(tmp_path: Path, crowd: Crowd) -> None:
    ours = crowd.add("echo on; exec sleep 60", tmp_path)
    strangers = [
        crowd.add("echo on; exec sleep 60", mark)
        for mark in (None, tmp_path / "other", f"{tmp_path}2", tmp_path.parent, "")
    ]
    assert processes_of(tmp_path) == [ours]
    assert await end_processes(tmp_path) == 1
    assert not crowd.is_alive(ours)
    assert all(map(crowd.is_alive, strangers))


async def test_who_ignores_term_is_killed_after_the_grace(tmp_path: Path, crowd: Crowd) -> None:
    deaf = crowd.add("trap '' TERM; echo on; while :; do sleep 0.05; done", tmp_path)
    began = time.monotonic()
    await end_processes(tmp_path, 0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert not crowd.is_alive(deaf)


async def test_who_ends_politely_gets_the_time_to(tmp_path: Path, crowd: Crowd) -> None:
    done = tmp_path / "done"
    crowd.add(
        f"trap 'sleep 0.2; : >{done}; exit' TERM; echo on; while :; do sleep 0.02; done", tmp_path
    )
    await end_processes(tmp_path, 2.0)
    assert done.exists()


async def test_who_is_born_meanwhile_ends_too(tmp_path: Path, crowd: Crowd) -> None:
    crowd.add(
        "trap 'setsid sleep 60 >/dev/null & setsid sleep 61 >/dev/null & exit' TERM; echo on;"
        "while :; do sleep 0.02; done",
        tmp_path,
    )
    await end_processes(tmp_path)
    assert processes_of(tmp_path) == []


async def test_we_ourselves_and_zombies_do_not_count(
    tmp_path: Path, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie = crowd.add("echo on", tmp_path)
    give_up = time.monotonic() + 5
    while Path(f"/proc/{zombie}/stat").read_bytes().rsplit(b") ", 1)[1][:1] != b"Z":
        assert time.monotonic() < give_up
        time.sleep(0.01)
    monkeypatch.setattr(os, "getpid", lambda: crowd.add("echo on; exec sleep 60", tmp_path))
    assert processes_of(tmp_path) == []
    assert crowd.is_alive(crowd.all[-1].pid)
