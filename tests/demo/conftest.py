"""A node's SSH server of a test's own, and a client that knows its key."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from backends.demo.processes import processes_of
from backends.demo.sshd import Sshd
from tests.support.node import within

USER = "ann"


class Door:
    """A running `Sshd` and everything to log in to it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.home = top / "home"
        self.home.mkdir()
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.node = Sshd(
            self.home,
            {"PATH": os.environ["PATH"], "HOME": str(self.home), "MARK": str(top)},
            host_key=asyncssh.generate_private_key("ssh-ed25519"),
            user=USER,
            keys=[self.key.convert_to_public()],
            password="a word",
        )

    async def connect(self, **changes: object) -> asyncssh.SSHClientConnection:
        """Log in, the node's key checked."""
        settings: dict[str, object] = {
            "username": USER,
            "client_keys": [self.key],
            "known_hosts": asyncssh.import_known_hosts(self.node.known_hosts_line + "\n"),
            "preferred_auth": "publickey",
            "agent_path": None,
            "config": None,
            **changes,
        }
        return await asyncssh.connect("127.0.0.1", self.node.port, **settings)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """One node's server; no process of it is left."""
    found = Door(tmp_path)
    await found.node.start()
    try:
        yield found
    finally:
        await found.node.close()
        left = within(tmp_path)
        for pid in left:
            os.kill(pid, 9)
        assert not left, "a process of the test is left"


async def until(reached: Callable[[], object], seconds: float = 10) -> None:
    """Look until it is so; the node's server, which shares the loop, goes on meanwhile."""
    give_up = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up, "it never came to that"
        await asyncio.sleep(0.02)


@contextmanager
def no_process_left(top: Path) -> Iterator[None]:
    """Fails, and cleans up, when a process of a demo below `top` is left."""
    try:
        yield
    finally:
        left = {*within(top), *(pid for path in top.iterdir() for pid in processes_of(path))}
        for pid in left:
            os.kill(pid, 9)
        assert not left, "a process of the demo is left"


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """A directory for demos."""
    with no_process_left(tmp_path):
        yield tmp_path
