"""A cluster for each test, and nothing of it afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters that are closed at the end, whatever happened."""
    made: list[Cluster] = []

    def make(nodes: int = 1, **policy: str) -> Cluster:
        made.append(Cluster(tmp_path / f"c{len(made)}", nodes, **policy))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def harbor(make_cluster: Callable[..., Cluster]) -> Cluster:
    """One node, nothing installed."""
    return make_cluster()


def settle(cluster: Cluster) -> Cluster:
    """4.11.0 installed and finalized; 4.12.0 is good, 4.13.0 never becomes healthy."""
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    cluster.release("4.13.0", sick=True)
    return cluster


@pytest.fixture
def make_settled(make_cluster: Callable[..., Cluster]) -> Callable[..., Cluster]:
    """Makes what `settled` is, with a policy of the test's own."""
    return lambda nodes=1, **policy: settle(make_cluster(nodes, **policy))


@pytest.fixture
def settled(make_settled: Callable[..., Cluster]) -> Cluster:
    """One node, see `settle`."""
    return make_settled()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """As `settled`, for the tests of a module that leave it as it is."""
    cluster = Cluster(tmp_path_factory.mktemp("shared"))
    try:
        yield settle(cluster)
    finally:
        cluster.close()
