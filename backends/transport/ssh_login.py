"""What a login needs from this side: judging the node's key, our own keys, answers to questions.

Keys that need a passphrase are opened here, when a node takes them, each once. asyncssh would wait
for the person in a thread of the pool: with a few nodes at once, whatever else needs the pool
would wait, too.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import asyncssh

from backends.domain.clean import line
from backends.transport.known_hosts import HostKey, Match
from backends.transport.prompt import Secret, Secrets

_HOST_KEYS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-256", "rsa-sha2-512"),
}
"""Kinds of host keys, best first, and how each signs. SHA-1 signatures are not taken."""

_OWN = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
_EVERYBODYS = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
"""The files of host keys that ssh config means by saying nothing."""

_PASSPHRASES = 3
"""How often a passphrase is asked for before a key is left alone."""

_USUAL_KEYS = tuple(f"~/.ssh/{name}" for name in ("id_ed25519", "id_ecdsa", "id_rsa"))
"""The keys that ssh config means by saying nothing."""

_ONE_TIME = re.compile(r"one.?time|\botp\b|token|code", re.IGNORECASE)
"""Words of a question for what is valid once, also where it calls that a password."""


class LockedKey:
    """A key file that needs a passphrase."""

    def __init__(self, file: str, content: bytes) -> None:
        """`content` is what the file holds."""
        self.file = file
        self.public = _public(file, content)
        """Its public half; None: nobody knows it before the file is open."""

        self.certificate = _certificate(file)
        self._content = content
        self._key: asyncssh.SSHKey | None = None
        self._is_left_alone = False
        self._one_at_a_time = asyncio.Lock()

    async def open(self, secrets: Secrets) -> asyncssh.SSHKey | None:
        """The key; None where nobody knows the passphrase."""
        async with self._one_at_a_time:
            if self._key is None and not self._is_left_alone:
                self._key = await self._opened(secrets)
                self._is_left_alone = self._key is None
            return self._key

    async def _opened(self, secrets: Secrets) -> asyncssh.SSHKey | None:
        refused = None
        for _ in range(_PASSPHRASES):
            refused = await secrets.get(Secret.PASSPHRASE, self.file, "", refused=refused)
            if refused is None:
                return None
            with suppress(asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
                return await asyncio.to_thread(asyncssh.import_private_key, self._content, refused)
        return None


class Signer(asyncssh.SSHKeyPair):
    """A key that a node is shown while it is still locked; it is opened to sign."""

    def __init__(
        self, public: asyncssh.SSHKey, open_key: Callable[[], Awaitable[asyncssh.SSHKey | None]]
    ) -> None:
        super().__init__(
            public.algorithm,
            public.algorithm,
            public.sig_algorithms,
            public.sig_algorithms,
            public.public_data,
            public.get_comment_bytes(),
        )
        self._open = open_key

    async def sign_async(self, data: bytes) -> bytes:
        """Sign; ValueError where the key stays locked: asyncssh goes on with the next one."""
        key = await self._open()
        if key is None:
            raise ValueError("nobody opens it")
        return await asyncio.to_thread(key.sign, data, self.sig_algorithm)


class Login(asyncssh.SSHClient):
    """One login. No key is ever accepted here: those that are known never come this far."""

    def __init__(
        self,
        node: str,
        about: str,
        secrets: Secrets | None,
        locked: Sequence[LockedKey],
        limit: asyncio.Timeout,
        seconds: float,
    ) -> None:
        """`about` is user or user@gateway; `limit` is suspended while a person is asked.

        `locked` are keys to be tried after those that need nobody.
        """
        self.presented: asyncssh.SSHKey | None = None
        """The key the other side showed, when it was not a known one."""

        self.reached = False
        """Whether anybody was there."""

        self.asked = False
        """Whether a person answered anything for this login."""

        self._node = node
        self._about = about
        self._secrets = secrets
        self._locked = list(locked)
        self._limit = limit
        self._seconds = seconds
        self._password: str | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.reached = True

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Called for unknown, and also for changed keys: neither is accepted."""
        self.presented = key
        return False

    async def public_key_auth_requested(self) -> Sequence[asyncssh.SSHKey | Signer] | None:
        """The next key that needs a passphrase; None: there is none left."""
        while self._locked and self._secrets is not None:
            key = self._locked.pop(0)
            opening = partial(self._opened, key, self._secrets)
            if key.public is None:
                found = await opening()
                if found is not None:
                    return [found]
            else:
                plain = Signer(key.public, opening)
                if key.certificate is None or key.certificate.key != key.public:
                    return [plain]
                certified = Signer(key.public, opening)
                certified.set_certificate(key.certificate)
                return [certified, plain]
        return None

    async def password_auth_requested(self) -> str | None:
        """A password, from a person; None: no further one is tried."""
        if self._secrets is None:
            return None
        async with self._without_limit():
            self._password = await self._secrets.get(
                Secret.PASSWORD, self._about, self._node, refused=self._password
            )
        return self._password

    def kbdint_auth_requested(self) -> str | None:
        """Every way of asking is fine where somebody can answer."""
        return None if self._secrets is None else ""

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> Sequence[str] | None:
        """Passwords and one-time codes; None: nobody answers."""
        if self._secrets is None:
            return None
        answers = []
        for text, _ in prompts:
            if "password" in text.lower() and not _ONE_TIME.search(text):
                answer = await self.password_auth_requested()
            else:
                said = line(f"{instructions} {text}".strip())
                async with self._without_limit():
                    answer = await self._secrets.get(
                        Secret.CODE, self._about, self._node, text=said
                    )
            if answer is None:
                return None
            answers.append(answer)
        return answers

    async def _opened(self, key: LockedKey, secrets: Secrets) -> asyncssh.SSHKey | None:
        async with self._without_limit():
            return await key.open(secrets)

    @asynccontextmanager
    async def _without_limit(self) -> AsyncIterator[None]:
        """A person may take as long as it needs; the node may not."""
        self.asked = True
        self._limit.reschedule(None)
        try:
            yield
        finally:
            with suppress(RuntimeError):  # the login ended meanwhile
                self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)


