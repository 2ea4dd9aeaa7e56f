"""An upload that is cut goes on where it ended, and sends nothing that is there (row 47).

On a real OpenSSH server whose sessions are killed at random places of the upload.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.node import wire
from backends.transport import ssh
from tests.drills.sshd import Operator, SshCluster, Sshd

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

CUTS = 20
FILES, SIZE = 40, 50_000
SHARED = 38
"""So many of the files are the same in the next release: 95 % of its bytes."""


class Uploads:
    """Watches what is sent of a release, and cuts the line when so much was sent."""

    def __init__(self, server: Sshd) -> None:
        self._server = server
        self.begin(None)

    def begin(self, cut_at: int | None) -> None:
        """Count from nothing; cut after so many bytes of contents, or never."""
        self._cut_at = cut_at
        self._now = ""
        self.sent: dict[str, int] = {}
        """Digest -> bytes of it."""

        self.offsets: dict[str, int] = {}
        self.all_bytes = 0
        """Of the upload, with the manifest and the frames around the contents."""

    @property
    def contents(self) -> int:
        """Bytes of contents."""
        return sum(self.sent.values())

    def see(self, data: bytes) -> None:
        """What is about to be sent."""
        if data.startswith((b"LIFTLOCK", b"{")):
            return  # a question
        self.all_bytes += len(data)
        if len(data) < 200 and data.endswith(b"\n") and data.count(b" ") == 2:
            self._now, offset, _ = wire.parse_frame_header(data)
            self.offsets[self._now] = offset
            self.sent[self._now] = 0
        elif data == wire.END_OF_FRAMES:
            self._now = ""
        elif self._now:
            self.sent[self._now] += len(data)
        if self._cut_at is not None and self.contents >= self._cut_at:
            self._cut_at = None
            self._server.kill_sessions()


@pytest.fixture
def server(make_sshd: Callable[..., Sshd]) -> Sshd:
    return make_sshd()


@pytest.fixture
def harbor(server: Sshd, operator: Operator, tmp_path: Path) -> Iterator[SshCluster]:
    cluster = SshCluster(tmp_path / "harbor", [server], operator)
    try:
        cluster.settle("1.0")
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def uploads(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    found = Uploads(server)
    write = ssh.SshChannel.write

    async def watched(self: ssh.SshChannel, data: bytes) -> None:
        found.see(data)
        await write(self, data)

    monkeypatch.setattr(ssh.SshChannel, "write", watched)
    return found


def contents(seed: int, count: int) -> dict[str, str]:
    """Files that nothing else has."""
    lucky = random.Random(seed)
    return {f"file{seed}-{number}": lucky.randbytes(SIZE // 2).hex() for number in range(count)}


def stage(cluster: SshCluster, version: str) -> int:
    release = str(cluster.releases[version])
    return cluster.run("stage", str(cluster.file), release, "--yes").status


def test_row_47_cut_at_random_places_it_goes_on_and_sends_no_whole_content_twice(
    harbor: SshCluster, uploads: Uploads
) -> None:
    harbor.release("2.0", **contents(1, FILES))
    store = harbor.top / harbor.names[0] / "state/beacon/blobs"
    assert stage(harbor, "2.0") == 0
    needed, whole = set(uploads.sent), uploads.contents
    assert whole == 4 + FILES * SIZE  # VERSION, and what 1.0 has not
    assert harbor.run("clean", str(harbor.file), "--staged", "--yes").status == 0
    places = sorted(random.Random(7).sample(range(1, whole), CUTS))
    went_on = 0
    for place in places:
        uploads.begin(place)
        assert stage(harbor, "2.0") != 0, f"cut at {place}"
        found = {path.name: path.stat().st_size for path in store.iterdir()}
        there = {name: size for name, size in found.items() if name.split(".")[0] in needed}
        complete = {name for name in there if "." not in name}
        parts = {name.removesuffix(".part"): size for name, size in there.items() if "." in name}

        uploads.begin(None)
        assert stage(harbor, "2.0") == 0, f"cut at {place}"

        assert not complete & set(uploads.sent), f"cut at {place}: sent again"
        # What has the size of a whole content and has no name yet is hashed there first.
        assert all(uploads.offsets[sha] == size for sha, size in parts.items() if size < SIZE)
        assert uploads.contents == whole - sum(there.values()), f"cut at {place}"
        went_on += bool(complete or parts)
        assert harbor.run("clean", str(harbor.file), "--staged", "--yes").status == 0
    assert went_on > CUTS * 3 // 4, "most of what was sent before a cut had arrived"


def test_of_a_release_that_shares_95_percent_under_10_percent_are_sent(
    harbor: SshCluster, uploads: Uploads, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = contents(1, SHARED)
    harbor.release("2.0", **shared, **contents(2, FILES - SHARED))
    harbor.release("2.1", **shared, **contents(3, FILES - SHARED))
    assert harbor.upgrade("2.0").status == 0
    assert harbor.run("finalize", str(harbor.file), "--yes").status == 0

    uploads.begin(None)
    assert stage(harbor, "2.1") == 0

    source = harbor.top / "source-2.1"
    size = sum(path.stat().st_size for path in source.iterdir())
    share = uploads.all_bytes / size
    with capsys.disabled():
        print(f"\n{uploads.all_bytes} of {size} bytes sent, {share:.1%}")
    assert uploads.contents == 4 + (FILES - SHARED) * SIZE
    assert share < 0.1
