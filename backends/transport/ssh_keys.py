"""The operator's own keys: which are tried, and those that need a passphrase.

Such a key is opened when a node takes it, and once. asyncssh would wait for the person in a thread
of the pool: with a few nodes at once, whatever else needs the pool would wait, too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import asyncssh

from backends.transport.prompt import Secret, Secrets

_PASSPHRASES = 3
"""How often a passphrase is asked for before a key is left alone."""

USUAL = tuple(f"~/.ssh/{name}" for name in ("id_ed25519", "id_ecdsa", "id_rsa"))
"""The keys that ssh config means by saying nothing."""


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


def named(config: asyncssh.config.SSHConfig) -> tuple[str, ...]:
    """The key files that ssh config names."""
    found = config.get("IdentityFile")
    return tuple(str(each) for each in found) if isinstance(found, list) else ()


def to_load(files: Sequence[str], *, only: bool) -> Sequence[str] | None:
    """Which of the files named by ssh config asyncssh is to load; (): the usual ones, None: none.

    As with OpenSSH, it is no mistake to name files that cannot be read, or, for keys that an agent
    holds, their public halves. `only` is IdentitiesOnly: then these say which the agent may use.
    """
    if not files:
        return ()
    found = [file for file, content in _contents(files) if only or b"PRIVATE KEY" in content]
    return found or (None if only else [])


def locked(files: Sequence[str]) -> list[LockedKey]:
    """Those of the files, or of the usual ones, that need a passphrase."""
    found = _contents(files or USUAL)
    return [LockedKey(file, content) for file, content in found if _is_locked(content)]


def _contents(files: Sequence[str]) -> list[tuple[str, bytes]]:
    """What can be read of them; of a key that only an agent has, the public half beside it."""
    found = []
    for file in files:
        for each in (file, f"{file}.pub"):
            with suppress(OSError):
                found.append((each, Path(each).expanduser().read_bytes()))
                break
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