def known_hosts_files(config: asyncssh.config.SSHConfig) -> tuple[tuple[Path, ...], Path | None]:
    """The files of host keys by ssh config, and which of them is for new ones."""
    own, everybodys = (
        tuple(Path(str(each)).expanduser() for each in files) if isinstance(files, list) else ()
        for files in (
            config.get("UserKnownHostsFile", _OWN),
            config.get("GlobalKnownHostsFile", _EVERYBODYS),
        )
    )
    return own + everybodys, own[0] if own else None


def trusted(match: Match) -> tuple[list[asyncssh.SSHKey], ...]:
    """What asyncssh is told about a node's keys: trusted, authorities, revoked."""
    return tuple(_readable(keys) for keys in (match.keys, match.authorities, match.revoked))


def algorithms(match: Match) -> list[str]:
    """What is offered: certificates where an authority is known, then known keys' kinds first.

    All kinds are offered, so that a changed key is seen as one, whatever its kind.
    """
    known = [key.algorithm for key in match.keys]
    kinds = sorted(_HOST_KEYS, key=lambda kind: kind not in known)
    signing = [name for kind in kinds for name in _HOST_KEYS[kind]]
    if not match.authorities:
        return signing
    return [f"{name}-cert-v01@openssh.com" for name in signing] + signing


def _readable(keys: Iterable[HostKey]) -> list[asyncssh.SSHKey]:
    """The keys of kinds that asyncssh knows; it can meet no other."""
    found = []
    for key in keys:
        with suppress(asyncssh.KeyImportError):
            found.append(asyncssh.import_public_key(key.text))
    return found


def identities(config: asyncssh.config.SSHConfig) -> tuple[str, ...]:
    """The key files that ssh config names."""
    found = config.get("IdentityFile")
    return tuple(str(each) for each in found) if isinstance(found, list) else ()


def keys_to_load(files: Sequence[str], *, only: bool) -> Sequence[str] | None:
    """Which of the files named by ssh config asyncssh is to load; (): the usual ones, None: none.

    As with OpenSSH, it is no mistake to name files that cannot be read, or, for keys that an agent
    holds, their public halves. `only` is IdentitiesOnly: then these say which the agent may use.
    """
    if not files:
        return ()
    found = [file for file, content in _contents(files) if only or b"PRIVATE KEY" in content]
    return found or (None if only else [])


def locked_keys(files: Sequence[str]) -> list[LockedKey]:
    """Those of the files, or of the usual ones, that need a passphrase."""
    found = _contents(files or _USUAL_KEYS)
    return [LockedKey(file, content) for file, content in found if _is_locked(content)]


def _contents(files: Sequence[str]) -> list[tuple[str, bytes]]:
    found = []
    for file in files:
        with suppress(OSError):
            found.append((file, Path(file).expanduser().read_bytes()))
    return found


def _is_locked(content: bytes) -> bool:
    try:
        asyncssh.import_private_key(content)
    except asyncssh.KeyImportError as error:
        return str(error).startswith("Passphrase")
    return False


def _public(file: str, content: bytes) -> asyncssh.SSHKey | None:
    """From the file beside it, or from its own beginning, where OpenSSH repeats it."""
    with suppress(OSError, asyncssh.KeyImportError):
        return asyncssh.read_public_key(Path(f"{file}.pub").expanduser())
    with suppress(asyncssh.KeyImportError):
        return asyncssh.import_public_key(content)
    return None


def _certificate(file: str) -> asyncssh.SSHCertificate | None:
    with suppress(OSError, asyncssh.KeyImportError):
        return asyncssh.read_certificate(Path(f"{file}-cert.pub").expanduser())
    return None
