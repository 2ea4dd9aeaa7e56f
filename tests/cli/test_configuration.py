"""Configuration that somebody edited: it stays, what differs is shown before it is final."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from app.application import LiftlockApp
from tests.support.cluster import Cluster
from tests.support.screen_operator import at_the_screen

OLD, NEW = "4.11.0", "4.12.0"
SCHEMA = Path(__file__).parents[2] / "app" / "schemas" / "conflicts.json"


@pytest.fixture
def edited(make_cluster: Callable[..., Cluster]) -> Cluster:
    """4.11.0 came as a release, somebody edited its configuration, 4.12.0 has another default."""
    cluster = make_cluster()
    text = cluster.profile.read_text()
    cluster.profile.write_text(text.replace("[service]", 'config = ["*.conf"]\n\n[service]', 1))
    for version, default in ((OLD, "port = 1\n"), (NEW, "port = 2\n")):
        cluster.release(version, **{"beacon.conf": default, "other.conf": default})
    assert cluster.upgrade(OLD).status == 0
    assert cluster.run("finalize", str(cluster.file), "--yes").status == 0
    (cluster.top / "n1/opt/beacon" / OLD / "beacon.conf").write_text("port = 9999\n")
    return cluster


def live(cluster: Cluster, name: str) -> str:
    return (cluster.top / "n1/opt/beacon" / NEW / name).read_text()


def test_what_was_edited_stays_and_is_shown_before_it_is_final(edited: Cluster) -> None:
    ran = edited.upgrade(NEW)
    assert ran.status == 0, ran
    assert "beacon.conf.new" in " ".join(ran.err.split())
    assert live(edited, "beacon.conf") == "port = 9999\n"
    assert live(edited, "beacon.conf.new") == "port = 2\n"
    assert live(edited, "other.conf") == "port = 2\n"
    assert edited.status()["nodes"][0]["transaction"]["beside"] == ["beacon.conf"]

    shown = edited.run("conflicts", str(edited.file))
    assert shown.status == 0
    assert "n1  beacon.conf: stays as it is; the new default is beacon.conf.new" in shown.out
    for title, lines in (
        ("you have changed", "-port = 1\n    +port = 9999"),
        ("the release has changed", "-port = 1\n    +port = 2"),
        ("from yours to the new default", "-port = 9999\n    +port = 2"),
    ):
        assert lines in shown.out.partition(title)[2], shown.out
    told = edited.run("conflicts", str(edited.file), "--json").json
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(told)
    assert told["nodes"][0]["conflicts"][0]["path"] == "beacon.conf"

    final = edited.run("finalize", str(edited.file), "--yes")
    assert final.status == 0
    assert "its new default lies beside it: beacon.conf" in " ".join(final.err.split())
    assert edited.run("verify", str(edited.file)).status == 0
    assert edited.status()["verdict"]["kind"] == "settled"


def test_where_there_is_none_that_is_said(settled: Cluster) -> None:
    ran = settled.run("conflicts", str(settled.file))
    assert ran.status == 0
    assert ran.out.strip() == "no new default lies beside an edited configuration file"


def test_of_a_node_that_cannot_be_asked_nothing_is_known(settled: Cluster) -> None:
    text = settled.file.read_text().replace(
        'transport = "local"', 'address = "127.0.0.1", port = 9'
    )
    settled.file.write_text(text)
    ran = settled.run("conflicts", str(settled.file), "--json")
    assert ran.status == 3
    assert ran.json["nodes"][0]["conflicts"] is None
    assert ran.json["nodes"][0]["problem"]["code"]


async def test_the_screen_shows_what_differs_and_finalize_asks_to_look(edited: Cluster) -> None:
    assert edited.upgrade(NEW).status == 0
    async with at_the_screen(edited) as operator:
        assert isinstance(operator.app, LiftlockApp)
        await operator.sees("READY TO FINALIZE", "beacon.conf: new default")
        await operator.presses("C")
        await operator.sees("configuration", "n1 beacon.conf", "-port = 1", "+port = 9999")
        await operator.presses("escape", "F")
        await operator.sees("yours stays, the new default lies beside it: n1 beacon.conf")
