"""Only what somebody signed who may: each attack on a signature is refused by its own name."""

import base64
import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.releases.build import Built, build
from backends.releases.read import Release, open_release
from backends.releases.signature import BadSignature, fingerprint, read_public, take_apart
from backends.releases.signature_rule import Rule, vouched
from backends.releases.signing import sign
from tests.support.signing import make_key, openssh_agrees, public, sign_file

WHO = "release@example.com"
NOW = time.time()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "keys" / "release")


@pytest.fixture
def signers(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "signers"
    path.write_text(f'# who may\n\n{WHO} namespaces="liftlock-release@v1" {public(key)} a name\n')
    return path


@pytest.fixture
def signed(release: Release, key: Path) -> Release:
    sign(release, key)
    return release


def armor(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n"


def unarmored(armored: bytes) -> bytes:
    return base64.b64decode(b"".join(armored.splitlines()[1:-1]))


def refused(release: Release, rule: Rule, now: float = NOW) -> str:
    with pytest.raises(LiftlockError) as caught:
        vouched(release, rule, now)
    assert caught.value.exit_code == Exit.REFUSED
    assert caught.value.problem.advice
    return caught.value.problem.code


# --- what holds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_signature_holds_for_us_and_for_openssh(
    kind: str, release: Release, tmp_path: Path
) -> None:
    key = make_key(tmp_path / kind, kind)
    signers = tmp_path / "signers"
    signers.write_text(f"{WHO} {public(key)}\n")

    made = sign(release, key)
    found = vouched(release, Rule(True, signers), NOW)

    assert found.provenance.is_signed
    assert (found.provenance.signer, found.provenance.key) == (WHO, made.fingerprint)
    printed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(key)], capture_output=True, text=True, check=True
    )
    assert made.fingerprint in printed.stdout
    assert openssh_agrees(release.manifest_path, release.signature_path, signers, WHO)


def test_what_ssh_keygen_signed_by_itself_holds_too(
    release: Release, key: Path, signers: Path
) -> None:
    sign_file(release.manifest_path, key)

    assert str(vouched(release, Rule(True, signers), NOW).provenance).startswith(
        f"signed by {WHO}, SHA256:"
    )


