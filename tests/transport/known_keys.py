"""Keys that nobody has the other half of, and lines of known_hosts files that are about them."""

import base64
import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence

from backends.transport.known_hosts import (
    HostKey,
    Judgement,
    KnownHosts,
)

KNOWN, UNKNOWN = Judgement.KNOWN, Judgement.UNKNOWN
CHANGED, REVOKED = Judgement.CHANGED, Judgement.REVOKED

Files = Callable[..., KnownHosts]


def row(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in parts)


def blob(seed: object, algorithm: str = "ssh-ed25519") -> bytes:
    """A key nobody has the other half of."""
    return row(algorithm.encode(), hashlib.sha256(str(seed).encode()).digest())


def word(content: bytes) -> str:
    return base64.b64encode(content).decode()


def key(seed: object, algorithm: str = "ssh-ed25519") -> str:
    return f"{algorithm} {word(blob(seed, algorithm))}"


def hashed(name: str, salt: bytes = b"s" * 20) -> str:
    return f"|1|{word(salt)}|{word(hmac.digest(salt, name.encode(), 'sha1'))}"


A, B, C = blob("a"), blob("b"), blob("c")


def blobs(keys: Sequence[HostKey]) -> list[bytes]:
    return [each.blob for each in keys]


ACCEPTED = [  # a line of the key A for n1, however it is written
    f"n1 {key('a')}",
    f"n1 {key('a')}\r",
    f"n1 {key('a')} root@n1 on 3 May\r",
    f"  \t n1 {key('a')}",
    "n1\t" + key("a").replace(" ", "\t"),
    "n1  \t " + key("a").replace(" ", " \t "),
    f"n1 {key('a')} # a comment",
    f"n1 {key('a')} \t ",
]

WORD = word(A)
CERTIFICATE = row(b"ssh-ed25519-cert-v01@openssh.com", b"nonce", b"k" * 32)
CERTIFICATE += struct.pack(">QI", 7, 2) + row(b"id", row(b"n1"))

IGNORED = {  # why it says nothing: the line
    "no key": "n1",
    "no blob": "n1 ssh-ed25519",
    "a comment for a key": "n1 # later",
    "a comment for a blob": "n1 ssh-ed25519 # later",
    "no names": key("a"),
    "another algorithm": f"n1 ssh-rsa {WORD}",
    "algorithm in capitals": f"n1 SSH-ED25519 {WORD}",
    "a signature's algorithm": f"n1 rsa-sha2-512 {word(blob('a', 'ssh-rsa'))}",
    "not base64": f"n1 ssh-ed25519 {WORD[:20]}!{WORD[20:]}",
    "no padding": f"n1 {key('a', 'ssh-rsa').rstrip('=')}",
    "key cut": f"n1 ssh-ed25519 {WORD[:-4]}",
    "key cut after its word": f"n1 ssh-ed25519 {word(A[:15])}",
    "key with more after it": f"n1 ssh-ed25519 {word(A + b'x')}",
    "only zeros": f"n1 ssh-ed25519 {word(bytes(51))}",
    "a word that is not ASCII": f"n1 ssh-ed25519 {word(row(bytes([255]), b'k'))}",
    "SSH 1": "n1 1024 35 1293847",
    "a certificate": f"n1 ssh-ed25519-cert-v01@openssh.com {word(CERTIFICATE)}",
    "unknown marker": f"@trusted n1 {key('a')}",
    "marker in capitals": f"@Revoked n1 {key('a')}",
    "marker without blank": f"@n1 {key('a')}",
    "only a marker": "@revoked",
    "two markers": f"@cert-authority @revoked n1 {key('a')}",
    "the same marker twice": f"@revoked @revoked n1 {key('a')}",
    "another hash": f"{hashed('n1').replace('|1|', '|2|')} {key('a')}",
    "half a hash": f"{hashed('n1').rpartition('|')[0]} {key('a')}",
    "hash of three": f"{hashed('n1')}|{word(b's' * 20)} {key('a')}",
    "hash and name": f"{hashed('n1')},n1 {key('a')}",
    "hash not base64": f"|1|{word(b's' * 20)}|%% {key('a')}",
    "short salt": f"{hashed('n1', b'short')} {key('a')}",
    "empty hash": f"|1|| {key('a')}",
    "a name without end": f"{'x' * 1023},n1 {key('a')}",
}
