"""To take over looks first: it ends one updater at most, and begins no node of its own."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.beacon import Beacon
from tests.support.cluster import Cluster
from tests.support.node import Node, picture, settled, wait_until

pytestmark = pytest.mark.drill


@pytest.fixture
def half_installed(make_cluster: Callable[..., Cluster]) -> Cluster:
    """n1 in its install, n2 not begun; the operator's program was killed."""
    cluster = make_cluster(nodes=2, accept="manual", accept_window="60s", healthy_deadline="40s")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    words = ("upgrade", str(cluster.file), str(cluster.releases["4.12.0"]), "--yes")
    with cluster.start(*words) as program:
        wait_until(cluster.drivers)
        program.kill()
    return cluster


def kept(cluster: Cluster, node: str) -> dict[str, Any]:
    """All of a node that its service does not write."""
    found = picture(cluster.top / node)
    return {name: about for name, about in found.items() if "beacon." not in name}


def states(cluster: Cluster) -> dict[str, str]:
    return {each["name"]: each["state"] for each in cluster.status()["nodes"]}


def takeover(cluster: Cluster) -> Any:
    return cluster.run("takeover", str(cluster.file), "--yes", "--reason", "ann is gone")


def test_p09_where_nobody_works_any_more_nothing_is_ended_begun_or_changed(
    half_installed: Cluster,
) -> None:
    """kured 137, kube-hetzner 1182: a stale lock was taken away, and the next node was begun."""
    cluster = half_installed
    for pid in cluster.drivers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not cluster.drivers())
    before = {name: kept(cluster, name) for name in cluster.names}
    assert states(cluster) == {"n1": "inconsistent", "n2": "checked"}
    ran = takeover(cluster)
    assert (ran.status, "nothing-to-take-over" in ran.err) == (4, True), ran
    assert {name: kept(cluster, name) for name in cluster.names} == before
    assert cluster.drivers() == []
    assert states(cluster) == {"n1": "inconsistent", "n2": "checked"}


def test_p09_an_updater_that_hangs_is_replaced_on_its_node_and_no_other_node_is_begun(
    half_installed: Cluster,
) -> None:
    """kured 137, kube-hetzner 1182: with a half installed node the cluster is looked at first."""
    cluster = half_installed
    cluster.wait_for(lambda status: status["nodes"][0]["state"] == "monitoring")
    (driver,) = cluster.drivers()
    os.kill(driver, signal.SIGSTOP)
    before = kept(cluster, "n2")
    ran = takeover(cluster)
    assert ran.status == 0, ran
    assert "n1: the updater at work on run" in ran.said
    assert "n2" not in ran.said.replace("n1, n2", "")
    wait_until(lambda: cluster.drivers() not in ([], [driver]))
    assert kept(cluster, "n2") == before
    assert states(cluster) == {"n1": "monitoring", "n2": "checked"}


def test_p09_on_a_node_whose_updater_died_it_is_looked_at_and_not_gone_forward(
    node: Node,
) -> None:
    """kured 137, kube-hetzner 1182: the node itself; what was half done goes back, never on."""
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    answer = node.ask("recover", takeover=True, reason="ann is gone")
    assert answer.outcome == "refused"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert (facts["running"], facts["state"]) == ("1.0", "rolled_back")
    assert not {"ACCEPT", "FINALIZE"} & {record["t"] for record in node.records()}
