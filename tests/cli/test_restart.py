"""`liftlock restart`: one node after the other, only while the others serve, and seen to serve."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.store.book import Book
from tests.support.cluster import Cluster, Ran
from tests.support.node import wait_until


@pytest.fixture
def two(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two nodes that serve 4.11.0, final; a release 4.12.0."""
    cluster = make_cluster(2)
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    return cluster


def restart(cluster: Cluster, *words: str) -> Ran:
    return cluster.run("restart", str(cluster.file), "--reason", "it leaks", "--yes", *words)


def results(ran: Ran) -> dict[str, str]:
    return {node["name"]: node["result"] for node in ran.lines[-1]["nodes"]}


def starts(cluster: Cluster) -> list[str]:
    found = cluster.run("value", str(cluster.file), "start_id", "--json").json["nodes"]
    return [json.dumps(node["value"]) for node in found]


def own_journal(cluster: Cluster, node: str) -> str:
    return (cluster.top / node / "state/beacon/journal").read_bytes().decode("latin-1")


def make_sick(cluster: Cluster, node: str) -> Path:
    """The node serves no more until the file is gone."""
    path = cluster.top / node / "opt/beacon/4.11.0/sick"
    path.write_text("yes\n")
    cluster.wait_for(
        lambda status: (
            {each["name"]: each["health"] for each in status["nodes"]}[node] == "failing"
        )
    )
    return path


def test_both_are_restarted_in_order_and_the_book_and_the_nodes_say_who_and_why(
    two: Cluster,
) -> None:
    before = starts(two)
    ran = restart(two, "--json")
    assert ran.status == 0, ran
    assert results(ran) == {"n1": "done", "n2": "done"}
    order = [line["node"] for line in ran.lines if line.get("kind") == "phase"]
    assert order == ["n1", "n2"]
    assert all(one != other for one, other in zip(before, starts(two), strict=True))
    assert two.status()["verdict"]["kind"] == "settled"
    for node in two.names:
        assert '"reason":"it leaks"' in own_journal(two, node)
        assert '"t":"RESTARTED"' in own_journal(two, node)
    book = Book(two.top / "operator" / "history.sqlite3")
    try:
        run = next(iter(book.runs("harbor")))
        assert (run.kind, run.note, run.exit) == ("restart", "it leaks", 0)
    finally:
        book.close()


def test_one_is_restarted_alone_and_an_unknown_name_is_an_error_of_its_own(two: Cluster) -> None:
    before = starts(two)
    ran = restart(two, "-n", "n2,n9", "--json")
    assert ran.status == 6, ran
    assert results(ran) == {"n2": "done", "n9": "refused"}
    after = starts(two)
    assert (after[0], after[1] != before[1]) == (before[0], True)


def test_none_that_serves_goes_down_while_another_does_not(two: Cluster) -> None:
    sick = make_sick(two, "n2")
    before = starts(two)
    ran = restart(two, "-n", "n1", "--json")
    assert ran.status == 4, ran
    assert results(ran) == {"n1": "refused"}
    assert ran.lines[-1]["nodes"][0]["problem"]["code"] == "others-not-serving"
    assert starts(two) == before
    sick.unlink()


@pytest.mark.drill
def test_what_does_not_serve_may_be_restarted_and_what_comes_of_it_is_told(two: Cluster) -> None:
    sick = make_sick(two, "n2")
    ran = restart(two, "-n", "n2", "--json")
    assert ran.status == 6, ran
    assert results(ran) == {"n2": "unhealthy"}
    problem = ran.lines[-1]["nodes"][0]["problem"]
    assert problem["code"] == "not-serving"
    assert problem["evidence"], "the end of its log"
    sick.unlink()
    assert restart(two, "-n", "n2").status == 0
    assert two.status()["verdict"]["kind"] == "settled"


@pytest.mark.drill
def test_after_one_that_is_not_well_no_further_one_is_begun(two: Cluster) -> None:
    control = two.top / "n1/opt/beacon/4.11.0/control"
    text = control.read_text()
    control.write_text(text.replace("start)", "start) exit 7;", 1))
    before = starts(two)
    ran = restart(two, "--json")
    assert ran.status == 6, ran
    assert results(ran) == {"n1": "unhealthy", "n2": "not_started"}
    assert starts(two)[1] == before[1]
    assert two.status()["verdict"]["down"] == ["n1"]
    control.write_text(text)
    assert restart(two, "-n", "n1").status == 0


@pytest.mark.drill
def test_what_is_accepted_is_restarted_and_stays_reversible(two: Cluster) -> None:
    assert two.upgrade("4.12.0").status == 0
    ran = restart(two)
    assert ran.status == 0, ran
    assert two.status()["verdict"]["kind"] == "ready_to_finalize"
    shown = two.run("finalize", str(two.file), "--preview", "--json").json
    assert {node["process"] for node in shown["nodes"]} == {"other"}
    assert two.run("rollback", str(two.file), "--yes").status == 0


@pytest.mark.drill
def test_beside_an_upgrade_at_work_nothing_is_restarted(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(2, accept="manual", accept_window="20s", if_operator_vanishes="hold")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    upgrade = cluster.start("upgrade", str(cluster.file), str(cluster.releases["4.12.0"]), "--yes")
    cluster.wait_for(lambda status: status["nodes"][0]["state"] == "monitoring")
    upgrade.kill()
    upgrade.communicate()
    before = starts(cluster)
    ran = restart(cluster, "-n", "n2", "--json")
    assert ran.status == 4, ran
    assert "An upgrade is at work" in ran.out
    assert starts(cluster) == before


@pytest.mark.drill
def test_interrupted_here_the_node_ends_it_alone(two: Cluster) -> None:
    control = two.top / "n1/opt/beacon/4.11.0/control"
    control.write_text(control.read_text().replace("stop)", "stop) sleep 2;", 1))
    before = starts(two)
    words = ("restart", str(two.file), "--reason", "it leaks", "--yes")
    running = two.start(*words)
    wait_until(lambda: (two.top / "n1/state/beacon/restarting.json").exists())
    assert "is being restarted by" in two.run("status", str(two.file)).out
    assert restart(two).status == 7, "two at once: this workstation has its own lock"
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    said = (running.stderr.read() if running.stderr else "").replace("\n", " ")
    assert "The restart was begun on: n1" in said
    running.communicate()
    wait_until(lambda: not two.drivers())
    after = starts(two)
    assert (after[0] != before[0], after[1]) == (True, before[1])
    assert two.status()["verdict"]["kind"] == "settled"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--yes"], "reason-missing"),
        (["--reason", "it leaks"], "nobody-to-ask"),
        (["--reason", "it leaks", "--yes", "-n", "n7"], "node-unknown"),
    ],
)
def test_without_a_reason_or_somebody_to_ask_nothing_is_contacted(
    make_cluster: Callable[..., Cluster], words: list[str], code: str
) -> None:
    cluster = make_cluster()
    ran = cluster.run("restart", str(cluster.file), *words)
    assert ran.status == 2
    assert code in ran.err
    assert not (cluster.top / "n1" / "state").exists()


def test_where_nothing_is_installed_nothing_is_restarted(harbor: Cluster) -> None:
    ran = restart(harbor)
    assert ran.status == 4, ran
    assert "the product is not here" in ran.said
