"""Benches in memory, where there is such a file system."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.bench import Bench
from tests.faults.table import fast_place


@contextmanager
def _in_memory() -> Iterator[Path]:
    top = Path(tempfile.mkdtemp(prefix="liftlock-faults-", dir=fast_place()))
    try:
        yield top
    finally:
        shutil.rmtree(top)


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory for one test."""
    with _in_memory() as top:
        yield top


@pytest.fixture(scope="module")
def fast_for_all() -> Iterator[Path]:
    """A directory in memory for all tests of a module."""
    with _in_memory() as top:
        yield top


@pytest.fixture
def flat(fast: Path) -> Bench:
    """Files that are replaced one by one."""
    return Bench(fast / "flat", "overlay", small=True)


@pytest.fixture
def versions(fast: Path) -> Bench:
    """Versions beside each other, with a definition of the service and data."""
    return Bench(fast / "versions", "versions", small=True)
