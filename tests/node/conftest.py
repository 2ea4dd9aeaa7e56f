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


@pytest.fixture
def node(bare: Node) -> Node:
    """A node that runs 1.0, adopted."""
    bare.put_in_place(Beacon("1.0"))
    return bare
