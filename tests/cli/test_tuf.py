"""The nine attacks on updates that TUF names, as the notes on reliability map them (section 5).

Each is tried with the command line on a node that serves: exit 4, a problem with code and advice,
and neither the tree nor the service is touched.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.releases.build import build
from backends.releases.manifest import Needs
from tests.support.cluster import Cluster, Ran
from tests.support.signing import make_key, public, sign_file

WHO = "release@example.com"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "keys" / "release")


@pytest.fixture
def harbor(make_settled: Callable[..., Cluster], key: Path) -> Iterator[Cluster]:
    """A node on 4.11.0, in a cluster that requires signatures; nothing of it may change."""
    cluster = make_settled()
    (cluster.top / "signers").write_text(f"{WHO} {public(key)}\n")
    (cluster.top / "revoked").write_text("# none yet\n")
    required = 'signatures = "required"\nallowed_signers = "signers"\nrevoked_keys = "revoked"'
    text = cluster.file.read_text().replace('signatures = "optional"', required)
    cluster.file.write_text(text)
    before = cluster.product("n1"), _process(cluster)
    yield cluster
    assert (cluster.product("n1"), _process(cluster)) == before


def _process(cluster: Cluster) -> object:
    node = cluster.status()["nodes"][0]
    pid = (cluster.top / "n1/opt/beacon/4.11.0/beacon.pid").read_text()
    return node["running"], node["selected"], node["finalized"], node["service"], pid


def manifest_of(tarball: Path) -> Path:
    return tarball.with_name(tarball.name.replace(".tar.gz", ".release.json"))


def made(cluster: Cluster, key: Path, version: str = "5.0", **about: object) -> Path:
    """A release of the cluster's product, signed by who may."""
    source = cluster.top / f"tuf-{version}"
    shutil.copytree(cluster.top / "source-4.12.0", source)
    (source / "VERSION").write_text(f"{version}\n")
    name = str(about.pop("name", "beacon"))
    built = build(source, name, version, cluster.top / "tuf", **about)  # type: ignore[arg-type]
    sign_file(built.manifest, key)
    return built.tarball


def refused(cluster: Cluster, tarball: Path, code: str, *words: str) -> Ran:
    ran = cluster.run("upgrade", str(cluster.file), str(tarball), "--yes", *words)
    assert ran.status == 4, ran
    assert f"[{code}]" in ran.err, ran
    assert "->" in ran.err
    return ran


def test_arbitrary_software(harbor: Cluster, tmp_path: Path) -> None:
    """Somebody else's release, signed by somebody else."""
    refused(harbor, made(harbor, make_key(tmp_path / "mallory")), "signer-unknown")


def test_endless_data(harbor: Cluster, key: Path) -> None:
    """A mirror that does not stop sending: what is longer than was signed is not read further."""
    tarball = made(harbor, key)
    with tarball.open("ab") as stream:
        stream.write(bytes(1 << 20))
    refused(harbor, tarball, "tarball-size")


def test_extraneous_dependencies(harbor: Cluster, key: Path) -> None:
    """What a release needs is looked for, and never fetched or installed by a node."""
    tarball = made(harbor, key, needs=Needs(commands=("sh", "no-such-command")))
    ran = refused(harbor, tarball, "check-refused")
    assert "needed commands" in ran.err
    assert "no-such-command" in ran.err


def test_fast_forward(harbor: Cluster, key: Path) -> None:
    """A number so high that no later release could follow it."""
    tarball = made(harbor, key, sequence=2**53 - 1)
    assert "lies in the future" in refused(harbor, tarball, "check-refused").said


def test_indefinite_freeze(harbor: Cluster, key: Path) -> None:
    """An old release, signed and whole, held out for ever: it has a last day."""
    tarball = made(harbor, key, expires="2026-01-01T00:00:00Z")
    assert "expired at 2026-01-01T00:00:00Z" in refused(harbor, tarball, "gate-shut").said


def test_mix_and_match(harbor: Cluster, key: Path) -> None:
    """The manifest of one release with the tarball of another, both signed."""
    one, other = made(harbor, key, "5.0"), made(harbor, key, "5.1")
    size = one.stat().st_size
    shutil.copy(other, one)
    longer = one.stat().st_size - size
    code = "digest" if longer == 0 else "size" if longer > 0 else "truncated"
    refused(harbor, one, f"tarball-{code}")


def test_mix_and_match_inside_of_a_tarball(harbor: Cluster, key: Path) -> None:
    """One file of another release in it; size and digest of the whole are made to fit."""
    tarball = made(harbor, key)
    buffer = io.BytesIO()
    with tarfile.open(tarball) as old, tarfile.open(fileobj=buffer, mode="w:gz") as new:
        for member in old.getmembers():
            stream = old.extractfile(member)
            data = stream.read() if stream else b""
            if member.name == "VERSION":
                data = b"4.9\n"
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    words = json.loads(manifest_of(tarball).read_bytes())
    content = buffer.getvalue()
    words["tarball"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    tarball.write_bytes(content)
    manifest_of(tarball).write_text(json.dumps(words))
    refused(harbor, tarball, "signature-mismatch")
    sign_file(manifest_of(tarball), key)  # even if the signer had fallen for it
    refused(harbor, tarball, "tarball-member-changed")


def test_rollback(harbor: Cluster, key: Path) -> None:
    """An older version, signed and whole; only somebody's word installs it, and it is kept."""
    tarball = made(harbor, key, "4.10.0")
    ran = refused(harbor, tarball, "gate-shut")
    assert "4.10.0 is older: n1 runs 4.11.0" in ran.said
    assert "--downgrade REASON" in ran.said
    plan = harbor.run("plan", str(harbor.file), str(tarball), "--downgrade", "4.11.0 loses data")
    assert plan.status == 0, plan
    assert "because: 4.11.0 loses data" in " ".join(plan.out.split())


def test_key_compromise(harbor: Cluster, key: Path) -> None:
    tarball = made(harbor, key)
    (harbor.top / "revoked").write_text(f"{public(key)} stolen\n")
    refused(harbor, tarball, "signer-revoked")


@pytest.mark.parametrize(
    ("about", "code", "says"),
    [
        ({"name": "nats"}, "release-other-product", "release of nats"),
        ({"arch": "s390x"}, "check-refused", "the release is for s390x"),
    ],
)
def test_wrong_software(
    harbor: Cluster, key: Path, about: dict[str, object], code: str, says: str
) -> None:
    """Signed by who may, and meant for something else."""
    assert says in refused(harbor, made(harbor, key, **about), code).said


def test_partial_bundle(harbor: Cluster, key: Path) -> None:
    """Only some of the files: nothing begins before all are there."""
    tarball = made(harbor, key)
    tarball.write_bytes(tarball.read_bytes()[:-100])
    refused(harbor, tarball, "tarball-truncated")
