"""A run that is paused, taken up again, told to go on at another pace, and ended."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cluster import Cluster

pytestmark = pytest.mark.drill


@pytest.fixture
def three(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Three nodes on 4.11.0; 4.12.0 is good."""
    cluster = make_cluster(nodes=3, pause="first", min_healthy="1s", healthy_deadline="4s")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    return cluster


def states(cluster: Cluster) -> dict[str, str]:
    return {each["name"]: each["state"] for each in cluster.status()["nodes"]}


def running(cluster: Cluster) -> dict[str, str]:
    return {each["name"]: each["running"] for each in cluster.status()["nodes"]}


def test_what_is_paused_is_resumed_also_from_another_workstation(three: Cluster) -> None:
    paused = three.upgrade("4.12.0", "--json")
    assert paused.status == 10, paused
    run = paused.lines[-1]["run"]
    resumed = three.run("resume", str(three.file), "--yes", "--json", "--pause", "all")
    assert resumed.status == 10, resumed
    assert resumed.lines[-1]["run"] == run, "the same run"
    assert running(three) == {"n1": "4.12.0", "n2": "4.12.0", "n3": "4.11.0"}
    # Another workstation has no history at all: the nodes' own words are enough.
    shutil.move(three.top / "operator", three.top / "lost")
    release = str(three.releases["4.12.0"])
    last = three.run("resume", str(three.file), release, "--yes", "--json", "--pause", "none")
    assert last.status == 0, last
    assert last.lines[-1]["run"] == run
    assert set(running(three).values()) == {"4.12.0"}
    assert set(states(three).values()) == {"accepted"}
    nothing = three.run("finalize", str(three.file), "--yes")
    assert nothing.status == 0
    over = three.run("resume", str(three.file), "--yes", "--json")
    assert (over.status, "nothing-to-resume" in over.err) == (4, True), over
    last = over.lines[-1]
    assert (last["schema"], last["exit"], last["nodes"]) == ("liftlock.outcome/1", 4, [])
    assert last["problem"]["code"] == "nothing-to-resume"


def test_another_release_is_refused_and_names_the_run_that_is_open(three: Cluster) -> None:
    begun = three.upgrade("4.12.0", "--json")
    assert begun.status == 10
    three.release("4.13.0")
    before = running(three)
    ran = three.run("resume", str(three.file), str(three.releases["4.13.0"]), "--yes")
    assert (ran.status, "other-run-open" in ran.err) == (4, True), ran
    assert "it goes to 4.12.0" in ran.said
    refused = three.upgrade("4.13.0")
    assert refused.status == 4, refused
    assert begun.lines[-1]["run"] in refused.said, "it names the run that is open"
    assert running(three) == before
    hidden = three.top / "elsewhere.tar.gz"
    Path(three.releases["4.12.0"]).rename(hidden)
    lost = three.run("resume", str(three.file), "--yes")
    assert (lost.status, "release-unknown" in lost.err) == (2, True), lost


def until_begun(program: "subprocess.Popen[str]", node: str) -> str:
    """Read what a run says until it begins to install a node; all of it."""
    assert program.stdout is not None
    said = ""
    for line in program.stdout:  # read all the time: a pipe that is full would hold the run
        said += line
        event = json.loads(line)
        if (event.get("node"), event.get("phase")) == (node, "install"):
            return said
    raise AssertionError(said)


def test_a_run_is_told_from_another_terminal_to_wait_and_to_hurry(three: Cluster) -> None:
    file, release = str(three.file), str(three.releases["4.12.0"])
    idle = three.run("pause", file)
    assert (idle.status, "nobody-drives" in idle.err) == (4, True), idle
    with three.start("upgrade", file, release, "--yes", "--pause", "all", "--json") as program:
        until_begun(program, "n1")
        told = three.run("pause", file, "--policy", "after_role", "--reason", "all is well")
        assert told.status == 0, told
        until_begun(program, "n2")
        assert three.run("pause", file, "--reason", "graphs look odd").status == 0
        out, err = program.communicate(timeout=120)
    assert program.returncode == 10, err
    assert "graphs look odd" in out
    assert running(three) == {"n1": "4.12.0", "n2": "4.12.0", "n3": "4.11.0"}
    last = three.run("resume", file, "--yes", "--pause", "none")
    assert last.status == 0, last
    assert set(running(three).values()) == {"4.12.0"}


def test_an_abort_takes_back_what_is_in_the_middle_and_leaves_what_is_accepted(
    three: Cluster,
) -> None:
    file, release = str(three.file), str(three.releases["4.12.0"])
    none = three.run("abort", file, "--yes")
    assert (none.status, "nothing-to-abort" in none.err) == (4, True), none
    three.policy |= {"accept": "manual", "accept_window": "120s"}
    three.write_cluster()
    with three.start("upgrade", file, release, "--yes", "--pause", "none", "--json") as program:
        three.wait_for(lambda s: s["nodes"][0]["state"] == "monitoring", seconds=120)
        assert three.run("accept", file, "n1").status == 0
        three.wait_for(lambda s: s["nodes"][1]["state"] == "monitoring", seconds=120)
        ended = three.run("abort", file, "--yes", "--json", "--reason", "wrong window")
        _, err = program.communicate(timeout=60)
    assert program.returncode == 6, err
    assert ended.status == 10, ended
    results = {each["name"]: each["result"] for each in ended.lines[-1]["nodes"]}
    assert results["n1"] == "accepted"
    assert running(three) == {"n1": "4.12.0", "n2": "4.11.0", "n3": "4.11.0"}
    assert three.run("rollback", file, "--yes").status == 0
    over = three.run("resume", file, "--yes")
    assert (over.status, "nothing-to-resume" in over.err) == (4, True), over


def test_an_abort_without_anybody_who_drives_takes_back_what_is_in_trial(three: Cluster) -> None:
    three.policy |= {"accept": "manual", "accept_window": "60s"}
    three.write_cluster()
    file, release = str(three.file), str(three.releases["4.12.0"])
    with three.start("upgrade", file, release, "--yes", "--pause", "none") as program:
        three.wait_for(lambda s: s["nodes"][0]["state"] == "monitoring", seconds=120)
        program.kill()
    assert three.run("pause", file).status == 4
    ended = three.run("abort", file, "--yes", "--json")
    assert ended.status == 0, ended
    assert set(running(three).values()) == {"4.11.0"}
    assert states(three)["n1"] == "rolled_back"
