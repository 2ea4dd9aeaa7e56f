"""A plan in a file is carried out as it was reviewed, or refused with a list of what differs."""

import json
from pathlib import Path

import pytest

from tests.support.cluster import Cluster


def plan(cluster: Cluster) -> Cluster:
    """Write the plan to 4.12.0 into a file."""
    release = str(cluster.releases["4.12.0"])
    words = ("--out", str(cluster.top / "plan.json"), "--pause", "all")
    ran = cluster.run("plan", str(cluster.file), release, *words)
    assert ran.status == 0, ran
    assert "all of" not in ran.err
    return cluster


@pytest.fixture
def reviewed(settled: Cluster) -> Cluster:
    """A settled cluster, and the plan to 4.12.0 in a file."""
    return plan(settled)


@pytest.fixture(scope="module")
def planned(shared: Cluster) -> Cluster:
    """As `reviewed`, for tests in which nothing is carried out."""
    return plan(shared)


def carry_out(cluster: Cluster, *words: str, version: str = "4.12.0"):
    return cluster.upgrade(version, "--plan", str(cluster.top / "plan.json"), *words)


def test_the_plan_in_the_file_is_what_plan_json_prints(planned: Cluster) -> None:
    release = str(planned.releases["4.12.0"])
    again = planned.run("plan", str(planned.file), release, "--json", "--pause", "all")
    written = json.loads((planned.top / "plan.json").read_text())
    assert written["schema"] == "liftlock.plan/1"
    assert {**again.json, "run": ""} == {**written, "run": ""}
    assert written["batches"] == [{"nodes": ["n1"], "left": written["batches"][0]["left"]}]


def test_it_is_carried_out_under_its_own_run_and_pace(reviewed: Cluster) -> None:
    ran = carry_out(reviewed, "--json")
    assert ran.status == 0, ran
    written = json.loads((reviewed.top / "plan.json").read_text())
    assert ran.lines[-1]["run"] == written["run"]
    assert reviewed.status()["nodes"][0]["running"] == "4.12.0"
    again = carry_out(reviewed)  # what it has brought about itself is no difference
    assert again.status == 0, again
    assert "accepted and still reversible" in again.said + again.out


def test_what_has_changed_since_is_listed_and_nothing_is_done(reviewed: Cluster) -> None:
    before = reviewed.product("n1")
    reviewed.policy["accept_window"] = "9s"
    reviewed.write_cluster()
    ran = carry_out(reviewed)
    assert ran.status == 4, ran
    assert "plan-changed" in ran.err
    assert "limits accept_window_seconds: was 8, is 9" in ran.said
    assert reviewed.product("n1") == before
    assert reviewed.run("journal", str(reviewed.file)).out.count("upgrade") == 0


def test_another_node_version_since_is_a_difference(reviewed: Cluster) -> None:
    assert reviewed.upgrade("4.12.0").status == 0
    assert reviewed.run("finalize", str(reviewed.file), "--yes").status == 0
    ran = carry_out(reviewed)
    assert ran.status == 4, ran
    assert "n1 treatment: was install, is already" in ran.said
    assert "n1 from_version: was 4.11.0, is 4.12.0" in ran.said


def test_another_release_than_the_reviewed_one_is_a_difference(planned: Cluster) -> None:
    ran = carry_out(planned, version="4.13.0")
    assert ran.status == 4, ran
    assert "release_digest: was " in ran.said


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": "liftlock.plan/1"}',
        b'{"schema": "liftlock.status/1", "run": "a", "id": "b"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_plan_is_refused_before_anything_is_read(
    planned: Cluster, tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(damage)
    ran = planned.upgrade("4.12.0", "--plan", str(path))
    assert ran.status == 2, ran
    assert "plan-unreadable" in ran.err


@pytest.mark.parametrize("key", ["policy", "nodes", "run", "id"])
def test_a_plan_without_a_part_is_no_plan(planned: Cluster, tmp_path: Path, key: str) -> None:
    content = json.loads((planned.top / "plan.json").read_text())
    content[key] = 7
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    ran = planned.upgrade("4.12.0", "--plan", str(path))
    assert (ran.status, "plan-unreadable" in ran.err) == (2, True), ran


def test_what_the_plan_says_is_not_said_twice(planned: Cluster) -> None:
    ran = carry_out(planned, "--pause", "none")
    assert ran.status == 2
    assert "plan-says-it" in ran.err


def test_a_plan_that_cannot_be_written_leaves_what_was_there(shared: Cluster) -> None:
    release = str(shared.releases["4.12.0"])
    for place in (shared.top / "missing" / "plan.json", shared.top):
        ran = shared.run("plan", str(shared.file), release, "--out", str(place))
        assert ran.status == 2, ran


def test_a_plan_is_shown_without_a_history_that_can_be_read(settled: Cluster) -> None:
    history = settled.top / "operator" / "history.sqlite3"
    history.unlink()
    words = ("plan", str(settled.file), str(settled.releases["4.12.0"]))
    assert settled.run(*words).status == 0
    assert not history.exists()
    history.write_bytes(b"no history\n" * 100)
    ran = settled.run(*words)
    assert (ran.status, "how long it took before is not known" in ran.said) == (0, True), ran


def test_a_skip_is_named_reasoned_and_stays_red(settled: Cluster) -> None:
    settled.write_profile('[minimum]\nall = "majority"\n')
    ran = settled.upgrade("4.12.0")
    assert ran.status == 4, ran
    assert "while n1 is changed, 0 of 1 nodes, needed: 1" in ran.said + ran.out
    for words, code in (
        ("enough nodes=why", "skip-unknown"),
        ("enough nodes left=", "skip-without-reason"),
        ("nodes read=because", "skip-unknown"),
    ):
        refused = settled.upgrade("4.12.0", "--skip", words)
        assert (refused.status, code in refused.err) == (2, True), refused
    done = settled.upgrade("4.12.0", "--skip", "enough nodes left=one node only, CHG-7")
    assert done.status == 0, done
    journal = settled.run("journal", str(settled.file), "--json")
    rows = [row for row in journal.lines if row["data"].get("skipped")]
    assert {row["data"]["gate"] for row in rows} == {"before the upgrade to 4.12.0", "before n1"}
    assert {row["data"]["result"] for row in rows} == {"refused"}
    assert {row["data"]["skipped"] for row in rows} == {"one node only, CHG-7"}
