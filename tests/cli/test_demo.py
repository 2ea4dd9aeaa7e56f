"""The demo, and the main job over SSH by command line, as design.md and the README tell it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Ran
from tests.support.disks import fill, small_disk
from tests.support.node import picture
from tests.support.served import Served, belonging, served, wired


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One node, which the tests of this module only look at."""
    with served(tmp_path_factory.mktemp("demo"), 1) as found:
        yield found


@pytest.fixture
def five(tmp_path: Path) -> Iterator[Served]:
    """The demo as it is shown to people."""
    with served(tmp_path, 5) as found:
        yield found


def test_it_serves_a_settled_cluster_and_says_where_in_one_line(demo: Served) -> None:
    assert set(demo.said) == {"cluster", "releases", "dir", "pid"}
    assert demo.said["pid"] == demo.process.pid
    assert demo.verdict() == (0, "settled", None, "4.11.0")
    assert [Path(path).name for path in demo.said["releases"].values()] == [
        "beacon-4.12.0.tar.gz",
        "beacon-4.13.0.tar.gz",
    ]


def test_nothing_of_the_operators_own_is_read_or_changed(demo: Served, home: Path) -> None:
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody-here\n")
    (home / ".ssh" / "known_hosts").write_text("* ssh-ed25519 AAAA nonsense\n")
    before = picture(home)
    assert demo.verdict()[:2] == (0, "settled")
    assert demo.run("journal", str(demo.file)).status == 0
    assert demo.on("clean", "--staged", "--yes").status == 0
    assert picture(home) == before


def test_an_unknown_host_key_is_exit_3_until_trust_has_recorded_it(demo: Served) -> None:
    file = demo.variant("unknown.toml", {'known_hosts = ".*"': 'known_hosts = "nobody"'})
    status = demo.run("status", str(file), "--json")
    problem = status.json["nodes"][0]["problem"]
    assert (status.status, problem["code"]) == (3, "host-key-unknown")
    known = (demo.directory / "known_hosts").read_text().split()
    assert known[0] in problem["evidence"]
    ran = demo.run("upgrade", str(file), demo.said["releases"]["4.12.0"], "--yes")
    assert ran.status == 3, ran
    assert not (demo.directory / "nobody").exists(), "a key was recorded that nobody agreed to"
    silent = demo.run("trust", str(file))
    assert silent.status == 2, "nobody could be asked"
    trusted = demo.run("trust", str(file), "--yes")
    assert trusted.status == 0, trusted
    fingerprint = re.search(r"SHA256:\S+", problem["evidence"])
    assert fingerprint is not None
    assert fingerprint[0] in trusted.err
    assert (demo.directory / "nobody").read_text().split() == known
    assert demo.run("status", str(file)).status == 0
    assert demo.run("trust", str(file), "--yes").out.split()[1] == "known"


def test_trust_of_a_node_that_is_not_there_is_a_usage_error(demo: Served) -> None:
    ran = demo.on("trust", "-n", "n1,n7", "--yes")
    assert ran.status == 2
    assert [line.split()[:2] for line in ran.out.splitlines()] == [
        ["n1", "known"],
        ["n7", "refused"],
    ]


def test_a_changed_host_key_is_refused_and_trust_never_records_it(demo: Served) -> None:
    name, kind, _ = (demo.directory / "known_hosts").read_text().split()
    other = (demo.directory / "keys" / "operator.pub").read_text().split()[1]
    recorded = f"{name} {kind} {other}\n"
    (demo.directory / "wrong").write_text(recorded)
    file = demo.variant("changed.toml", {'known_hosts = ".*"': 'known_hosts = "wrong"'})
    status = demo.run("status", str(file), "--json")
    problem = status.json["nodes"][0]["problem"]
    assert (status.status, problem["code"]) == (3, "host-key-changed")
    assert f"{demo.directory}/wrong:1" in problem["evidence"]
    trusted = demo.run("trust", str(file), "--yes")
    assert trusted.status == 3
    assert "host-key-changed" in trusted.err
    assert (demo.directory / "wrong").read_text() == recorded
    assert demo.run("upgrade", str(file), demo.said["releases"]["4.12.0"], "--yes").status == 3


def test_a_refused_login_is_exit_3_and_says_as_whom(demo: Served) -> None:
    file = demo.variant("stranger.toml", {'user = ".*"': 'user = "stranger"'})
    status = demo.run("status", str(file), "--json")
    problem = status.json["nodes"][0]["problem"]
    assert (status.status, problem["code"]) == (3, "login-refused")
    assert "stranger" in problem["summary"]
    assert demo.run("upgrade", str(file), demo.said["releases"]["4.12.0"], "--yes").status == 3


def test_rollback_does_not_call_nothing_open_what_it_could_not_read(demo: Served) -> None:
    file = demo.variant("unread.toml", {'user = ".*"': 'user = "stranger"'})
    ran = demo.run("rollback", str(file), "--yes")
    assert ran.status == 3
    assert "It is not known whether an upgrade is open" in ran.err
    assert "No upgrade is open" not in ran.err


