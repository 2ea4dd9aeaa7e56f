"""What a login needs from this side: judging the node's key, and answers to what it asks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from backends.domain.clean import line
from backends.transport.prompt import Secret, Secrets

_PASSPHRASES = 3
"""How often a passphrase is asked for before a key is left alone."""


class Login(asyncssh.SSHClient):
    """One login. No key is ever accepted here: those that are known never come this far."""

    def __init__(
        self,
        node: str,
        about: str,
        secrets: Secrets | None,
        limit: asyncio.Timeout,
        seconds: float,
    ) -> None:
        """`about` is user or user@gateway; `limit` is suspended while a person is asked."""
        self.presented: asyncssh.SSHKey | None = None
        """The key the other side showed, when it was not a known one."""

        self.asked = False
        """Whether a person answered anything for this login."""

        self._node = node
        self._about = about
        self._secrets = secrets
        self._limit = limit
        self._seconds = seconds
        self._password: str | None = None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Called for unknown, and also for changed keys: neither is accepted."""
        self.presented = key
        return False

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
            if "password" in text.lower():
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

    async def passphrase(self, file: str) -> str | None:
        """The passphrase of a key file; None where nobody knows it, and the key is not used."""
        if self._secrets is None:
            return None
        content = await asyncio.to_thread(Path(file).read_bytes)
        refused = None
        for _ in range(_PASSPHRASES):
            async with self._without_limit():
                found = await self._secrets.get(Secret.PASSPHRASE, file, "", refused=refused)
            if found is None:
                return None
            try:
                await asyncio.to_thread(asyncssh.import_private_key, content, found)
            except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
                refused = found
            else:
                return found
        return None

    @asynccontextmanager
    async def _without_limit(self) -> AsyncIterator[None]:
        """A person may take as long as it needs; the node may not."""
        self.asked = True
        self._limit.reschedule(None)
        try:
            yield
        finally:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)
