"""Asking a person for a secret: one port, answered by the screen or the terminal.

Secrets live in memory only. They are asked for before anything is changed, each one once.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Secret(StrEnum):
    """What is asked for."""

    PASSWORD = "password"  # noqa: S105 - the word, not one
    PASSPHRASE = "passphrase"  # noqa: S105
    SUDO_PASSWORD = "sudo password"  # noqa: S105
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a person."""

    secret: Secret
    about: str
    """Whose or what for: a user name, a key file."""

    node: str
    """The first node that needs it; empty for a key file."""

    text: str = ""
    """What the other side said, already cleaned."""

    again: bool = False
    """Whether the answer before was refused."""


class Prompt(Protocol):
    """Somebody who can be asked."""

    async def ask(self, question: Question) -> str | None:
        """The answer; None when nobody is there or nobody wants to answer."""
        ...


class Nobody:
    """There is no person: every secret that nobody gave is missing."""

    async def ask(self, question: Question) -> str | None:
        """No answer."""
        return None


class Secrets:
    """What a person said, for as long as this program runs.

    A password is first tried wherever the same user logs in; where it is refused, that node is
    asked about by name. A code is valid once and never kept. Who declines is not asked again.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._known: dict[tuple[Secret, str, str], str] = {}
        self._declined: set[tuple[Secret, str]] = set()
        self._one_at_a_time = asyncio.Lock()

    async def get(
        self, secret: Secret, about: str, node: str, *, text: str = "", refused: str | None = None
    ) -> str | None:
        """The secret; `refused` is the one that was just not taken there. None: there is none."""
        async with self._one_at_a_time:
            known = self._known.get((secret, about, node)) or self._known.get((secret, about, ""))
            if known is not None and known != refused:
                return known
            if (secret, about) in self._declined:
                return None
            question = Question(secret, about, node, text, again=refused is not None)
            answer = await self._prompt.ask(question)
            if answer is None:
                self._declined.add((secret, about))
            elif secret is not Secret.CODE:
                shared = (secret, about, "")
                self._known[(secret, about, node) if shared in self._known else shared] = answer
            return answer
