"""Keys and signatures for tests, made by OpenSSH itself."""

import hashlib
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from backends.releases.signature import NAMESPACE


def make_key(path: Path, kind: str = "ed25519") -> Path:
    """A new private key without a passphrase; its public half beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", "test", "-f", str(path)],
        check=True,
    )
    return path


def fixed_key(path: Path) -> Path:
    """The same private key each time, for pictures: its fingerprint is in them."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the key of the scenes").digest())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.touch(mode=0o600)
    path.write_bytes(text)
    return path


def public(key: Path) -> str:
    """The public half of a key: kind and base64."""
    done = subprocess.run(["ssh-keygen", "-y", "-f", str(key)], capture_output=True, check=True)
    return " ".join(done.stdout.decode().split()[:2])


def sign_file(path: Path, key: Path, namespace: str = NAMESPACE) -> Path:
    """Sign a file with ssh-keygen, past our own code; the signature beside it."""
    signature = path.with_name(path.name + ".sig")
    signature.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), str(path)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return signature


def openssh_agrees(content: Path, signature: Path, signers: Path, who: str) -> bool:
    """Whether `ssh-keygen -Y verify` takes the signature."""
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", who, "-n", NAMESPACE]
    with content.open("rb") as stream:
        done = subprocess.run(
            [*command, "-s", str(signature)], stdin=stream, capture_output=True, check=False
        )
    return done.returncode == 0
