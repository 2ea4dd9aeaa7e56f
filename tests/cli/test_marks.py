"""Nodes left out or pinned and versions forbidden: with reason, owner and a last day (B9)."""

import json
from collections.abc import Callable

import pytest

from tests.support.cluster import Cluster


@pytest.fixture
def two(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two nodes on 4.11.0, and 4.12.0."""
    cluster = make_cluster(nodes=2)
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    return cluster


def mark(cluster: Cluster, *words: str, reason: str = "INC-77"):
    return cluster.run(words[0], str(cluster.file), *words[1:], "--reason", reason)


def node(cluster: Cluster, name: str) -> dict:
    return next(each for each in cluster.status()["nodes"] if each["name"] == name)


def test_an_excluded_node_is_left_out_and_named_everywhere(two: Cluster) -> None:
    before = two.product("n2")
    ran = mark(two, "exclude", "n2", "--until", "2999-12-01")
    assert ran.status == 0, ran
    status = two.status()
    (left,) = status["verdict"]["excluded"]
    assert left["name"] == "n2"
    assert "INC-77" in left["reason"]
    assert "until 2999-12-01" in left["reason"]
    assert "@" in left["reason"], "whose mark it is"
    done = two.upgrade("4.12.0", "--json")
    assert done.status == 0, done
    assert {each["name"]: each["result"] for each in done.lines[-1]["nodes"]} == {
        "n1": "accepted",
        "n2": "excluded",
    }
    assert two.product("n2") == before
    assert two.run("finalize", str(two.file), "--yes").status == 0
    assert two.status()["verdict"]["kind"] == "settled"


def test_who_is_included_again_counts_again(two: Cluster) -> None:
    mark(two, "exclude", "n2")
    assert mark(two, "include", "n2", reason="repaired").status == 0
    assert not two.status()["verdict"]["excluded"]
    assert mark(two, "include", "n2", reason="again").status == 2, "nothing is marked any more"
    mark(two, "exclude", "n2", "--until", "2020-01-01")
    ran = two.run("status", str(two.file))
    assert "the mark exclude (INC-77) lapsed on 2020-01-01" in ran.said
    assert not two.status()["verdict"]["excluded"]


def test_a_pinned_node_is_read_and_stays_what_it_is(two: Cluster) -> None:
    assert mark(two, "exclude", "n2", "--pin").status == 0
    found = node(two, "n2")
    assert found["running"] == "4.11.0"
    done = two.upgrade("4.12.0", "--json")
    assert done.status == 0, done
    assert node(two, "n2")["running"] == "4.11.0"
    assert two.run("finalize", str(two.file), "--yes").status == 0
    status = two.status()
    assert status["verdict"]["kind"] == "settled"
    (left,) = status["verdict"]["excluded"]
    assert left["reason"].startswith("pinned: INC-77")


def test_a_node_in_the_middle_of_an_upgrade_is_not_pinned(two: Cluster) -> None:
    assert two.upgrade("4.12.0").status == 0
    ran = mark(two, "exclude", "n2", "--pin")
    assert ran.status == 4, ran
    assert "upgrade-open" in ran.err
    left = mark(two, "exclude", "n2")
    assert left.status == 0
    assert "nobody finalizes it or takes it back" in left.said


def test_a_forbidden_version_does_not_come(two: Cluster) -> None:
    before = two.product("n1"), two.product("n2")
    for nodes in ((), ("n2",)):
        assert mark(two, "exclude", *nodes, "--forbid", "4.12.0").status == 0
        ran = two.upgrade("4.12.0")
        assert ran.status == 4, ran
        assert "version-forbidden" in ran.err
        assert "INC-77" in ran.err
        assert (two.product("n1"), two.product("n2")) == before
        if nodes:
            assert two.upgrade("4.12.0", "-n", "n1").status == 0
        assert mark(two, "include", "--forbid", "4.12.0").status == 0
    assert two.upgrade("4.12.0").status == 0


def test_bad_marks_are_refused_and_none_is_written(make_cluster: Callable[..., Cluster]) -> None:
    empty = make_cluster(nodes=2)
    for words, reason, code in (
        (("exclude", "n9"), "why", "node-unknown"),
        (("exclude", "n2"), " ", "reason-missing"),
        (("exclude",), "why", "node-missing"),
        (("exclude", "n2", "--until", "tomorrow"), "why", "day-unreadable"),
        (("include", "n2"), "why", "mark-unknown"),
        (("include", "--forbid", "4.12.0"), "why", "mark-unknown"),
    ):
        ran = mark(empty, *words, reason=reason)
        assert (ran.status, code in ran.err) == (2, True), ran
    assert not list((empty.top / "operator").glob("*.marks.json"))


def test_marks_that_cannot_be_read_bring_no_node_back(
    make_cluster: Callable[..., Cluster],
) -> None:
    empty = make_cluster(nodes=2)
    mark(empty, "exclude", "n2")
    (file,) = (empty.top / "operator").glob("*.marks.json")
    whole = file.read_text()
    release = str(empty.release("4.12.0"))
    for damage in ("", "{", '{"schema": "x"}', "[]", whole.replace('"node"', '"knot"')):
        file.write_text(damage)
        for words in (("status",), ("upgrade", release, "--yes")):
            ran = empty.run(words[0], str(empty.file), *words[1:])
            assert (ran.status, "marks-damaged" in ran.err) == (2, True), ran


def test_marks_are_in_the_history_and_in_json(two: Cluster) -> None:
    ran = two.run("exclude", str(two.file), "n2", "--reason", "INC-77", "--json")
    shown = json.loads(ran.out.splitlines()[-1])
    assert shown["schema"] == "liftlock.marks/1"
    assert [(each["kind"], each["node"]) for each in shown["marks"]] == [("exclude", "n2")]
    journal = two.run("journal", str(two.file), "--json")
    assert any(row["node"] == "n2" and "INC-77" in row["text"] for row in journal.lines)


@pytest.mark.drill
def test_a_node_in_trial_is_given_more_time_and_never_less(two: Cluster) -> None:
    two.policy |= {"accept": "manual", "accept_window": "30s", "batch": 2}
    two.write_cluster()
    with two.start("upgrade", str(two.file), str(two.releases["4.12.0"]), "--yes") as program:
        two.wait_for(lambda s: all(e["state"] == "monitoring" for e in s["nodes"]), seconds=120)
        words = ("--by", "60s", "--reason", "looking at graphs")
        ran = two.run("extend", str(two.file), "n1", *words)
        assert ran.status == 0, ran
        less = two.run("extend", str(two.file), "n1", "--by", "5s")
        assert (less.status, "not-later" in less.err) == (4, True), less
        two.wait_for(lambda s: s["nodes"][1]["state"] == "rolled_back", seconds=120)
        assert node(two, "n1")["state"] == "monitoring", "its window was moved"
        assert two.run("accept", str(two.file), "n1").status == 0
        _, said = program.communicate(timeout=60)
    assert program.returncode == 6, said
