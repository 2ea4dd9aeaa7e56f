"""Whom the known_hosts files vouch for: read once, asked for every connection.

As OpenSSH reads them: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; hostfile.c, match.c, sshconnect.c.
Only names are looked up, never addresses they resolve to (CheckHostIP no, the default since 8.5).
"""

import fcntl
import hashlib
import hmac
import os
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem

MAX_FILE = 64 * 2**20
MAX_LINE = 64 * 2**10
MAX_NAME = 1022  # a longer one makes OpenSSH's match_pattern_list() give up on the line
MAX_NOTES = 1000


class Judgement(StrEnum):
    """What the files say about a presented key."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"  # another key is trusted for this name and port: refuse, never ask
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class HostKey:
    """One key as a file says it."""

    algorithm: str
    blob: bytes
    where: str  # "path:line"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        return "SHA256:" + b2a_base64(hashlib.sha256(self.blob).digest()).decode().rstrip("=\n")

    @property
    def text(self) -> str:
        """As a public key file has it: "ssh-ed25519 AAAA..."."""
        return f"{self.algorithm} {b2a_base64(self.blob, newline=False).decode()}"


@dataclass(frozen=True, slots=True)
class Match:
    """What the files say about a name and port, in their order."""

    keys: tuple[HostKey, ...]  # trusted under the name and port, else under the name alone
    authorities: tuple[HostKey, ...]  # @cert-authority, likewise
    revoked: tuple[HostKey, ...]  # @revoked, under both


class KnownHosts:
    """An index over known_hosts files. A name costs its HMACs once, later a dict lookup."""

    def __init__(self) -> None:
        self._kinds = {b"": _Lines(), b"@cert-authority": _Lines(), b"@revoked": _Lines()}
        self.notes: tuple[str, ...] = ()
        """Lines that were ignored, the first thousand of them: "path:line: reason"."""

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "KnownHosts":
        """Read the files; a missing one counts as empty, a line that cannot be read as absent.

        Raises LiftlockError, exit 2: `known-hosts-unreadable` for a file that cannot be read, is
        over 64 MiB, or is not text (holds a NUL byte).
        """
        known, notes = cls(), []
        for path in paths:
            for number, line in enumerate(_content(path).split(b"\n"), 1):
                try:
                    known._take(line, f"{path}:{number}")
                except ValueError as reason:
                    notes.append(f"{path}:{number}: {reason}")
                    del notes[MAX_NOTES:]
        known.notes = tuple(notes)
        return known

    def match(self, name: str, port: int = 22) -> Match:
        """Everything the files say about a name and port."""
        own, alone = _wanted(name, port), _wanted(name, 22)
        trusted, authorities, revoked = self._kinds.values()
        keys = trusted.find(own) or trusted.find(alone)
        signing = authorities.find(own) or authorities.find(alone)
        return Match(keys, signing, tuple(dict.fromkeys(revoked.find(own) + revoked.find(alone))))

    def judge(self, name: str, port: int, key_blob: bytes) -> Judgement:
        """What the files say about a presented key. A certificate is not for here: see `match`.

        For another port than 22 that has no trusted key of its own, the name alone can make a key
        known but not changed: another service on the same machine may well have another key.
        """
        match = self.match(name, port)
        if key_blob in {each.blob for each in match.revoked}:
            return Judgement.REVOKED
        if key_blob in {each.blob for each in match.keys}:
            return Judgement.KNOWN
        own = self._kinds[b""].find(_wanted(name, port))
        return Judgement.CHANGED if own else Judgement.UNKNOWN

    def _take(self, line: bytes, where: str) -> None:
        if len(line) > MAX_LINE:
            raise ValueError(f"longer than {MAX_LINE} bytes")
        fields = line.split()
        if not fields or fields[0].startswith(b"#"):
            return
        marker = fields.pop(0) if fields[0].startswith(b"@") else b""
        if marker not in self._kinds:
            raise ValueError("an unknown marker")
        if len(fields) < 3:
            raise ValueError("names, algorithm and key are needed")
        blob = a2b_base64(fields[2], strict_mode=True)
        algorithm = _algorithm(blob)
        if algorithm.encode() != fields[1]:
            raise ValueError("the algorithm is not the one inside the key")
        self._kinds[marker].add(fields[0], HostKey(algorithm, blob, where))


class _Lines:
    """The lines of one kind, and whose names they bear."""

    def __init__(self) -> None:
        self._keys: list[HostKey] = []
        self._exact: dict[bytes, list[int]] = {}
        self._wild: list[tuple[int, list[bytes]]] = []
        self._hashed: list[tuple[int, bytes, bytes]] = []
        self._found: dict[bytes, tuple[HostKey, ...]] = {}

    def add(self, names: bytes, key: HostKey) -> None:
        """Raises ValueError for names that cannot be read."""
        at = len(self._keys)
        patterns = names.lower().split(b",")
        if names.startswith(b"|"):
            pair = [a2b_base64(each, strict_mode=True) for each in names[3:].split(b"|")]
            if names[:3] != b"|1|" or [len(each) for each in pair] != [20, 20]:
                raise ValueError("a hashed name that is not HMAC-SHA1")
            self._hashed.append((at, pair[0], pair[1]))
        elif max(map(len, patterns)) > MAX_NAME:
            raise ValueError(f"a name longer than {MAX_NAME} bytes")
        elif set(names) & set(b"*?!"):
            # Brackets surround a name that has a port; fnmatch would read them as a set.
            self._wild.append((at, [each.replace(b"[", b"[[]") for each in patterns]))
        else:
            for each in patterns:
                self._exact.setdefault(each, []).append(at)
        self._keys.append(key)

    def find(self, wanted: bytes) -> tuple[HostKey, ...]:
        """The keys of the lines that mean this name, remembered."""
        if wanted not in self._found:
            at = {*self._exact.get(wanted, ())}
            for n, patterns in self._wild:
                fits = (each for each in patterns if fnmatchcase(wanted, each.removeprefix(b"!")))
                if {each.startswith(b"!") for each in fits} == {False}:  # one negation forbids
                    at.add(n)
            at |= {n for n, salt, mac in self._hashed if hmac.digest(salt, wanted, "sha1") == mac}
            self._found[wanted] = tuple(self._keys[n] for n in sorted(at))
        return self._found[wanted]


def entry_for(name: str, port: int, algorithm: str, blob: bytes) -> str:
    """The line, not hashed and without its end, that makes a key known.

    Raises LiftlockError, exit 2: `known-hosts-name` for a name that would be read as another; and
    ValueError when the algorithm is not the blob's own ("rsa-sha2-512" is that of a signature).
    """
    if not name.isprintable() or set("@?*#[]|'\"\\,! ") & set(name) or not 0 < len(name) < 256:
        raise LiftlockError(Problem("known-hosts-name", f"{name!r} is not a name."), Exit.USAGE)
    if _algorithm(blob) != algorithm:
        raise ValueError(f"not a key of {algorithm}")
    return f"{_wanted(name, port).decode()} {HostKey(algorithm, blob, '').text}"


def add(path: Path, lines: Sequence[str]) -> None:
    """Append lines, all or none of them; returns when they are on the disk.

    Raises LiftlockError, exit 2: `known-hosts-unwritable`; and ValueError for what is no line.
    """
    if any(set("\r\n\0") & set(line) for line in lines):
        raise ValueError("a line must be one line")
    if not lines:
        return
    content = "".join(f"{line}\n" for line in lines).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("a+b", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # among ourselves: OpenSSH does not lock
            size = stream.seek(0, os.SEEK_END)
            if size and os.pread(stream.fileno(), 1, size - 1) != b"\n":
                content = b"\n" + content
            try:
                while content:
                    content = content[stream.write(content) :]
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(size)
                raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _refusal("known-hosts-unwritable", f"{path} cannot be added to.", error) from error


def _wanted(name: str, port: int) -> bytes:
    """How a line says this name and port (put_host_port() of OpenSSH)."""
    return (name if port == 22 else f"[{name}]:{port}").encode("utf-8", "surrogateescape").lower()


def _algorithm(blob: bytes) -> str:
    """The word inside a plain key. Raises ValueError for what is no row of strings (RFC 4251)."""
    parts, at = [], 0
    while at < len(blob):
        start, at = at + 4, at + 4 + int.from_bytes(blob[at : at + 4], "big")
        parts.append(blob[start:at])
    if at != len(blob) or len(parts) < 2:
        raise ValueError("a damaged key, or a certificate")
    return parts[0].decode("ascii")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
        if len(content) > MAX_FILE or b"\0" in content:
            raise OSError("not a text file" if b"\0" in content else f"over {MAX_FILE} bytes")
        return content
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _refusal("known-hosts-unreadable", f"{path} cannot be read.", error) from error


def _refusal(code: str, summary: str, error: OSError) -> LiftlockError:
    advice = "Look at the file and its permissions, or name another known_hosts file."
    return LiftlockError(Problem(code, summary, error.strerror or str(error), advice), Exit.USAGE)
