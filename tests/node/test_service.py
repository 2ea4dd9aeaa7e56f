"""The service: what its words mean, that it is gone or there, and which process it is."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import clock, processes
from backends.node.places import Places
from backends.node.service import Service
from backends.node.service_scripts import read_status
from backends.node.services import service_of
from tests.support.beacon import Beacon
from tests.support.node import Node, settled, wait_until


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("started", "started"),
        ("stopped", "stopped"),
        ("stoped", "stopped"),
        ("Agent is STARTED.", "started"),
        ("beacon: stoped (pid 7)\n", "stopped"),
        ("stoped stopped", "stopped"),
        ("not started", "unknown"),
        ("it is not yet started", "unknown"),
        ("never stopped", "unknown"),
        ("cannot be started", "unknown"),
        ("restarted", "unknown"),
        ("unstarted", "unknown"),
        ("started stopped", "unknown"),
        ("was stopped, is started", "unknown"),
        ("running", "unknown"),
        ("", "unknown"),
        ("\x1b[32mstarted\x1b[0m", "unknown"),
    ],
)
def test_o6_only_whole_words_without_a_negation_are_believed(text: str, word: str) -> None:
    assert read_status(text) == word


def a_service(top: Path, **changes: Any) -> Service:
    """A service of the kind `command` in a tree of its own."""
    tree = top / "opt" / "1.0"
    tree.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "kind": "command",
        "control": None,
        "env": {},
        "pid_file": None,
        "commands": {},
        "on_stop_timeout": "abort",
        "stop_timeout": 0.5,
        "start_timeout": 0.5,
        "request_timeout": 2.0,
        "log": "",
    }
    settings.update(changes)
    document = {"service": settings, "values": {}}
    return service_of(document, Places(str(top / "state"), "demo", str(top / "opt")), "1.0")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lives in the version's tree."""
    tree = tmp_path / "opt" / "1.0"
    tree.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "60"], cwd=tree, start_new_session=True)
    yield process
    process.kill()
    process.wait()


# --- which process ------------------------------------------------------------------------------


def test_a_process_is_found_by_where_it_lives(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    service = a_service(tmp_path)
    assert service.pid() == sleeper.pid
    assert service.status()[0] == "started"
    assert service.identity() == f"{sleeper.pid}:{clock.start_of(sleeper.pid)}"


def test_a_neighbour_whose_name_only_begins_alike_is_no_process_of_it(tmp_path: Path) -> None:
    service = a_service(tmp_path)
    other = tmp_path / "opt" / "1.0.1"
    other.mkdir()
    with subprocess.Popen(["sleep", "60"], cwd=other) as process:
        assert service.living() == []
        process.kill()


def test_row_14_a_pid_file_that_names_a_process_used_again_is_not_believed(
    tmp_path: Path,
) -> None:
    service = a_service(tmp_path, pid_file="pid")
    path = Path(service.tree) / "pid"
    with subprocess.Popen(["sleep", "60"], cwd="/") as process:
        path.write_text(f"{process.pid}\n")
        assert service.pid() == process.pid
        long_ago = time.time() - 3600
        os.utime(path, (long_ago, long_ago))  # so the process came after the file
        assert service.pid() is None
        process.kill()


def test_row_34_a_clock_that_was_set_does_not_hide_the_process(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    service = a_service(tmp_path, pid_file="pid")
    path = Path(service.tree) / "pid"
    path.write_text(f"{sleeper.pid}\n")
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))  # as after a step of the clock by an hour
    assert service.pid() == sleeper.pid


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "999999999", "1" * 200, "\xff"])
def test_a_pid_file_without_a_pid_names_nothing(tmp_path: Path, content: str) -> None:
    service = a_service(tmp_path, pid_file="pid")
    (Path(service.tree) / "pid").write_bytes(content.encode("latin-1"))
    assert service.pid() is None
    assert service.identity() is None


