"""Processes that are gone, and words of systemd."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from backends.node import (
    clock,
    expand,
    processes,
    service,
    systemd,
)
from tests.support.raising import says


def test_who_is_gone_is_not_killed_and_touches_nothing() -> None:
    gone = 2**22 - 1
    assert clock.start_of(gone) is None
    processes.kill_group(gone)
    assert not processes.lives_in(gone, "/")
    assert not processes._asks(gone)
    assert not processes._has_terminal(gone)


def test_a_process_whose_parent_is_gone_has_no_more_ancestors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert os.getpid() in processes._ancestors()
    monkeypatch.setattr(processes, "open", says(FileNotFoundError()), raising=False)
    assert processes._ancestors() == {os.getpid()}


def test_a_killed_process_that_is_gone_already_is_fine() -> None:
    service._kill([2**22 - 1])


def test_placeholders_are_named_in_order() -> None:
    assert expand.placeholders("{a} {{x}} {b}{a}") == ["a", "b", "a"]
    with pytest.raises(expand.ExpandError):
        expand.placeholders("{")


def test_lines_of_systemd_that_nobody_asked_for_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = processes.Ran(0, b"LoadState=loaded\nOther=1\nno sign\n", "")
    monkeypatch.setattr(systemd.processes, "run", lambda *_, **__: ran)
    assert systemd.show("a.service", ["LoadState"]) == {"LoadState": "loaded"}
    assert systemd._members("/nowhere") == []


def test_a_program_of_the_tree_lives_there_wherever_it_works(tmp_path: Path) -> None:
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "program")
    process = subprocess.Popen([program, "60"], cwd="/")
    try:
        assert processes.lives_in(process.pid, str(tmp_path))
        assert not processes.lives_in(process.pid, str(tmp_path / "elsewhere"))
    finally:
        process.kill()
        process.wait()
