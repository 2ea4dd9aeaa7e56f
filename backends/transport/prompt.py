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

    The newest password of a user is tried on the next node; a node that took another one keeps it.
    One that is refused where it was asked for is forgotten: a slip of the finger must not be tried
    on a thousand nodes. A code is valid once and never kept. Who declines is not asked again.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._of_node: dict[tuple[Secret, str, str], str] = {}
        self._newest: dict[tuple[Secret, str], tuple[str, str]] = {}
        """The secret, and the node it was asked for."""

        self._refused: dict[tuple[Secret, str, str], str] = {}
        """What was refused somewhere and nobody asked again: it is not tried there once more."""

        self._declined: set[tuple[Secret, str]] = set()
        self._one_at_a_time = asyncio.Lock()

    async def get(
        self, secret: Secret, about: str, node: str, *, text: str = "", refused: str | None = None
    ) -> str | None:
        """The secret; `refused` is the one that was just not taken there. None: there is none."""
        whose, there = (secret, about), (secret, about, node)
        async with self._one_at_a_time:
            refused = refused if refused is not None else self._refused.pop(there, None)
            if self._newest.get(whose) == (refused, node):
                del self._newest[whose]
            newest, _ = self._newest.get(whose, (None, ""))
            for known in (self._of_node.pop(there, None), newest):
                if known is not None and known != refused:
                    self._of_node[there] = known
                    return known
            if whose in self._declined:
                return None
            question = Question(secret, about, node, text, again=refused is not None)
            answer = await self._prompt.ask(question)
            if answer is None:
                self._declined.add(whose)
            elif secret is not Secret.CODE:
                self._of_node[there] = answer
                self._newest[whose] = (answer, node)
            return answer

    def was_refused(self, secret: Secret, about: str, node: str, value: str) -> None:
        """The other side took this for the last time and refused it: a lockout may be near."""
        self._refused[(secret, about, node)] = value