def test_a_dead_process_that_nobody_collected_serves_nobody(tmp_path: Path) -> None:
    service = a_service(tmp_path, pid_file="pid")
    process = subprocess.Popen(["true"])
    (Path(service.tree) / "pid").write_text(str(process.pid))
    wait_until(lambda: b") Z" in Path(f"/proc/{process.pid}/stat").read_bytes())
    assert service.pid() is None
    process.wait()


def test_a_person_who_reads_logs_there_is_no_process_of_the_service(tmp_path: Path) -> None:
    service = a_service(tmp_path)
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.chdir(service.tree)
            os.execvp("sleep", ["sleep", "60"])
        finally:
            os._exit(1)
    try:
        wait_until(lambda: os.readlink(f"/proc/{child}/cwd") == service.tree)
        assert service.living() == []
        assert service.stop()[0]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


# --- stop and start -----------------------------------------------------------------------------


def test_row_36_a_stop_that_is_ignored_is_not_taken_for_one(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    service = a_service(tmp_path, commands={"stop": ["true"]})
    gone, text = service.stop()
    assert not gone
    assert f"pid {sleeper.pid}" in text
    assert clock.start_of(sleeper.pid)


def test_a_stop_that_says_it_failed_but_ended_the_process_is_one(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    script = f"kill -9 {sleeper.pid}; exit 1"
    service = a_service(tmp_path, commands={"stop": ["sh", "-c", script]}, stop_timeout=5.0)
    assert service.stop()[0]


def test_a_stop_that_hangs_ends_at_its_limit(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    service = a_service(tmp_path, commands={"stop": ["sleep", "30"]})
    began = time.monotonic()
    assert not service.stop()[0]
    assert time.monotonic() - began < 10


def test_o10_a_start_that_lies_is_not_believed(tmp_path: Path) -> None:
    service = a_service(tmp_path, commands={"start": ["echo", "started"]})
    ok, text = service.start(str(tmp_path / "out"))
    assert not ok
    assert "no new process" in text


def test_a_start_without_a_command_says_so(tmp_path: Path) -> None:
    ok, text = a_service(tmp_path).start(str(tmp_path / "out"))
    assert (ok, text) == (False, "start said the profile has no command for start")


def test_a_control_script_that_is_missing_is_unknown_and_not_stopped(tmp_path: Path) -> None:
    service = a_service(tmp_path, kind="control", control="control")
    word, text = service.status()
    assert word == "unknown"
    assert "control" in text


# --- running commands ---------------------------------------------------------------------------


def test_row_41_an_output_flood_is_bounded_and_ends_at_its_limit() -> None:
    began = time.monotonic()
    ran = processes.run(["yes"], 0.5)
    assert ran.status is None
    assert len(ran.output) == processes.OUTPUT_LIMIT
    assert time.monotonic() - began < 10


def test_row_40_a_command_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    script = f"cd {tmp_path}; sleep 60 & sleep 61 & wait"
    ran = processes.run(["sh", "-c", script], 0.3)
    assert ran.status is None
    assert "no end within" in ran.said()
    wait_until(lambda: not processes.within(str(tmp_path)))


def test_a_daemon_that_keeps_the_output_open_does_not_keep_us(tmp_path: Path) -> None:
    began = time.monotonic()
    ran = processes.run(["sh", "-c", f"cd {tmp_path}; sleep 30 & echo started"], 20)
    try:
        assert (ran.status, ran.text) == (0, "started")
        assert time.monotonic() - began < 10
    finally:
        for pid in processes.within(str(tmp_path)):
            os.kill(pid, signal.SIGKILL)


def test_row_66_bytes_that_are_no_text_are_shown_as_such() -> None:
    ran = processes.run(["printf", r"a\377b"], 5)
    assert ran.text == r"a\xffb"


def test_a_command_that_is_not_there_has_no_exit_code() -> None:
    ran = processes.run(["/no/such/command"], 5)
    assert ran.status is None
    assert "cannot run" in ran.said()


def test_row_15_a_command_inherits_no_open_file(tmp_path: Path) -> None:
    held = os.open(tmp_path / "held", os.O_WRONLY | os.O_CREAT)
    os.set_inheritable(held, True)
    ran = processes.run(["sh", "-c", "ls -l /proc/self/fd"], 5)
    os.close(held)
    assert "held" not in ran.text


def test_p14_a_command_gets_no_environment_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    assert "hunter2" not in processes.run(["env"], 5).text


def test_a_command_cannot_read_our_channel() -> None:
    assert processes.run([sys.executable, "-c", "print(input())"], 10).status == 1


# --- in an upgrade ------------------------------------------------------------------------------


def replaced(release: Beacon, name: str, content: str) -> Beacon:
    """A release with another script."""
    release.content[name] = (release.content[name][0], content.encode())
    return release


@pytest.mark.drill
def test_b3_a_stop_that_is_ignored_aborts_and_the_old_version_serves_on(bare: Node) -> None:
    node = bare
    old = Beacon("1.0")
    script = old.content["control"][1].decode()
    node.put_in_place(
        replaced(old, "control", script.replace("stop) stop ;;", "stop) echo no ;;"))
    )
    node.document["service"]["stop_timeout"] = 0.5
    before, was = node.product(), node.facts()["start_id"]
    node.begin(Beacon("2.0"))
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert "did not stop" in facts["last"]["why"]
    assert node.product() == before
    assert (facts["running"], facts["health"]) == ("1.0", "healthy")
    assert facts["start_id"] == was
    assert "EFFECT" not in [record["t"] for record in node.records()]


@pytest.mark.drill
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\ncase $1 in start) echo started;; status) echo started;; esac\n", "no new"),
        ("#!/bin/sh\ncase $1 in start) exit 3;; *) echo stoped;; esac\n", "exit 3"),
        ("#!/bin/sh\ncase $1 in start) sleep 60;; *) echo stoped;; esac\n", "no end within"),
    ],
    ids=["lies", "fails", "hangs"],
)
def test_z12_a_start_that_lies_fails_or_hangs_is_rolled_back(
    node: Node, script: str, why: str
) -> None:
    before = node.product()
    # The old version is started within this time, too, however busy the machine is.
    node.document["service"].update(start_timeout=3.0, stop_timeout=3.0)
    node.begin(replaced(Beacon("2.0"), "control", script))
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert why in facts["last"]["why"]
    assert node.product() == before
    assert (facts["running"], facts["health"]) == ("1.0", "healthy")


