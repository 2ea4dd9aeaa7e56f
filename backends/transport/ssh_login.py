"""One login: what the node's key was, which of our keys come next, and answers to questions."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import asyncssh

from backends.domain.clean import line
from backends.transport.prompt import Secret, Secrets
from backends.transport.ssh_keys import LockedKey, Signer

_ONE_TIME = re.compile(r"one.?time|\botp\b|token|code", re.IGNORECASE)
"""Words of a question for what is valid once, also where it calls that a password."""


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

    def was_refused(self) -> None:
        """The login ended with a refusal: its password is not tried here once more."""
        if self._password is not None and self._secrets is not None:
            self._secrets.was_refused(Secret.PASSWORD, self._about, self._node, self._password)

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
