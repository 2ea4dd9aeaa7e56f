"""Nodes for the tests of the updater."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.beacon import Beacon
from tests.support.node import Node, a_node


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Node]:
    """A node on which nothing is installed."""
    with a_node(tmp_path / "node") as node:
        yield node


@pytest.fixture(
    params=[
        "versions",
        pytest.param("overlay", marks=pytest.mark.drill),
        pytest.param("swap", marks=pytest.mark.drill),
    ]
)
def with_config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A node of each layout on which nothing is installed; `etc/*.conf` is configuration."""
    with a_node(tmp_path / "node", layout=request.param, config=["etc/*.conf"]) as node:
        if request.param != "versions":
            url = node.document["health"][0]["url"]
            node.document["facts"]["version"] = {"http": url, "field": "version"}
        yield node


@pytest.fixture
def node(bare: Node) -> Node:
    """A node that runs 1.0, adopted."""
    bare.put_in_place(Beacon("1.0"))
    return bare
