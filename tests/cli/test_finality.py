"""Finalize: shown before it, ended by whoever goes on, said twice, and ticked off after it."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from backends.store.book import Book
from tests.support.cluster import Cluster, Ran
from tests.support.node import wait_until
from tests.support.pseudoterminal import Pseudoterminal

SCHEMA = Path(__file__).parents[2] / "app" / "schemas" / "finality.json"

AFTER = '\n[finalize]\nafter = ["tell the users", "close the change"]\n'


@pytest.fixture
def make_accepted(make_cluster: Callable[..., Cluster]) -> Callable[..., Cluster]:
    """Makes clusters on which 4.12.0 is accepted, with this at the end of the profile."""

    def make(nodes: int, extra: str = "", **release: str) -> Cluster:
        cluster = make_cluster(nodes)
        cluster.write_profile(extra)
        cluster.settle("4.11.0")
        cluster.release("4.12.0", **release)
        ran = cluster.upgrade("4.12.0")
        assert ran.status == 0, ran
        return cluster

    return make


def finalize(cluster: Cluster, *words: str) -> Ran:
    return cluster.run("finalize", str(cluster.file), *words)


def results(ran: Ran) -> dict[str, str]:
    return {node["name"]: node["result"] for node in ran.lines[-1]["nodes"]}


def preview(cluster: Cluster) -> dict[str, object]:
    ran = finalize(cluster, "--preview", "--json")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(ran.json)
    return ran.json | {"status": ran.status}


def ticks(cluster: Cluster) -> list[tuple[str, str]]:
    """Which step was ticked, and why, by the book."""
    book = Book(cluster.top / "operator" / "history.sqlite3")
    try:
        entries = [each for run in book.runs("harbor") for each in book.entries(run.id)]
        found = [each.data for each in entries if "after" in each.data]
        return [(str(data["after"]), str(data["reason"])) for data in found]
    finally:
        book.close()


def test_it_is_shown_before_it_and_after_it_said_to_be_over(
    make_accepted: Callable[..., Cluster],
) -> None:
    cluster = make_accepted(1)
    shown = preview(cluster)
    (node,) = shown["nodes"]  # type: ignore[misc]
    assert (shown["version"], shown["status"]) == ("4.12.0", 0)
    assert (node["is_final"], node["irreversible"], node["stays"]) == (False, [], ["4.11.0"])
    assert node["watched"] is False
    text = finalize(cluster, "--preview")
    assert "health since accept: not watched" in text.out
    assert "frees " in text.out
    assert cluster.status()["nodes"][0]["state"] == "accepted", "nothing is changed by looking"
    ran = finalize(cluster, "--yes")
    assert ran.status == 0, ran
    assert "health since accept: not watched" in ran.said, "the same is said before it is done"
    again = finalize(cluster, "--yes", "--json")
    assert (again.status, results(again)) == (0, {"n1": "already"})
    assert preview(cluster)["nodes"][0]["is_final"] is True  # type: ignore[index]
    assert "4.12.0 is final everywhere" in finalize(cluster, "--preview").out


def test_what_cannot_be_made_final_says_why(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    shown = preview(cluster)
    assert (shown["status"], shown["version"]) == (4, None)
    assert shown["problem"]["code"] == "not-all-accepted"  # type: ignore[index]
    assert finalize(cluster, "--preview", "--yes").status == 2


@pytest.mark.drill
def test_whoever_is_killed_between_two_nodes_goes_on_where_it_stood(
    make_accepted: Callable[..., Cluster],
) -> None:
    """n2 is not begun, or begun and not over: whichever it is, the next finalize ends it."""
    gate = (
        '\n[[hooks]]\nname = "gate"\nwhen = "before_finalize"\ntimeout = "60 s"\n'
        'command = ["sh", "-c", "test {node} = n1 || test -e {directory}/go || exit 21"]\n'
    )
    cluster = make_accepted(2, gate)
    running = cluster.start("finalize", str(cluster.file), "--yes", "--json")
    assert running.stdout is not None
    for line in running.stdout:
        if json.loads(line).get("text") == "4.12.0 is final":
            break
    running.send_signal(signal.SIGKILL)
    running.communicate()
    states = [node["state"] for node in cluster.status()["nodes"]]
    assert states == ["idle", "accepted"]
    assert finalize(cluster, "--preview").status == 0
    (cluster.top / "n2/opt/beacon/go").touch()
    wait_until(lambda: not cluster.drivers())  # its driver may have been begun: it goes on alone
    ran = finalize(cluster, "--yes", "--json")
    assert ran.status == 0, ran
    assert results(ran)["n1"] == "already"
    assert cluster.status()["verdict"]["kind"] == "settled"
    again = finalize(cluster, "--yes", "--json")
    assert (again.status, results(again)) == (0, {"n1": "already", "n2": "already"})


def test_it_is_complete_when_every_step_after_it_was_ticked(
    make_accepted: Callable[..., Cluster],
) -> None:
    cluster = make_accepted(1, AFTER)
    ran = finalize(cluster, "--yes")
    assert ran.status == 10, ran
    assert "not ticked: tell the users" in ran.said
    assert cluster.status()["verdict"]["kind"] == "settled", "the nodes are final all the same"
    assert finalize(cluster, "--yes").status == 10, "it is not forgotten"

    assert finalize(cluster, "--yes", "--done", "tell the users").status == 2
    wrong = finalize(cluster, "--yes", "--done", "tell the user", "--reason", "x")
    assert wrong.status == 2
    assert 'Did you mean "tell the users"?' in wrong.said
    assert ticks(cluster) == []

    one = finalize(cluster, "--yes", "--done", "tell the users", "--reason", "mail, 14:02")
    assert one.status == 10, one
    assert "left to do: close the change" in one.said
    assert "to do after it: close the change" in finalize(cluster, "--preview").out
    rest = finalize(cluster, "--yes", "--done", "all", "--reason", "CHG-7")
    assert rest.status == 0, rest
    assert ticks(cluster) == [("close the change", "CHG-7"), ("tell the users", "mail, 14:02")]
    assert finalize(cluster, "--yes").status == 0
    assert [step["done"] for step in preview(cluster)["after"]] == [True, True]  # type: ignore[attr-defined]


@pytest.mark.drill
def test_a_person_is_asked_step_by_step_and_what_does_not_come_back_is_shown(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster()
    cluster.write_profile(AFTER)
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    source, where = str(cluster.top / "source-4.12.0"), cluster.top / "told"
    about = ("--name", "beacon", "--version", "4.12.0", "--irreversible", "the old format")
    assert cluster.run("release", "build", source, *about, "-o", str(where)).status == 0
    cluster.releases["4.12.0"] = where / "beacon-4.12.0.tar.gz"
    assert cluster.upgrade("4.12.0").status == 0
    shown = preview(cluster)
    assert shown["nodes"][0]["irreversible"] == ["the old format"]  # type: ignore[index]
    words = (sys.executable, "-m", "app", "finalize", str(cluster.file))
    with Pseudoterminal(*words, environment=cluster.environment) as terminal:
        terminal.answers("the cluster's name", "harbor")
        terminal.answers("Done: tell the users?", "y")
        terminal.answers("Done: close the change?", "")
        assert terminal.ends() == 10
        assert "does not come back: the old format (n1)" in terminal.screen
    assert ticks(cluster) == [("tell the users", "asked on the terminal")]


def test_nothing_is_ticked_where_no_upgrade_was_made_final(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster()
    cluster.write_profile(AFTER)
    cluster.settle("4.11.0")
    assert finalize(cluster, "--yes").status == 0, "adopted: nothing comes after it"
    ran = finalize(cluster, "--yes", "--done", "all", "--reason", "x")
    assert ran.status == 4, ran
    assert "nothing-to-tick" in ran.err
    assert ticks(cluster) == []