def test_a_run_that_is_not_in_the_history_is_looked_for_in_the_right_one(demo: Served) -> None:
    ran = demo.run("journal", str(demo.file), "0000-zzz")
    assert ran.status == 2
    assert f"{demo.directory}/operator/history.sqlite3" in ran.err


def test_a_node_without_python_is_exit_3_over_ssh_too(demo: Served) -> None:
    file = demo.variant("bare.toml", {r"\[defaults\]": '[defaults]\npython = "/no/python3"'})
    status = demo.run("status", str(file), "--json")
    assert status.status == 3
    assert status.json["nodes"][0]["problem"]["code"] == "no-python"


def test_an_ssh_config_that_is_not_there_is_a_usage_error(demo: Served) -> None:
    file = demo.variant("missing.toml", {'ssh_config = ".*"': 'ssh_config = "nowhere"'})
    ran = demo.run("status", str(file))
    assert ran.status == 2
    assert "ssh-config-missing" in ran.err


def test_a_second_demo_in_the_same_directory_is_refused(demo: Served) -> None:
    ran = demo.run("demo", "--serve", "--dir", str(demo.directory))
    assert ran.status == 7
    assert str(demo.process.pid) in ran.err
    assert demo.verdict()[:2] == (0, "settled"), "the first one goes on"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_everything_that_belongs_to_it(tmp_path: Path, number: int) -> None:
    with served(tmp_path, 1) as found:
        assert len(belonging(found.directory)) >= 2, "the demo and a beacon"
        assert found.end(number) == 0
        assert not belonging(found.directory)


# --- the main job: drills ------------------------------------------------------------------------


@pytest.mark.drill
def test_five_nodes_go_forward_are_finalized_and_a_sick_release_is_undone(five: Served) -> None:
    assert five.verdict() == (0, "settled", None, "4.11.0")
    ran = five.upgrade("4.12.0")
    assert ran.status == 0, ran
    assert five.verdict() == (10, "ready_to_finalize", "4.11.0", "4.12.0")
    assert five.on("finalize", "--yes").status == 0
    assert five.verdict() == (0, "settled", None, "4.12.0")
    sick = five.upgrade("4.13.0")
    assert sick.status == 5, sick
    assert five.versions() == [("4.12.0", "4.12.0")] * 5
    journal = five.run("journal", str(five.file))
    assert "HTTP 503, wanted 200" in " ".join(journal.out.split())
    undone = re.findall(r"undo ok", journal.out)
    assert len(undone) >= 3, journal
    assert "ended: undone" in journal.out
    run = journal.out.split()[1]
    assert five.run("journal", str(five.file), run).out == journal.out
    assert run not in five.run("journal").out, "the operator's own history knows nothing of it"


@pytest.mark.drill
def test_rollback_before_finalize_returns_all_nodes(five: Served) -> None:
    assert five.upgrade("4.12.0").status == 0
    ran = five.on("rollback", "--yes")
    assert ran.status == 0, ran
    assert five.versions() == [("4.11.0", "4.11.0")] * 5
    assert five.verdict() == (0, "settled", None, "4.11.0")


@pytest.mark.drill
@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.5])
def test_p1_whoever_kills_the_operator_finds_a_defined_cluster_and_can_go_on(
    tmp_path: Path, seconds: float
) -> None:
    with served(tmp_path, 2) as demo:
        _killed_operator(demo, seconds)
        assert demo.verdict()[1] in ("upgrading", "rolling_back", "ready_to_finalize")
        # Within its accept window (20 s) each node decides by itself.
        _until(lambda: not _is_moving(demo), 60)
        nodes = demo.on("status", "--json").json["nodes"]
        assert {node["state"] for node in nodes} <= {"accepted", "rolled_back", "checked"}
        again = demo.upgrade("4.12.0")
        assert again.status == 0, again
        assert demo.verdict() == (10, "ready_to_finalize", "4.11.0", "4.12.0")


@pytest.mark.drill
def test_p1_a_node_that_lost_all_its_processes_is_restored_by_the_next_contact(
    tmp_path: Path,
) -> None:
    with served(tmp_path, 1) as demo:
        before = _product(demo)
        _killed_operator(demo, 0.0)
        demo.cut_power("n1")
        assert demo.on("status", "--json").json["nodes"][0]["state"] == "inconsistent"
        ran = demo.on("rollback", "--yes")
        assert ran.status == 0, ran
        assert demo.versions() == [("4.11.0", "4.11.0")]
        assert _product(demo) == before


@pytest.mark.drill
def test_p1_a_node_killed_after_it_was_accepted_stays_and_can_go_back(tmp_path: Path) -> None:
    with served(tmp_path, 1) as demo:
        before = _product(demo)
        assert demo.upgrade("4.12.0").status == 0
        demo.cut_power("n1")
        node = demo.on("status", "--json").json["nodes"][0]
        assert (node["selected"], node["service"], node["state"]) == (
            "4.12.0",
            "stopped",
            "accepted",
        )
        assert demo.on("rollback", "--yes").status == 0
        assert demo.versions() == [("4.11.0", "4.11.0")]
        assert _product(demo) == before


