"""Becoming root on the node: a link that runs everything through sudo, without a terminal.

A password is written only after sudo asked for it, with a prompt nobody else knows; so it never
reaches anything but sudo, also where sudo turns out not to need one. What was started through
sudo says so first, in a line of its own: until then everything said is sudo's, or a login shell's.
"""

import asyncio
import re
import secrets as random_words
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from backends.domain.clean import line
from backends.domain.problem import Problem
from backends.transport.link import Channel, Link, LinkFailed
from backends.transport.prompt import Secret, Secrets

_ENTER = 'printf "%s\\n" "$0" >&2; printf "%s\\n" "$0"; exec "$@"'
"""Said by the shell that sudo starts, on both ways out: we are in; then what was asked for."""


class SudoLink:
    """A link whose commands run as root."""

    def __init__(
        self, link: Link, user: str, seconds: float, secrets: Secrets | None = None
    ) -> None:
        """Without `secrets`, sudo must not ask for a password.

        `user` is who logs in, as far as the cluster file says; `seconds` is how long sudo may take
        to its next word.
        """
        self._link = link
        self._user = user
        self._seconds = seconds
        self._secrets = secrets
        self._entered = False

    @property
    def node(self) -> str:
        """The node's name."""
        return self._link.node

    def fresh(self) -> Link:
        """The same node and privilege over a login of its own."""
        return SudoLink(self._link.fresh(), self._user, self._seconds, self._secrets)

    async def close(self) -> None:
        """Give the connection back."""
        await self._link.close()

    async def prepare(self) -> None:
        """Log in, and become root once; a password is asked for here."""
        await self._link.prepare()
        if not self._entered:
            async with self._run(["true"]) as channel:
                await channel.exit_status()
            self._entered = True

    def open(self, argv: list[str]) -> AbstractAsyncContextManager[Channel]:
        """Run a command as root."""
        return self._run(argv)

    @asynccontextmanager
    async def _run(self, argv: list[str]) -> AsyncIterator[Channel]:
        word = f"liftlock-{random_words.token_hex(8)}"
        how = ["-n"] if self._secrets is None else ["-S", "-p", _prompt(word)]
        command = ["sudo", *how, "--", "sh", "-c", _ENTER, word, *argv]
        async with self._link.open(command) as inner:
            with inner.awaited():
                await self._enter(inner, word)
                await self._forget_sudo(inner, word)
            yield inner

    async def _enter(self, channel: Channel, word: str) -> None:
        """Answer sudo until what it started says that it runs.

        Raises:
            LinkFailed: sudo does not let us; its own words are the evidence.
        """
        first = asyncio.ensure_future(channel.line())  # noqa: TID251 - awaited or cancelled below
        answered, given, seen = 0, None, 0
        whose = self._user
        try:
            while True:
                seen = await self._next_word(channel, word, first, seen)
                if first.done():
                    break
                asked = _asked(channel, word)
                if len(asked) > answered:
                    whose = asked[-1]
                    given = await self._password(whose, _said(channel, word), given)
                    answered += 1
                    with suppress(LinkFailed):  # sudo gave up meanwhile, and says so
                        await channel.write(given.encode() + b"\n")
        finally:
            first.cancel()
            with suppress(asyncio.CancelledError, LinkFailed):
                await first
        said = first.result()
        if said.rstrip(b"\r\n") == word.encode():
            return
        if said and given is None:
            raise self._shell_speaks(said)
        words = " ".join(filter(None, (_said(channel, word), said.decode("utf-8", "replace"))))
        if not said and await channel.exit_status() is None:
            raise self._broken(words)
        if given is not None and self._secrets is not None and not _is_forbidden(words):
            self._secrets.was_refused(Secret.SUDO_PASSWORD, whose, self.node, given)
        raise self._refused(words)

    async def _forget_sudo(self, channel: Channel, word: str) -> None:
        """Drop a lecture and a prompt: what stands on standard error then is the command's."""
        seen = -1
        with suppress(TimeoutError):  # closed there, or held back: then all of it stays
            async with asyncio.timeout(self._seconds):
                while not channel.forget_stderr(through=f"{word}\n".encode()):
                    before, seen = seen, await channel.more_stderr(seen)
                    if seen == before:
                        break

    async def _next_word(
        self, channel: Channel, word: str, first: "asyncio.Future[bytes]", seen: int
    ) -> int:
        """Wait for the first line of output, or for more on standard error."""
        more = asyncio.ensure_future(channel.more_stderr(seen))  # noqa: TID251 - ended below
        try:
            waiting: set[asyncio.Future[bytes] | asyncio.Future[int]] = {first, more}
            done, _ = await asyncio.wait(
                waiting, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise self._silent(_said(channel, word))
            if more in done and not first.done() and more.result() == seen:
                # Standard error has ended; what is left is the line, or the end of all.
                await asyncio.wait({first}, timeout=self._seconds)
                if not first.done():
                    raise self._silent(_said(channel, word))
            return more.result() if more.done() else seen
        finally:
            more.cancel()
            with suppress(asyncio.CancelledError):
                await more

    async def _password(self, whose: str, said: str, refused: str | None) -> str:
        if self._secrets is None:
            raise AssertionError("sudo -n asks for nothing")
        found = await self._secrets.get(Secret.SUDO_PASSWORD, whose, self.node, refused=refused)
        if found is None:
            raise LinkFailed(
                Problem(
                    "sudo",
                    f"{self.node}: sudo wants the password of {whose}, and none was given",
                    line(said),
                    "Run this on a terminal, where it can be asked for.",
                )
            )
        return found

    def _refused(self, said: str) -> LinkFailed:
        return LinkFailed(
            Problem(
                "sudo",
                f"{self.node}: sudo does not let {self._user} become root",
                line(said) or "sudo ended without a word",
                _advice(said, self._user),
            )
        )

    def _broken(self, said: str) -> LinkFailed:
        return LinkFailed(
            Problem(
                "channel-broken",
                f"{self.node}: it was lost before sudo had answered",
                line(said),
            )
        )

    def _silent(self, said: str) -> LinkFailed:
        return LinkFailed(
            Problem(
                "sudo",
                f"{self.node}: sudo said nothing for {self._seconds:g} s",
                line(said),
                f"Try it there: sudo -n true, as {self._user}",
            )
        )

    def _shell_speaks(self, said: bytes) -> LinkFailed:
        return LinkFailed(
            Problem(
                "protocol-mismatch",
                f"{self.node}: something speaks before the command does",
                line(repr(said[:200])),
                "Look at what its login shell prints.",
            )
        )


def _prompt(word: str) -> str:
    """What sudo is to ask with; it puts in whose password it wants, by `rootpw` not the user's."""
    return f"[{word} %p]"


def _asked(channel: Channel, word: str) -> list[str]:
    """Whose password was asked for, each time."""
    return re.findall(rf"\[{word} ([^\]]*)\]", channel.stderr())


def _said(channel: Channel, word: str) -> str:
    """What sudo said, without our own words."""
    return re.sub(rf"\[{word} [^\]]*\]", "", channel.stderr()).strip()


def _is_forbidden(said: str) -> bool:
    """Whether sudo let the password pass and the person not."""
    return any(words in said for words in ("not in the sudoers", "not allowed", "may not run"))


def _advice(said: str, user: str) -> str:
    """What helps, by what sudo said."""
    known = (
        ("a password is required", 'Set become = "sudo-password", or allow it with NOPASSWD.'),
        ("must have a tty", f"Add to the node's sudoers: Defaults:{user} !requiretty"),
        ("not found", 'Install sudo there, or log in as root with become = "none".'),
        ("incorrect password", "Ask for the right one, and try again."),
    )
    if _is_forbidden(said):
        return f"Allow {user} in the node's sudoers to run commands as root."
    for words, advice in known:
        if words in said:
            return advice
    return f"Try it there: sudo -n true, as {user}"
