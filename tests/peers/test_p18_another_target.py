"""Another release is asked for while the last one is not through: the refusal says which."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.beacon import Beacon
from tests.support.cluster import Cluster
from tests.support.node import Node, settled


def test_p18_a_node_that_is_asked_for_another_release_names_the_run_that_is_open(
    node: Node,
) -> None:
    """cephci 1626: `upgrade already in progress to ` and then nothing."""
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    answer = node.install(Beacon("3.0"), "1121-bbb")
    problem = answer.end["problem"]
    assert (answer.outcome, problem["code"]) == ("refused", "upgrade-open")
    assert problem["summary"] == "run 1120-aaa to 2.0 is open on this node"
    assert "ann@jump" in problem["evidence"]
    assert node.facts()["transaction"]["run"] == "1120-aaa"


@pytest.fixture
def held(make_cluster: Callable[..., Cluster]) -> Any:
    """n1 holds 4.13.0, which never became healthy; the run's id."""
    cluster = make_cluster(on_failure="hold")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    cluster.release("4.13.0", sick=True)
    ran = cluster.upgrade("4.13.0", "--json")
    assert ran.status == 6, ran
    return cluster, ran.lines[-1]["run"]


@pytest.mark.drill
@pytest.mark.parametrize("is_forgotten", [False, True])
def test_p18_after_a_failed_run_another_release_is_refused_with_the_old_ones_name(
    held: Any, is_forgotten: bool
) -> None:
    """cephci 1626: also for somebody who has no history of that run."""
    cluster, run = held
    if is_forgotten:
        (cluster.top / "operator").rename(cluster.top / "lost")
    ran = cluster.upgrade("4.12.0")
    assert ran.status == 4, ran
    assert f"run {run}" in ran.said
    assert "4.13.0" in ran.said
    assert cluster.status()["nodes"][0]["running"] == "4.13.0", "nothing was changed"


@pytest.mark.drill
def test_p18_after_a_failed_run_that_went_back_another_release_may_come(
    make_cluster: Callable[..., Cluster],
) -> None:
    """cephci 1626: the other way round; what is undone and proven is in nobody's way."""
    cluster = make_cluster()
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    cluster.release("4.13.0", sick=True)
    assert cluster.upgrade("4.13.0").status == 5
    ran = cluster.upgrade("4.12.0")
    assert ran.status == 0, ran
