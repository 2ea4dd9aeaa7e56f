"""A cluster for each test, and keys that act at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.screen_operator import at_once


@pytest.fixture(autouse=True)
def quick_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys act at once, but in the tests of just that."""
    if "slow_keys" not in request.keywords:
        at_once(monkeypatch)


@pytest.fixture
def make_harbor(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes settled clusters with a good and a sick release; closed whatever happened."""
    made: list[Cluster] = []

    def make(nodes: int = 2, **policy: str) -> Cluster:
        cluster = Cluster(tmp_path / f"c{len(made)}", nodes, **policy)
        made.append(cluster)
        cluster.settle("4.11.0")
        cluster.release("4.12.0")
        cluster.release("4.13.0", sick=True)
        return cluster

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def harbor(make_harbor: Callable[..., Cluster]) -> Cluster:
    """Two nodes."""
    return make_harbor()
