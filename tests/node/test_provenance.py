"""N6: the node holds the signature against the manifest again, with a program that is not ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from backends.node import processes, provenance, wire
from backends.node.journal import scan
from backends.node.places import Places
from tests.node.test_stage import Line
from tests.support.beacon import Beacon
from tests.support.node import Answer, Node
from tests.support.signing import make_key, public, sign_file


def signature_of(release: Beacon, folder: Path) -> dict[str, str]:
    """What the operator's side sends of a release's signature."""
    key = make_key(folder / "key")
    manifest = folder / "manifest"
    manifest.write_bytes(release.manifest)
    return {
        "armored": sign_file(manifest, key).read_text(),
        "signer": f'signer namespaces="{wire.RELEASE_NAMESPACE}" {public(key)}',
        "by": "release@example.com",
        "key": "SHA256:abc",
    }


def staged(node: Node, release: Beacon, **said: Any) -> None:
    line = Line(node, release, **said)
    for sha, (have, _) in line.needs().items():
        line.send(sha, have)
    line.write(wire.END_OF_FRAMES)
    assert line.end().outcome == "ok"


def row(answer: Answer) -> tuple[str, str]:
    (found,) = [each for each in answer.all("row") if each["name"] == "signature"]
    return found["result"], found["evidence"]


def test_a_signature_is_verified_again_on_the_node(bare: Node, tmp_path: Path) -> None:
    release = Beacon("1.0")
    staged(bare, release, signature=signature_of(release, tmp_path))

    answer = bare.check(release)

    assert answer.outcome == "ok"
    assert row(answer) == ("ok", "release@example.com, SHA256:abc, verified again here")
    assert bare.facts()["unsigned"] == []
    records = scan((bare.home / "journal").read_bytes()).records
    said = [each["signed"] for each in records if each["t"] == "STAGE"]
    assert said == ["release@example.com"]


def test_what_nobody_signed_is_marked_before_and_after(bare: Node) -> None:
    release = Beacon("1.0")
    staged(bare, release, imported="agent.tar.gz (md5 fits)")

    result, evidence = row(bare.check(release))

    assert result == "warn"
    assert evidence == (
        "NOT SIGNED; the cluster file allows it; imported from agent.tar.gz (md5 fits)"
    )
    assert bare.facts()["unsigned"] == ["1.0"]
    bare.finalized(release)
    assert bare.facts()["unsigned"] == ["1.0"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\udcff"])
def test_a_record_that_cannot_be_read_vouches_for_nobody_and_hides_nothing_else(
    bare: Node, tmp_path: Path, content: str
) -> None:
    release = Beacon("1.0")
    staged(bare, release, signature=signature_of(release, tmp_path))
    record = bare.home / "provenance" / "1.0" / "about.json"
    record.write_bytes(content.encode("utf-8", "surrogateescape"))

    assert bare.facts()["unsigned"] == ["1.0"]
    assert bare.check(release).outcome == "refused"


def test_signing_it_later_and_staging_it_again_takes_the_mark_away(
    bare: Node, tmp_path: Path
) -> None:
    release = Beacon("1.0")
    staged(bare, release)
    assert bare.facts()["unsigned"] == ["1.0"]

    staged(bare, release, signature=signature_of(release, tmp_path))

    assert bare.facts()["unsigned"] == []


@pytest.mark.parametrize("what", ["manifest", "signature", "signer", "about.json", "missing"])
def test_whatever_is_swapped_on_the_node_after_staging_is_refused(
    what: str, bare: Node, tmp_path: Path
) -> None:
    release = Beacon("1.0")
    staged(bare, release, signature=signature_of(release, tmp_path))
    folder = bare.home / "provenance" / "1.0"
    if what == "missing":
        (folder / "signature").unlink()
    elif what == "about.json":
        about = json.loads((folder / what).read_text())
        (folder / what).write_text(json.dumps({**about, "packaged": "0" * 64}))
    else:
        other = signature_of(Beacon("9.9"), tmp_path / "other")
        swapped = {"manifest": "x", "signature": other["armored"], "signer": other["signer"]}
        (folder / what).write_text(swapped[what])

    answer = bare.check(release)

    assert answer.code == "check-refused"
    assert row(answer)[0] == "refused"


@pytest.mark.parametrize(
    ("program", "result", "says"),
    [
        (None, "ok", "verified by the operator's side; no ssh-keygen here"),
        ("echo 'unknown option -- Y' >&2; exit 1", "ok", "ssh-keygen here is too old"),
        ("echo 'Could not verify signature.' >&2; exit 255", "refused", "does not hold here"),
        ("kill -9 $$", "refused", "does not hold here"),
    ],
)
def test_a_node_with_another_ssh_keygen_or_none(
    program: str | None,
    result: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = Places(str(tmp_path / "state"), "beacon", str(tmp_path / "opt"))
    release = Beacon("1.0")
    record = {"digest": "7" * 64, "packaged": release.packaged}
    args = {**record, "version": "1.0", "signature": signature_of(release, tmp_path)}
    provenance.keep(places, args, release.manifest)
    folder = tmp_path / "bin"
    folder.mkdir()
    if program is not None:
        (folder / "ssh-keygen").write_text(f"#!/bin/sh\n{program}\n")
        (folder / "ssh-keygen").chmod(0o755)
    monkeypatch.setattr(processes, "SAFE_PATH", str(folder))

    found = provenance.check(places, "1.0", record)

    assert found[0] == result
    assert says in found[1]