@pytest.mark.drill
def test_row_42_an_old_process_on_the_port_is_not_taken_for_the_new_version(node: Node) -> None:
    """The new version never gets its port: what answers there is of another version."""
    node.document["limits"]["healthy_deadline"] = 0.6
    squatter = Beacon("0.9")
    tree = node.top / "squatter"
    tree.mkdir()
    for name, (mode, data) in squatter.content.items():
        (tree / name).write_bytes(data)
        (tree / name).chmod(mode)
    script = Beacon("2.0").content["control"][1].decode()
    elsewhere = script.replace("start() {", f'start() {{\n    "{tree}/control" start >/dev/null')
    with_squatter = elsewhere.replace('"$here/beacon.py"', '"$here/idle.py"')
    release = replaced(Beacon("2.0"), "control", with_squatter)
    idle = (
        "import os, time\n"
        "os.chdir(os.path.dirname(os.path.abspath(__file__)))\n"
        "open('beacon.pid', 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    release.content["idle.py"] = (0o644, idle.encode())
    node.begin(release)

    def decided() -> list[str]:
        return [record["why"] for record in node.records() if record["t"] == "ROLLBACK"]

    wait_until(decided)
    assert "version 0.9, wanted 2.0" in decided()[0]


@pytest.mark.drill
def test_a_service_that_flaps_is_rolled_back(node: Node) -> None:
    before = node.product()
    node.document["limits"].update(max_restarts=1, accept_window=30.0, healthy_deadline=10.0)
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.control("2.0", "restart")
    wait_until(lambda: "RESTART" in [record["t"] for record in node.records()])
    node.control("2.0", "restart")
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before
    assert facts["running"] == "1.0"
    assert "restarted 2 times" in facts["last"]["why"]
