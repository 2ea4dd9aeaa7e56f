"""OpenSSH signatures (SSHSIG) of release manifests: taken apart, and held against the bytes.

The format is OpenSSH's PROTOCOL.sshsig. Whether a signature fits is asyncssh's to say; whose it
may be is `signature_signers`; what follows from both is `signature_rule`.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from backends.domain.clean import line
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.wire import RELEASE_NAMESPACE

NAMESPACE = RELEASE_NAMESPACE
"""What a signature must have been made for: one over a commit or a mail is none over a release."""

MAX_BYTES = 64 << 10
"""A signature by a 16384 bit RSA key has less than 6 KiB."""

KEY_TYPES = frozenset(
    {
        "ssh-ed25519",
        "sk-ssh-ed25519@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ssh-rsa",
    }
)
"""Kinds of keys that may sign. No DSA; certificates are refused by name."""

_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
"""How an RSA key may sign: not with SHA-1, whose name is that of the key, `ssh-rsa`."""

_HASHES = ("sha512", "sha256")
_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_END = b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_VERSION = 1


class BadSignature(Exception):
    """It is no signature that could count; why, in words for a person."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature file, taken apart. Nothing is proven by that."""

    armored: bytes
    """The whole file."""

    key: bytes
    """The public key that it says it was made with, as OpenSSH encodes it."""

    key_type: str
    namespace: str

    @property
    def fingerprint(self) -> str:
        """The key's, as `ssh-keygen -l` prints it."""
        return fingerprint(self.key)

    @property
    def own_line(self) -> str:
        """A line of allowed_signers that allows this key to sign releases, and nothing else."""
        key = base64.b64encode(self.key).decode("ascii")
        return f'signer namespaces="{NAMESPACE}" {self.key_type} {key}'

    def fits(self, content: bytes) -> bool:
        """Whether it was made over exactly this content, with this key, for a release."""
        import asyncssh

        if self.namespace != NAMESPACE:
            return False
        # asyncssh takes the namespace from the signature itself: the line insists on ours.
        signers = self.own_line.encode("ascii")
        return asyncssh.validate_sshsig(content, self.armored, "signer", signers)


def take_apart(armored: bytes) -> Signature:
    """Read a signature strictly.

    Raises:
        BadSignature: Not one whole armored signature, or of a kind that is not taken.
    """
    if len(armored) > MAX_BYTES:
        raise BadSignature(f"it has more than {MAX_BYTES} bytes")
    fields = _Fields(_without_armor(armored))
    if fields.take(len(_MAGIC)) != _MAGIC or fields.number() != _VERSION:
        raise BadSignature("it is of another format than SSHSIG version 1")
    key, namespace, _reserved, hash_name, signed = (fields.string() for _ in range(5))
    fields.end()
    key_type = _text(_Fields(key).string())
    if key_type not in KEY_TYPES:
        raise BadSignature(f"a key of the kind {key_type} may not sign")
    algorithm = _text(_Fields(signed).string())
    if algorithm not in (_RSA_ALGORITHMS if key_type == "ssh-rsa" else (key_type,)):
        raise BadSignature(f"a {key_type} key does not sign with {algorithm}")
    if _text(hash_name) not in _HASHES:
        raise BadSignature(f"its hash is {_text(hash_name)}")
    return Signature(armored, key, key_type, _text(namespace))


def fingerprint(key: bytes) -> str:
    """`SHA256:` and the digest in base64, without padding, as OpenSSH prints it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def read_public(text: str) -> tuple[str, bytes]:
    """The kind and the encoded key of `ssh-ed25519 AAAA...`, a comment may follow.

    Raises:
        ValueError: It is none, or of a kind that may not sign.
    """
    import asyncssh  # heavy, and not every start looks at a signature

    words = text.split(None, 2)
    if len(words) < 2:
        raise ValueError("no public key")
    if words[0] not in KEY_TYPES:
        raise ValueError(f"{line(words[0])} is no kind of key that may sign")
    try:
        key = asyncssh.import_public_key(" ".join(words[:2]))
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ValueError(f"no public key: {line(str(error))}") from error
    return words[0], key.public_data


def read_signature(path: Path) -> Signature:
    """The signature in a file.

    Raises:
        LiftlockError: `signature-missing`, `signature-unreadable`, exit 4.
    """
    try:
        with path.open("rb") as stream:
            return take_apart(stream.read(MAX_BYTES + 1))
    except FileNotFoundError as error:
        raise refusal(
            "signature-missing",
            f"The release is not signed: there is no {path.name}.",
            str(path),
            "Have it signed: liftlock release sign RELEASE --key KEY.",
        ) from error
    except (OSError, BadSignature) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise refusal(
            "signature-unreadable",
            f"{path.name} is no signature that could count.",
            why or str(error),
            "Have the release signed again.",
        ) from error


def refusal(code: str, summary: str, evidence: str, advice: str) -> LiftlockError:
    """The signature does not hold: nothing is done with the release."""
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.REFUSED)


class _Fields:
    """Reads the wire format of SSH: numbers of four bytes, strings with their length before."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise BadSignature("it ends too early")
        self._at += count
        return piece

    def number(self) -> int:
        found: int = struct.unpack(">I", self.take(4))[0]
        return found

    def string(self) -> bytes:
        return self.take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise BadSignature("something follows in it")


def _without_armor(armored: bytes) -> bytes:
    lines = armored.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise BadSignature("it is not one armored SSH signature")
    try:
        return base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise BadSignature(f"its base64 is damaged: {error}") from error


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadSignature("a name in it is not ASCII") from error
    if not text.isprintable():
        raise BadSignature("a name in it has characters that cannot be shown")
    return text