def test_a_key_in_an_agent_signs(
    release: Release,
    key: Path,
    signers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private = key.rename(key.with_name("elsewhere"))
    socket = tmp_path / "agent"
    said = subprocess.run(
        ["ssh-agent", "-s", "-a", str(socket)], capture_output=True, text=True, check=True
    ).stdout
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    try:
        subprocess.run(["ssh-add", "-q", str(private)], check=True)
        sign(release, key.with_name("release.pub"))
    finally:
        os.kill(int(said.split("SSH_AGENT_PID=")[1].split(";")[0]), signal.SIGTERM)

    assert vouched(release, Rule(True, signers), NOW).provenance.signer == WHO


def test_the_line_for_the_node_allows_this_key_and_nothing_else(
    signed: Release, signers: Path, key: Path, tmp_path: Path
) -> None:
    found = vouched(signed, Rule(True, signers), NOW)

    line = tmp_path / "line"
    line.write_text(found.signer + "\n")
    assert found.signer == f'signer namespaces="liftlock-release@v1" {public(key)}'
    assert found.signature == signed.signature_path.read_bytes()
    assert openssh_agrees(signed.manifest_path, signed.signature_path, line, "signer")


# --- attacks ------------------------------------------------------------------------------------


def test_unsigned_is_refused_where_signatures_are_required(
    release: Release, signers: Path
) -> None:
    assert refused(release, Rule(True, signers)) == "signature-missing"


def test_wrong_namespace(release: Release, key: Path, signers: Path) -> None:
    """Also where the signers' line is for any namespace, as asyncssh alone would take it."""
    sign_file(release.manifest_path, key, "git")
    anything = signers.with_name("anything")
    anything.write_text(f"{WHO} {public(key)}\n")

    assert refused(release, Rule(True, anything)) == "signature-namespace"
    assert refused(release, Rule(True, signers)) == "signature-namespace"


def test_wrong_signer(release: Release, signers: Path, tmp_path: Path) -> None:
    sign(release, make_key(tmp_path / "mallory"))

    assert refused(release, Rule(True, signers)) == "signer-unknown"
    assert refused(release, Rule(True, None)) == "signer-unknown"


def test_a_signer_of_other_things(signed: Release, key: Path, tmp_path: Path) -> None:
    signers = tmp_path / "others"
    signers.write_text(f'{WHO} namespaces="git,file" {public(key)}\n')

    assert refused(signed, Rule(True, signers)) == "signer-elsewhere"


@pytest.mark.parametrize("option", ['valid-before="20240101Z"', 'valid-after="20990101"'])
def test_expired_signer_and_one_of_the_future(
    option: str, signed: Release, key: Path, tmp_path: Path
) -> None:
    signers = tmp_path / "expired"
    signers.write_text(f"{WHO} {option} {public(key)}\n")

    assert refused(signed, Rule(True, signers)) == "signer-time"


def test_a_signer_counts_up_to_its_last_second(signed: Release, key: Path, tmp_path: Path) -> None:
    signers = tmp_path / "bounded"
    signers.write_text(
        f'{WHO} valid-after="20260101000000Z",valid-before="202602010000Z" {public(key)}\n'
    )
    rule = Rule(True, signers)
    first, end = 1_767_225_600, 1_769_904_000  # 2026-01-01 and 2026-02-01, UTC

    assert vouched(signed, rule, first).provenance.is_signed
    assert vouched(signed, rule, end - 1).provenance.is_signed
    assert refused(signed, rule, first - 1) == "signer-time"
    assert refused(signed, rule, end) == "signer-time"


@pytest.mark.parametrize("as_print", [False, True])
def test_revoked_key(
    as_print: bool, signed: Release, key: Path, signers: Path, tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked"
    line = fingerprint(read_public(public(key))[1]) if as_print else f"{public(key)} stolen"
    revoked.write_text(f"# gone\n{line}\n")

    assert refused(signed, Rule(True, signers, revoked)) == "signer-revoked"
    assert refused(signed, Rule(False, signers, revoked)) == "signer-revoked"
    assert vouched(signed, Rule(True, signers), NOW).provenance.is_signed


def test_signature_of_another_release(
    signed: Release, signers: Path, tree: Path, tmp_path: Path
) -> None:
    other = open_release(build(tree, "nats", "2.10.2", tmp_path / "other").tarball)
    other.signature_path.write_bytes(signed.signature_path.read_bytes())

    assert refused(other, Rule(True, signers)) == "signature-mismatch"


def test_manifest_swapped(signed: Release, signers: Path, built: Built) -> None:
    changed = built.manifest.read_bytes().replace(b'"2.10.1"', b'"2.10.9"')
    assert changed != signed.manifest_bytes
    built.manifest.write_bytes(changed)

    assert refused(open_release(built.tarball), Rule(True, signers)) == "signature-mismatch"
    assert refused(open_release(built.tarball), Rule(False, None)) == "signature-mismatch"


def test_the_signers_key_put_into_a_foreign_signature(
    release: Release, key: Path, signers: Path, tmp_path: Path
) -> None:
    """It names who may sign, and was made by somebody else."""
    sign(release, make_key(tmp_path / "mallory"))
    armored = release.signature_path.read_bytes()
    theirs = take_apart(armored).key
    blob = unarmored(armored)
    forged = blob.replace(theirs, read_public(public(key))[1])
    assert forged != blob
    release.signature_path.write_bytes(armor(forged))

    assert refused(release, Rule(True, signers)) == "signature-mismatch"


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda armored: b"",
    "no armor": unarmored,
    "cut": lambda armored: armored[: len(armored) // 2],
    "twice": lambda armored: armored + armored,
    "text behind": lambda armored: armored + b"and more\n",
    "no base64": lambda armored: armored.replace(b"U1NIU0lH", b"U1NI!0lH"),
    "too long": lambda armored: armored + b"\n" * 70_000,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_signature(name: str, signed: Release, signers: Path) -> None:
    armored = signed.signature_path.read_bytes()
    signed.signature_path.write_bytes(DAMAGES[name](armored))

    assert refused(signed, Rule(True, signers)) == "signature-unreadable"


def test_every_changed_byte_of_a_signature_is_seen(signed: Release, signers: Path) -> None:
    armored = signed.signature_path.read_bytes()
    blob = unarmored(armored)
    assert len(blob) > 150
    for at in range(len(blob)):
        changed = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        signed.signature_path.write_bytes(armor(changed))
        assert refused(signed, Rule(True, signers)).startswith(("signature-", "signer-")), at


@pytest.mark.parametrize("cut", [0, 5, 6, 10, 14, 40])
def test_a_signature_that_ends_early_is_none(cut: int, signed: Release) -> None:
    armored = signed.signature_path.read_bytes()
    blob = unarmored(armored)
    with pytest.raises(BadSignature):
        take_apart(armor(blob[:cut]))


def test_a_certificate_is_refused_by_name(release: Release, key: Path, tmp_path: Path) -> None:
    def field(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    kind = field(b"ssh-ed25519-cert-v01@openssh.com")
    fields = (kind, b"liftlock-release@v1", b"", b"sha512", field(b"ssh-ed25519") + field(b"x"))
    blob = b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(field, fields))
    with pytest.raises(BadSignature, match="cert-v01@openssh\\.com may not sign"):
        take_apart(armor(blob))
    lines = tmp_path / "authorities"
    lines.write_text(f"{WHO} cert-authority {public(key)}\n")
    with pytest.raises(LiftlockError) as caught:
        vouched(release, Rule(True, lines), NOW)
    assert caught.value.problem.code == "signers-invalid"
    assert "certificates are not taken" in caught.value.problem.evidence


def test_a_signature_with_sha1_is_none(release: Release, tmp_path: Path) -> None:
    """The name of an RSA key's oldest signature is that of the key itself."""
    armored = sign(release, make_key(tmp_path / "rsa", "rsa")).armored
    blob = unarmored(armored)
    old = blob.replace(b"\0\0\0\x0crsa-sha2-512", b"\0\0\0\x07ssh-rsa")
    assert old != blob
    with pytest.raises(BadSignature):
        take_apart(armor(old))


# --- where signatures are optional --------------------------------------------------------------


def test_unsigned_stays_marked_where_signatures_are_optional(release: Release) -> None:
    found = vouched(release, Rule(False, None), NOW)

    assert not found.provenance.is_signed
    assert str(found.provenance) == "NOT SIGNED"
    assert found.signature == b""


def test_signed_by_nobody_who_counts_is_not_signed(
    release: Release, signers: Path, tmp_path: Path
) -> None:
    sign(release, make_key(tmp_path / "mallory"))

    found = vouched(release, Rule(False, signers), NOW)

    assert not found.provenance.is_signed
    assert (found.signature, found.signer) == (b"", "")


# --- the lists ----------------------------------------------------------------------------------

WRONG_LINES = {
    "nobody": ("ssh-ed25519 {key}", "known option"),
    "only a name": (f"{WHO}", "no principal"),
    "misspelt option": (f'{WHO} namespace="a" {{line}}', "known option"),
    "option without quotes": (f"{WHO} namespaces=git {{line}}", "in quotes"),
    "empty option": (f'{WHO} namespaces="" {{line}}', "in quotes"),
    "twice": (f'{WHO} namespaces="a",namespaces="b" {{line}}', "once"),
    "open quote": (f'{WHO} namespaces="a {{line}}', "quote"),
    "no time": (f'{WHO} valid-before="soon" {{line}}', "YYYYMMDD"),
    "no such day": (f'{WHO} valid-before="20261399" {{line}}', "no such time"),
    "another kind": (f"{WHO} ssh-dss AAAA", "known option"),
    "no base64": (f"{WHO} ssh-ed25519 ****", "no public key"),
    "short key": (f"{WHO} ssh-ed25519 AAAA", "no public key"),
}


@pytest.mark.parametrize("name", WRONG_LINES)
def test_a_line_that_cannot_be_read_is_named_and_not_passed_over(
    name: str, signed: Release, key: Path, tmp_path: Path
) -> None:
    text, why = WRONG_LINES[name]
    signers = tmp_path / "wrong"
    line = public(key)
    signers.write_text(f"{WHO} {line}\n{text.format(line=line, key=line.split(maxsplit=1)[1])}\n")

    with pytest.raises(LiftlockError) as caught:
        vouched(signed, Rule(True, signers), NOW)

    assert (caught.value.problem.code, caught.value.exit_code) == ("signers-invalid", Exit.USAGE)
    assert caught.value.problem.evidence.startswith("wrong:2: ")
    assert why in caught.value.problem.evidence


@pytest.mark.parametrize("required", [True, False])
def test_lists_that_cannot_be_read_trust_nobody(
    required: bool, signed: Release, signers: Path, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\xff\xfe\n")
    empty = tmp_path / "empty"
    empty.write_text("# nobody yet\n")
    for rule, code in (
        (Rule(required, tmp_path / "nowhere"), "signers-unreadable"),
        (Rule(required, garbage), "signers-unreadable"),
        (Rule(required, empty), "signers-empty"),
        (Rule(required, signers, tmp_path / "nowhere"), "revoked-unreadable"),
        (Rule(required, signers, signers), "revoked-invalid"),
    ):
        with pytest.raises(LiftlockError) as caught:
            vouched(signed, rule, NOW)
        assert (caught.value.problem.code, caught.value.exit_code) == (code, Exit.USAGE)


AGREED = {
    "plain": "{who} {key}",
    "with comment": "{who} {key} the release key",
    "several principals": "ops@example.com,{who} {key}",
    "quoted principal": '"{who}" {key}',
    "our namespace": '{who} namespaces="liftlock-release@v1" {key}',
    "one of several": '{who} namespaces="git,liftlock-release@v1" {key}',
    "a pattern": '{who} namespaces="liftlock-*" {key}',
    "a letter open": '{who} namespaces="liftlock-release@v?" {key}',
    "another namespace": '{who} namespaces="git" {key}',
    "all but ours": '{who} namespaces="!liftlock-release@v1,*" {key}',
    "brackets are letters": '{who} namespaces="liftlock-release@v[1]" {key}',
    "valid": '{who} valid-after="20200101",valid-before="20990101" {key}',
    "valid, in seconds": '{who} valid-after="20200101000000Z" {key}',
    "expired": '{who} valid-before="20200101" {key}',
    "expired here": '{who} namespaces="*",valid-before="202001010000" {key}',
    "not yet": '{who} valid-after="20990101" {key}',
    "option in capitals": '{who} NAMESPACES="git" {key}',
    "expired, then valid": '{who} valid-before="20200101" {key}\n{who} {key}',
    "tabs": "{who}\t{key}",
}


@pytest.mark.parametrize("name", AGREED)
def test_openssh_reads_the_lines_as_we_do(
    name: str, signed: Release, key: Path, tmp_path: Path
) -> None:
    signers = tmp_path / "agreed"
    signers.write_text(AGREED[name].format(who=WHO, key=public(key)) + "\n")

    ours, why = True, None
    try:
        vouched(signed, Rule(True, signers), time.time())
    except LiftlockError as error:
        ours, why = False, error.exit_code

    assert why in (None, Exit.REFUSED)
    assert ours == openssh_agrees(signed.manifest_path, signed.signature_path, signers, WHO)


# --- signing ------------------------------------------------------------------------------------


def test_what_does_not_hold_is_not_signed(release: Release, key: Path) -> None:
    with release.tarball.open("ab") as stream:
        stream.write(b"more")

    with pytest.raises(LiftlockError) as caught:
        sign(release, key)

    assert caught.value.problem.code == "tarball-size"
    assert not release.signature_path.exists()


def test_a_key_that_cannot_sign_leaves_the_old_signature(
    signed: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signed.signature_path.read_bytes()
    no_key = tmp_path / "no-key"
    no_key.write_text("nothing\n")
    for path, code in ((tmp_path / "nowhere", "sign-key-missing"), (no_key, "sign-failed")):
        with pytest.raises(LiftlockError) as caught:
            sign(signed, path)
        assert (caught.value.problem.code, caught.value.exit_code) == (code, Exit.USAGE)
    assert signed.signature_path.read_bytes() == before
    assert [path.name for path in signed.signature_path.parent.glob(".*")] == []
    assert "no-key" in capfd.readouterr().err


def test_without_ssh_keygen_it_says_so(
    release: Release, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LiftlockError) as caught:
        sign(release, key)

    assert caught.value.problem.code == "sign-no-ssh-keygen"
