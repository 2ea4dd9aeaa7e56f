"""The main job by command line, end to end, on real processes: forward, and back."""

import itertools
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.node import picture


def test_a_first_install_is_an_upgrade_from_nothing_and_its_rollback_removes_it(
    harbor: Cluster,
) -> None:
    harbor.release("4.11.0")
    before = harbor.run("status", str(harbor.file), "--json")
    assert (before.status, before.json["verdict"]["kind"]) == (10, "absent")
    assert harbor.upgrade("4.11.0").status == 0
    assert harbor.run("rollback", str(harbor.file), "--yes").status == 0
    after = harbor.run("status", str(harbor.file), "--json")
    assert (after.status, after.json["verdict"]["kind"]) == (10, "absent")
    assert harbor.product("n1") == {"beacon": harbor.product("n1")["beacon"]}


def test_an_upgrade_is_accepted_then_finalized_and_the_status_says_each(settled: Cluster) -> None:
    assert (settled.run("status", str(settled.file)).status) == 0
    ran = settled.upgrade("4.12.0")
    assert ran.status == 0, ran
    status = settled.run("status", str(settled.file), "--json")
    verdict = status.json["verdict"]
    assert status.status == 10
    assert (verdict["kind"], verdict["from"], verdict["to"]) == (
        "ready_to_finalize",
        "4.11.0",
        "4.12.0",
    )
    assert settled.run("finalize", str(settled.file), "--yes").status == 0
    status = settled.run("status", str(settled.file), "--json")
    assert (status.status, status.json["verdict"]["kind"]) == (0, "settled")
    assert status.json["verdict"]["to"] == "4.12.0"
    node = status.json["nodes"][0]
    assert (node["running"], node["selected"]) == ("4.12.0", "4.12.0")
    assert node["finalized"]["version"] == "4.12.0"
    assert (node["service"], node["health"]) == ("started", "healthy")
    plan = settled.run("plan", str(settled.file), str(settled.releases["4.13.0"]))
    took = r"earlier run \S+ to 4.12.0: stage .*install [0-9.]+ s, monitor"
    assert re.search(took, " ".join(plan.out.split())), plan


@pytest.mark.drill
def test_b10_a_release_that_never_becomes_healthy_is_undone_by_the_node_exit_5(
    settled: Cluster,
) -> None:
    before = settled.product("n1")
    ran = settled.upgrade("4.13.0")
    assert ran.status == 5, ran
    assert settled.product("n1") == before
    status = settled.status()
    assert status["verdict"]["kind"] == "settled"
    assert status["nodes"][0]["running"] == "4.11.0"
    assert status["nodes"][0]["state"] == "rolled_back"
    journal = settled.run("journal").out
    assert "health http-1 fails (hard): HTTP 503" in journal
    assert "unknown field max_outstanding" in journal  # the service's own last words
    assert journal.count("undo ok") >= 4
    assert "proof ok" in journal


def test_b27_rollback_before_finalize_returns_the_old_version_byte_for_byte(
    settled: Cluster,
) -> None:
    before = settled.product("n1")
    assert settled.upgrade("4.12.0").status == 0
    assert settled.product("n1") != before
    assert settled.run("rollback", str(settled.file), "--yes").status == 0
    assert settled.product("n1") == before
    assert settled.status()["verdict"]["to"] == "4.11.0"


@pytest.mark.drill
def test_b27_after_finalize_there_is_no_way_back_and_rollback_does_not_read_as_done(
    settled: Cluster,
) -> None:
    settled.upgrade("4.12.0")
    settled.run("finalize", str(settled.file), "--yes")
    ran = settled.run("rollback", str(settled.file), "--yes", "--json")
    assert ran.status == 4
    assert ran.lines[-1]["problem"]["code"] == "nothing-to-roll-back"
    assert settled.status()["verdict"]["to"] == "4.12.0"


def test_z10_the_same_release_again_leaves_the_process_alone(settled: Cluster) -> None:
    pid = settled.status()["nodes"][0]["running"], settled.run("journal").out
    first = _start_id(settled)
    ran = settled.upgrade("4.11.0")
    assert ran.status == 0, ran
    assert _start_id(settled) == first
    assert pid[0] == "4.11.0"


