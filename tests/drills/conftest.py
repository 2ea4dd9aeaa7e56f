"""Servers, operators and clusters for the drills, and nothing of them afterwards."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.drills.sshd import Agent, Operator, SshCluster, Sshd, privilege_separation


@pytest.fixture(scope="session")
def run_sshd() -> Iterator[None]:
    """The directory that sshd wants as root."""
    with privilege_separation():
        yield


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Who reaches the servers."""
    return Operator(tmp_path / "operator")


@pytest.fixture
def make_sshd(
    run_sshd: None, tmp_path_factory: pytest.TempPathFactory, operator: Operator
) -> Iterator[Callable[..., Sshd]]:
    """Makes servers that the operator may enter and knows; all are ended, whatever happened.

    They have their files beside the test's own directory, where it may look for its processes.
    """
    top = tmp_path_factory.mktemp("sshd")
    made: list[Sshd] = []

    def make(config: str = "", *, host_keys: Sequence[str] = (), path: str = "") -> Sshd:
        number = len(made)
        server = Sshd(top / str(number), f"127.0.0.{2 + number % 8}", config=config)
        server.host_keys = list(host_keys) or server.host_keys
        server.path = path or server.path
        made.append(server)
        server.lets_in(operator)
        server.start()
        operator.knows(*made)
        return server

    try:
        yield make
    finally:
        for server in made:
            server.stop()


@pytest.fixture
def sshd(make_sshd: Callable[..., Sshd]) -> Sshd:
    """One server."""
    return make_sshd()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., SshCluster]]:
    """Makes clusters of servers that are there already; closed before those are ended."""
    made: list[SshCluster] = []

    def make(
        servers: Sequence[Sshd], operator: Operator, *, defaults: str = "", **policy: str
    ) -> SshCluster:
        top = tmp_path / f"c{len(made)}"
        made.append(SshCluster(top, servers, operator, defaults=defaults, **policy))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An ssh-agent without keys. The path of its socket has to be short."""
    found = Agent(tmp_path_factory.mktemp("agent"))
    try:
        yield found
    finally:
        found.stop()
