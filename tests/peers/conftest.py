"""Nodes, benches, theatres and clusters: the same as in the tests of each part."""

from tests.cli.conftest import make_cluster
from tests.faults.conftest import fast, flat, versions
from tests.node.conftest import bare, node
from tests.runs.conftest import theatre

__all__ = ["bare", "fast", "flat", "make_cluster", "node", "theatre", "versions"]
