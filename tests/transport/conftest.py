"""What the tests of known_hosts are given."""

from pathlib import Path

import pytest

from backends.transport.known_hosts import KnownHosts
from tests.transport.known_keys import Files


@pytest.fixture
def of(tmp_path: Path) -> Files:
    """An index over files with these contents: known_hosts0, known_hosts1, ..."""

    def read(*contents: str | bytes) -> KnownHosts:
        paths = [tmp_path / f"known_hosts{at}" for at in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return KnownHosts.read(paths)

    return read