@pytest.mark.drill
def test_looking_at_a_node_that_was_never_managed_leaves_no_file_and_clean_leaves_none(
    tmp_path: Path,
) -> None:
    with served(tmp_path, 1) as demo:
        node = demo.directory / "nodes" / "n1"
        assert demo.upgrade("4.12.0").status == 0
        assert demo.on("rollback", "--yes").status == 0
        assert demo.on("clean", "--everything", "--yes").status == 0
        found = _lasting(node)
        assert set(found) == {
            "home", "opt", "opt/beacon", "opt/beacon/.version", "opt/beacon/4.11.0",
            "opt/beacon/4.11.0/VERSION", "opt/beacon/4.11.0/beacon.py",
            "opt/beacon/4.11.0/control",
        }  # fmt: skip
        ran = demo.on("status", "--json")
        assert (ran.status, ran.json["verdict"]["kind"]) == (10, "unmanaged")
        assert _lasting(node) == found


@pytest.mark.drill
def test_row_16_a_node_with_a_full_disk_refuses_exit_4_and_nothing_is_changed(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk, served(disk, 1) as demo:
        elsewhere = f'operator_state = "{tmp_path}/operator"'
        file = demo.variant("elsewhere.toml", {'operator_state = ".*"': elsewhere})
        before = _product(demo)
        fill(disk / "filler")
        ran = demo.run("upgrade", str(file), demo.said["releases"]["4.12.0"], "--yes")
        assert ran.status == 4, ran
        assert "has 0 bytes free" in ran.err
        (disk / "filler").unlink()
        assert _product(demo) == before
        assert demo.verdict() == (0, "settled", None, "4.11.0")


@pytest.mark.drill
def test_after_a_sigkill_every_beacon_ends_within_five_seconds(five: Served) -> None:
    ports = re.findall(r"vars = \{ port = (\d+) \}", five.file.read_text())
    assert len(ports) == 5
    assert all(_answers(port) for port in ports)
    os.kill(five.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    _until(lambda: not any(_answers(port) for port in ports), 30)
    took = time.monotonic() - killed
    assert took < 5.5, f"the last beacon ended {took:.1f} s after the demo"


@pytest.mark.drill
def test_it_can_be_opened_again_where_it_was_left(tmp_path: Path) -> None:
    with served(tmp_path, 2) as first:
        assert first.upgrade("4.12.0").status == 0
        assert first.end() == 0
        with served(tmp_path, 2) as second:
            assert second.verdict() == (10, "ready_to_finalize", "4.11.0", "4.12.0")
            assert second.on("rollback", "--yes").status == 0
            assert second.verdict() == (0, "settled", None, "4.11.0")


@pytest.mark.drill
@pytest.mark.parametrize("what", ["go_dead", "cut"])
def test_a_link_that_goes_in_the_middle_of_an_upgrade_is_replaced_and_the_upgrade_goes_on(
    tmp_path: Path, what: str
) -> None:
    with served(tmp_path, 1) as demo, wired(demo, "wire") as (file, do):
        release = demo.said["releases"]["4.12.0"]
        done: list[Ran] = []
        run = threading.Thread(
            target=lambda: done.append(_upgraded(file, release)), name="operator"
        )
        run.start()
        for _ in range(2):
            _until(lambda: demo.verdict()[1] == "upgrading", 20)
            do(what)
            time.sleep(1.0)
        run.join(120)
        assert done
        assert done[0].status == 0, done[0]
        assert demo.verdict() == (10, "ready_to_finalize", "4.11.0", "4.12.0")


def _upgraded(file: Path, release: str) -> Ran:
    words = [sys.executable, "-m", "app", "upgrade", str(file), release, "--yes"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
    return Ran(run.returncode, run.stdout, run.stderr)


def _killed_operator(demo: Served, seconds: float) -> None:
    """An upgrade whose operator's program dies so long after the first node has begun."""
    release = demo.said["releases"]["4.12.0"]
    words = [sys.executable, "-m", "app", "upgrade", str(demo.file), release, "--yes"]
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: demo.verdict()[1] == "upgrading", 20)
        time.sleep(seconds)
    finally:
        run.kill()
        run.wait()


def _lasting(node: Path) -> dict[str, tuple[object, ...]]:
    """A node's tree without what its service writes."""
    return {
        path: about
        for path, about in picture(node).items()
        if Path(path).name not in ("beacon.pid", "beacon.log", "__pycache__")
    }


def _product(demo: Served) -> dict[str, tuple[object, ...]]:
    """A node's product directory without what its service and the updater keep there."""
    found = _lasting(demo.directory / "nodes" / "n1" / "opt")
    return {path: about for path, about in found.items() if ".liftlock" not in path}


def _is_moving(demo: Served) -> bool:
    nodes = demo.on("status", "--json").json["nodes"]
    return any(node["state"] in ("installing", "monitoring", "rolling_back") for node in nodes)


def _answers(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(json.load(answer))
    except OSError:
        return False


def _until(reached: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.1)
