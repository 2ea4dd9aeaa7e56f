"""`liftlock value`: a named value, as JSON from each node; unknown is never a success."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.support.cluster import Cluster, Ran

SCHEMA = Path(__file__).parents[2] / "app" / "schemas" / "value.json"

VALUES = """
[values]
health = { file = "/etc/hostname" }
"""

PROFILE = """
[values]
told = { http = "http://127.0.0.1:{vars.port}/health", field = "version" }
well = { http = "http://127.0.0.1:{vars.port}/health", field = "healthy" }
pointed = { file = "{directory}/.version", pattern = '^(\\d+)' }
which = { command = ["cat", "VERSION"] }
of_one = { file = "{directory}/only-{node}" }
"""


@pytest.fixture
def harbors(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two nodes with 4.11.0, and a profile that names values."""
    cluster = make_cluster(2)
    cluster.write_profile(PROFILE)
    cluster.settle("4.11.0")
    return cluster


def value(cluster: Cluster, *words: str) -> Ran:
    return cluster.run("value", str(cluster.file), *words)


def read(ran: Ran) -> list[object]:
    said = ran.json
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(said)
    return [node["value"] for node in said["nodes"]]


def test_values_are_read_as_what_they_are(harbors: Cluster) -> None:
    wanted = {"told": "4.11.0", "well": True, "pointed": "4", "which": "4.11.0", "data": None}
    wanted |= {"running": "4.11.0", "health": "healthy", "state": "idle", "staged": []}
    for name, found in wanted.items():
        ran = value(harbors, name, "--json")
        assert ran.status == 0, ran
        assert read(ran) == [found, found], name
    ran = value(harbors, "pointed", "-n", "n2")
    assert (ran.status, ran.out.split()) == (0, ["NODE", "VALUE", "n2", "4"])
    assert "running" in value(harbors).out.split()
    assert not (harbors.top / "n1/state/beacon/restarting.json").exists()


def test_unknown_is_not_read_and_an_unreached_node_is_not_either(harbors: Cluster) -> None:
    (harbors.top / "n1/opt/beacon/only-n1").write_text("one\n")
    ran = value(harbors, "of_one", "--json")
    assert ran.status == 6, ran
    one, other = read(ran)
    assert one == "one"
    assert isinstance(other, dict)
    assert "No such file" in other["unknown"]
    (harbors.top / "n1/opt/beacon/only-n1").write_text("\x1b[2Jone\n")
    assert "\x1b" not in value(harbors, "of_one").out
    text = harbors.file.read_text()
    dead = '[nodes]\nn0 = { address = "127.0.0.1", port = 1, vars = { port = 1 } }'
    harbors.file.write_text(text.replace("[nodes]", dead))
    for name in ("told", "running"):
        ran = value(harbors, name, "--json")
        assert ran.status == 3, ran
        unreached, *others = read(ran)
        assert isinstance(unreached, dict)
        assert unreached["unknown"]
        assert others == ["4.11.0", "4.11.0"]


@pytest.mark.parametrize(
    ("name", "said"), [("tolt", "Did you mean told?"), ("runing", "Did you mean running?")]
)
def test_a_name_that_is_none_is_refused_with_the_nearest(
    make_cluster: Callable[..., Cluster], name: str, said: str
) -> None:
    cluster = make_cluster()
    cluster.write_profile(PROFILE)
    ran = value(cluster, name)
    assert ran.status == 2, ran
    assert said in ran.said
    assert value(cluster, "told", "-n", "n9").status == 2


def test_the_name_of_what_is_read_anyway_is_taken(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    cluster.write_profile(VALUES)
    ran = value(cluster, "health")
    assert ran.status == 2
    assert "[values] health: is read of every product already" in ran.said
