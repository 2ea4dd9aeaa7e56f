"""`liftlock release ...`, and a cluster that requires signatures."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Ran
from tests.support.node import picture
from tests.support.signing import make_key, public

WHO = "release@example.com"


@pytest.fixture
def key(settled: Cluster) -> Path:
    """A key that the cluster, which requires signatures, allows."""
    key = make_key(settled.top / "keys" / "release")
    (settled.top / "signers").write_text(f"{WHO} {public(key)}\n")
    require(settled, 'allowed_signers = "signers"\nrevoked_keys = "revoked"')
    (settled.top / "revoked").write_text("# none yet\n")
    return key


def require(cluster: Cluster, more: str) -> None:
    text = cluster.file.read_text()
    cluster.file.write_text(
        text.replace('signatures = "optional"', f'signatures = "required"\n{more}')
    )


def sign(cluster: Cluster, version: str, key: Path) -> Ran:
    return cluster.run("release", "sign", str(cluster.releases[version]), "--key", str(key))


def test_build_sign_verify_show(settled: Cluster, key: Path) -> None:
    source = settled.top / "source-4.12.0"
    out = settled.top / "made"
    words = ["--name", "beacon", "--version", "5.0", "-o", str(out), "--arch", "x86_64"]
    more = ["--from", "4.11.0", "--needs-command", "sh", "--expires", "2099-01-01T00:00:00Z"]
    ran = settled.run("release", "build", str(source), *words, *more)
    assert ran.status == 0, ran
    assert "not signed yet" in ran.err
    tarball = str(out / "beacon-5.0.tar.gz")
    signers = ["--signers", str(settled.top / "signers")]

    ran = settled.run("release", "verify", tarball, *signers)
    assert (ran.status, "signature-missing" in ran.err) == (4, True)
    ran = settled.run("release", "sign", tarball, "--key", str(key))
    assert (ran.status, ran.out.strip()) == (0, f"{out}/beacon-5.0.release.json.sig")
    ran = settled.run("release", "verify", tarball, *signers)
    assert ran.status == 0, ran
    assert f"beacon 5.0: signed by {WHO}, SHA256:" in ran.out
    ran = settled.run("release", "verify", tarball, *signers, "--json")
    assert (ran.json["signer"], ran.json["expires"]) == (WHO, "2099-01-01T00:00:00Z")
    ran = settled.run("release", "show", tarball)
    assert "arch x86_64" in ran.out
    assert "needs      Python 3.6, sh" in ran.out
    assert "from       4.11.0" in ran.out

    (out / "revoked").write_text(public(key) + "\n")
    ran = settled.run("release", "verify", tarball, *signers, "--revoked", str(out / "revoked"))
    assert (ran.status, "signer-revoked" in ran.err) == (4, True)


def test_import_and_diff(settled: Cluster) -> None:
    archive = settled.releases["4.12.0"]
    out = settled.top / "vendors"
    words = ["--name", "beacon", "--version", "4.13.0", "-o", str(out)]
    ran = settled.run("release", "import", str(archive), *words)
    assert ran.status == 0, ran
    assert f"imported from {archive.name} (no checksum)" in ran.err
    tarball = out / "beacon-4.13.0.tar.gz"

    ran = settled.run("release", "diff", str(archive), str(tarball))
    assert (ran.status, ran.out) == (0, "beacon 4.12.0 -> 4.13.0\n  nothing differs\n")
    ran = settled.run("release", "diff", str(settled.releases["4.11.0"]), str(tarball))
    assert "  ~ VERSION: 7 -> 7 bytes" in ran.out
    assert "0 added, 0 removed, 1 changed; 7 bytes are new" in ran.out
    ran = settled.run("release", "diff", str(archive), str(tarball), "--json")
    assert ran.json["changed"] == []


@pytest.mark.parametrize(
    "words", [["--needs-python", "2.7"], ["--expires", "soon"], ["--arch", "../x"]]
)
def test_what_cannot_be_said_of_a_release_is_a_usage_error(
    settled: Cluster, words: list[str]
) -> None:
    source, out = settled.top / "source-4.12.0", settled.top / "made"
    said = ["--name", "beacon", "--version", "5.0", "-o", str(out)]
    ran = settled.run("release", "build", str(source), *said, *words)
    assert ran.status == 2, ran
    assert list(out.glob("*")) == []


def test_a_signed_release_is_installed_and_said_to_be(settled: Cluster, key: Path) -> None:
    assert sign(settled, "4.12.0", key).status == 0
    ran = settled.run("plan", str(settled.file), str(settled.releases["4.12.0"]))
    assert f"origin signed by {WHO}, SHA256:" in " ".join(ran.out.split())

    ran = settled.upgrade("4.12.0", "--json")

    assert ran.status == 0, ran
    rows = [each for each in ran.lines if each.get("data", {}).get("name") == "signature"]
    assert [each["data"]["result"] for each in rows] == ["ok"]
    assert WHO in rows[0]["data"]["evidence"]
    assert settled.status()["nodes"][0]["unsigned"] == []
    assert "NOT SIGNED" not in settled.run("status", str(settled.file)).out


def test_an_unsigned_release_stays_marked_everywhere(settled: Cluster) -> None:
    """Where signatures are optional: plan, checks, status, finalize."""
    ran = settled.run("plan", str(settled.file), str(settled.releases["4.12.0"]))
    assert "origin   NOT SIGNED" in ran.out
    ran = settled.upgrade("4.12.0")
    assert ran.status == 0, ran
    assert "NOT SIGNED; the cluster file allows it" in ran.said
    assert settled.status()["nodes"][0]["unsigned"] == ["4.12.0"]
    ran = settled.run("finalize", str(settled.file), "--yes")
    assert "NOT SIGNED: 4.12.0 on n1" in ran.said
    ran = settled.run("status", str(settled.file))
    assert ran.status == 0
    assert "NOT SIGNED: 4.12.0 (n1)" in ran.out


ATTACKS = {
    "unsigned": "signature-missing",
    "wrong key": "signer-unknown",
    "revoked": "signer-revoked",
    "changed manifest": "signature-mismatch",
    "another's signature": "signature-mismatch",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_signature_never_reaches_a_node(
    settled: Cluster, key: Path, attack: str
) -> None:
    manifest = settled.releases["4.12.0"].with_name("beacon-4.12.0.release.json")
    if attack != "unsigned":
        by = make_key(settled.top / "mallory") if attack == "wrong key" else key
        assert sign(settled, "4.12.0", by).status == 0
    if attack == "revoked":
        (settled.top / "revoked").write_text(public(key) + "\n")
    elif attack == "changed manifest":
        words = json.loads(manifest.read_bytes())
        manifest.write_text(json.dumps({**words, "irreversible": ["all"]}))
    elif attack == "another's signature":
        assert sign(settled, "4.11.0", key).status == 0
        shutil.copy(manifest.with_name("beacon-4.11.0.release.json.sig"), f"{manifest}.sig")
    before = settled.product("n1"), picture(settled.top / "n1" / "state")

    ran = settled.upgrade("4.12.0")

    assert ran.status == 4, ran
    assert f"[{ATTACKS[attack]}]" in ran.err
    assert "->" in ran.err
    assert (settled.product("n1"), picture(settled.top / "n1" / "state")) == before


def test_without_allowed_signers_nobody_may(settled: Cluster) -> None:
    require(settled, "")
    key = make_key(settled.top / "key")
    assert sign(settled, "4.12.0", key).status == 0
    ran = settled.upgrade("4.12.0")
    assert (ran.status, "signer-unknown" in ran.err) == (4, True)