@pytest.mark.drill
def test_three_nodes_go_one_after_the_other_and_all_come_back(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(3)
    cluster.settle("4.11.0")
    before = [cluster.product(name) for name in cluster.names]
    cluster.release("4.12.0")
    ran = cluster.upgrade("4.12.0", "--json")
    assert ran.status == 0, ran
    accepted = [
        event["node"]
        for event in ran.lines
        if event["schema"] == "liftlock.event/1" and event["text"].startswith("accepted by")
    ]
    assert accepted == ["n1", "n2", "n3"]
    assert cluster.run("rollback", str(cluster.file), "--yes").status == 0
    assert [cluster.product(name) for name in cluster.names] == before


@pytest.mark.drill
def test_n21_a_failing_node_stops_the_run_and_the_others_are_not_started(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(3)
    cluster.settle("4.11.0")
    cluster.release("4.13.0", sick=True)
    ran = cluster.upgrade("4.13.0", "--json")
    assert ran.status == 5, ran
    results = {node["name"]: node["result"] for node in ran.lines[-1]["nodes"]}
    assert results == {"n1": "rolled_back", "n2": "not_started", "n3": "not_started"}
    assert {node["running"] for node in cluster.status()["nodes"]} == {"4.11.0"}


@pytest.mark.drill
def test_the_run_pauses_after_the_first_node_and_the_same_command_goes_on(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(2, pause="first")
    cluster.release("4.11.0")
    first = cluster.upgrade("4.11.0")
    assert first.status == 10, first
    verdict = cluster.status()["verdict"]
    assert (verdict["kind"], verdict["to"]) == ("upgrading", "4.11.0")
    second = cluster.upgrade("4.11.0")
    assert second.status == 0, second
    assert cluster.status()["verdict"]["kind"] == "ready_to_finalize"


def test_j2_another_workstation_takes_up_the_nodes_and_the_pace_that_were_meant(
    make_settled: Callable[..., Cluster],
) -> None:
    """Nothing of the run is known there: the nodes tell for which of them it was begun."""
    cluster = make_settled(nodes=3)
    begun = cluster.upgrade("4.12.0", "-n", "n1,n2", "--pause", "all")
    assert begun.status == 10, begun
    shutil.rmtree(cluster.top / "operator")
    words = ("resume", str(cluster.file), str(cluster.releases["4.12.0"]), "--yes", "--json")
    ran = cluster.run(*words)
    assert ran.status == 0, ran
    assert f"run {ran.lines[-1]['run']}: upgrade to 4.12.0" in begun.said
    running = {each["name"]: each["running"] for each in cluster.status()["nodes"]}
    assert running == {"n1": "4.12.0", "n2": "4.12.0", "n3": "4.11.0"}
    report = cluster.run("report", str(cluster.file), "--json").json
    assert report["plan"]["policy"]["pause"] == "all"


@pytest.mark.drill
def test_killing_the_operators_program_in_an_install_leaves_a_defined_state_and_resumes(
    settled: Cluster,
) -> None:
    """The node goes on alone; `status` tells it; the same upgrade brings it to the goal."""
    operator = settled.start(
        "upgrade", str(settled.file), str(settled.releases["4.12.0"]), "--yes"
    )
    _wait(lambda: bool(settled.drivers()), "no driver began")
    operator.send_signal(signal.SIGKILL)
    operator.communicate()
    status = settled.wait_for(
        lambda found: found["nodes"][0]["state"] in ("monitoring", "rolled_back", "accepted")
    )
    assert status["nodes"][0]["state"] != "inconsistent"
    ran = settled.upgrade("4.12.0")
    assert ran.status == 0, ran
    assert settled.status()["verdict"]["kind"] == "ready_to_finalize"


@pytest.mark.drill
def test_p5_nobody_accepts_and_the_node_returns_by_itself(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(accept_window="3s")
    cluster.settle("4.11.0")
    before = cluster.product("n1")
    cluster.release("4.12.0")
    operator = cluster.start(
        "upgrade", str(cluster.file), str(cluster.releases["4.12.0"]), "--yes"
    )
    _wait(lambda: bool(cluster.drivers()), "no driver began")
    operator.send_signal(signal.SIGKILL)
    operator.communicate()
    status = cluster.wait_for(lambda found: found["nodes"][0]["state"] == "rolled_back")
    assert "nobody accepted" in status["nodes"][0]["note"]
    assert cluster.product("n1") == before


@pytest.mark.drill
def test_p2_after_everything_of_the_node_was_killed_the_next_upgrade_restores_then_succeeds(
    make_settled: Callable[..., Cluster],
) -> None:
    settled = make_settled(healthy_deadline="15s", accept_window="20s")
    before = settled.product("n1")
    operator = settled.start(
        "upgrade", str(settled.file), str(settled.releases["4.13.0"]), "--yes"
    )
    _wait(lambda: bool(settled.drivers()), "no driver began")
    settled.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    operator.send_signal(signal.SIGKILL)
    operator.communicate()
    for pid in settled.drivers():
        os.kill(pid, signal.SIGKILL)
    status = settled.run("status", str(settled.file), "--json")
    assert status.status == 6
    assert status.json["nodes"][0]["state"] == "inconsistent"
    assert status.json["nodes"][0]["problem"]["code"] == "driver-gone"
    ran = settled.upgrade("4.12.0")
    assert ran.status == 0, ran
    assert settled.run("rollback", str(settled.file), "--yes").status == 0
    assert settled.product("n1") == before


def test_looking_at_a_node_that_was_never_managed_leaves_not_a_single_file(
    harbor: Cluster,
) -> None:
    (harbor.top / "n1").mkdir()
    before = picture(harbor.top / "n1")
    for words in (["status"], ["doctor"], ["status", "--json"]):
        harbor.run(words[0], str(harbor.file), *words[1:])
    assert picture(harbor.top / "n1") == before == {}


def test_clean_everything_leaves_the_node_as_it_was_found(settled: Cluster) -> None:
    assert settled.run("clean", str(settled.file), "--everything", "--yes").status == 0
    left = {path.split("/")[0] for path in picture(settled.top / "n1")}
    assert left == {"opt"}  # the product itself, which is not ours to remove
    assert not [path for path in picture(settled.top / "n1") if ".liftlock" in path]
    assert settled.run("status", str(settled.file)).status == 10  # it runs and is unmanaged now


@pytest.mark.drill
def test_adopt_records_what_runs_and_then_it_can_be_upgraded_and_rolled_back(
    settled: Cluster,
) -> None:
    settled.run("clean", str(settled.file), "--everything", "--yes")
    refused = settled.upgrade("4.12.0")
    assert refused.status == 4
    assert "adopt" in refused.err
    assert settled.status()["verdict"]["kind"] == "unmanaged"
    assert settled.run("adopt", str(settled.file), "--yes").status == 0
    assert settled.status()["verdict"]["kind"] == "settled"
    before = settled.product("n1")
    assert settled.upgrade("4.12.0").status == 0
    assert settled.run("rollback", str(settled.file), "--yes").status == 0
    assert settled.product("n1") == before


@pytest.mark.drill
def test_manual_accept_waits_for_a_person_and_is_given_by_another_program(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(accept="manual")
    cluster.release("4.11.0")
    operator = cluster.start(
        "upgrade", str(cluster.file), str(cluster.releases["4.11.0"]), "--yes"
    )
    _wait(lambda: bool(cluster.drivers()), "no driver began")
    cluster.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    give_up = time.monotonic() + 10
    accepted = cluster.run("accept", str(cluster.file), "n1")
    while accepted.status == 4 and time.monotonic() < give_up:  # not healthy for long enough yet
        accepted = cluster.run("accept", str(cluster.file), "n1")
    assert accepted.status == 0, accepted
    operator.communicate(timeout=30)
    assert operator.returncode == 0
    again = cluster.run("accept", str(cluster.file), "n1")
    assert (again.status, again.out.split("\n")[2].split()) == (0, ["n1", "already"])
    told = cluster.run("journal", str(cluster.file)).out
    assert "ended here, exit 0" in told
    assert "still reversible" in told, "an act that did nothing is not the newest"


@pytest.mark.drill
def test_who_follows_an_upgrade_is_told_that_a_person_took_it_back(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(min_healthy="20s", healthy_deadline="25s", accept_window="40s")
    cluster.release("4.11.0")
    operator = cluster.start(
        "upgrade", str(cluster.file), str(cluster.releases["4.11.0"]), "--yes"
    )
    cluster.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    assert cluster.run("rollback", str(cluster.file), "--yes").status == 0
    out, err = operator.communicate(timeout=30)
    assert operator.returncode == 5, err
    assert "n1 went back, as " in out
    assert "by itself" not in out


def _start_id(cluster: Cluster) -> Any:
    return (cluster.top / "n1" / "opt" / "beacon" / "4.11.0" / "beacon.pid").read_text()


def _wait(reached: Callable[[], bool], otherwise: str, seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.02)


def test_z1_the_watch_tells_every_change_and_nothing_twice(settled: Cluster) -> None:
    watching = settled.start("status", str(settled.file), "--watch", "--json")
    lines: list[dict[str, Any]] = []
    assert watching.stdout is not None
    lines.append(json.loads(watching.stdout.readline()))
    assert settled.upgrade("4.12.0").status == 0
    while lines[-1]["verdict"]["kind"] != "ready_to_finalize":
        lines.append(json.loads(watching.stdout.readline()))
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=10)
    assert watching.returncode == 0
    kinds = [line["verdict"]["kind"] for line in lines]
    assert kinds[0] == "settled"
    assert "upgrading" in kinds
    told = [json.dumps(line["nodes"], sort_keys=True) for line in lines]
    without_clocks = [re.sub(r'"(age|decides_in)_seconds": [\d.]+', "", line) for line in told]
    assert all(one != two for one, two in itertools.pairwise(without_clocks))
