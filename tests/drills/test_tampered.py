"""A release that somebody changes on its way never reaches a switch, and nothing is stopped.

On real OpenSSH servers: changed in the file, on the line, in the node's store of blobs, and in the
staged tree after it was checked.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.transport import ssh
from tests.drills.sshd import Operator, SshCluster, Sshd
from tests.support.cluster import Ran

pytestmark = pytest.mark.drill


@pytest.fixture
def harbor(
    make_sshd: Callable[..., Sshd], operator: Operator, tmp_path: Path
) -> Iterator[SshCluster]:
    """Two nodes on 1.0; 2.0 is to come."""
    servers = [make_sshd(), make_sshd()]
    cluster = SshCluster(tmp_path / "harbor", servers, operator)
    try:
        cluster.settle("1.0")
        cluster.release("2.0", notes="x" * 300_000)
        yield cluster
    finally:
        cluster.close()


def standing(cluster: SshCluster) -> list[object]:
    """What lies on the nodes, and which processes serve."""
    return [
        (
            cluster.product(node["name"]),
            node["running"],
            node["service"],
            (cluster.top / node["name"] / "opt/beacon/1.0/beacon.pid").read_text(),
        )
        for node in cluster.status()["nodes"]
    ]


def stopped(cluster: SshCluster) -> list[str]:
    """Journals on the nodes in which a stop of the service was so much as begun."""
    found = cluster.top.glob("n*/state/beacon/**/journal")
    return [str(path) for path in found if b'"t":"SVC"' in path.read_bytes()]


def refused(ran: Ran, code: str) -> None:
    assert ran.status == 4, ran
    assert f"[{code}]" in ran.err, ran


def test_changed_in_the_file(harbor: SshCluster) -> None:
    before = standing(harbor)
    tarball = harbor.releases["2.0"]
    content = bytearray(tarball.read_bytes())
    content[len(content) // 2] ^= 1
    tarball.write_bytes(content)

    refused(harbor.upgrade("2.0"), "tarball-digest")

    assert (standing(harbor), stopped(harbor)) == (before, [])


def test_changed_on_the_line_and_then_in_the_store_of_blobs(
    harbor: SshCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = standing(harbor)
    write = ssh.SshChannel.write
    hits = []

    async def flipped(self: ssh.SshChannel, data: bytes) -> None:
        if data.startswith(b"x" * 1000):
            hits.append(len(data))
            data = b"y" + data[1:]
        await write(self, data)

    with monkeypatch.context() as tampering:
        tampering.setattr(ssh.SshChannel, "write", flipped)
        refused(harbor.upgrade("2.0"), "blob-damaged")
    assert hits
    assert (standing(harbor), stopped(harbor)) == (before, [])

    stores = [harbor.top / name / "state/beacon/blobs" for name in harbor.names]
    kept = [path for store in stores for path in store.iterdir()]
    assert kept, "what has arrived whole is kept"
    for path in kept:
        content = bytearray(path.read_bytes())
        content[0] ^= 1
        path.write_bytes(content)
    assert harbor.upgrade("2.0").status == 0
    for name in harbor.names:
        source = harbor.top / "source-2.0"
        for path in source.iterdir():
            there = harbor.top / name / "opt/beacon/2.0" / path.name
            assert there.read_bytes() == path.read_bytes()


def test_changed_in_the_staged_tree_after_it_was_checked(harbor: SshCluster) -> None:
    """By one of the operator's own checks, which comes last and may write everywhere."""
    folder = harbor.top / "checks.d"
    folder.mkdir()
    check = folder / "evil"
    check.write_text('#!/bin/sh\necho evil >>"$LIFTLOCK_STAGED/VERSION"\n')
    check.chmod(0o755)
    harbor.write_profile(f'[check]\ndirectory = "{folder}"\n')
    before = standing(harbor)

    refused(harbor.upgrade("2.0"), "staged-changed")

    assert (standing(harbor), stopped(harbor)) == (before, [])
