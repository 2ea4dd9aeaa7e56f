"""What is asked about, and what came of the question."""

from collections.abc import Mapping
from dataclasses import dataclass

from backends.domain.problem import Problem
from backends.domain.states import Outcome, Unreachable
from backends.engine.upload import Message


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question."""

    outcome: Outcome
    problem: Problem | None
    messages: tuple[Message, ...]
    has_end: bool = False
    """Whether the node itself said how it ended."""

    def all(self, kind: str) -> tuple[Message, ...]:
        """The messages of one kind."""
        return tuple(message for message in self.messages if message["t"] == kind)

    @property
    def is_ok(self) -> bool:
        """Whether the node said that it did what was asked."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Subject:
    """Which product of which node is spoken about."""

    node: str
    role: str
    address: str
    canary: bool
    excluded: str | None
    document: Mapping[str, object]
    """What the updater is told about the product (products.node_document)."""

    state_dir: str | None
    python: str | None
    pinned: str | None = None
    gateway: str | None = None
    """Through what it is reached, where not directly."""


_CAUSES = {
    "dns": Unreachable.DNS,
    "tcp": Unreachable.TCP,
    "channel-broken": Unreachable.TCP,
    "channel-refused": Unreachable.TCP,
    "no-python": Unreachable.NO_PYTHON,
    "protocol-mismatch": Unreachable.PROTOCOL,
    "host-key-unknown": Unreachable.HOST_KEY_UNKNOWN,
    "host-key-changed": Unreachable.HOST_KEY_CHANGED,
    "login-refused": Unreachable.AUTHENTICATION,
    "sudo": Unreachable.SUDO,
    "timeout": Unreachable.TIMEOUT,
}


def cause_of(problem: Problem | None) -> Unreachable:
    """Why a node could not be read, in the words of design.md, section 4."""
    return _CAUSES.get(problem.code if problem else "", Unreachable.PROTOCOL)


def no_end_of(node: str, what: str, seconds: float) -> Problem:
    """Something took longer than it may."""
    return Problem(
        "timeout",
        f"{node}: no end of {what} within {seconds:g} s; what happened is unknown",
        advice="ask again: the node's journal knows",
    )


def no_word_from(node: str, seconds: float) -> Problem:
    """A node was silent for longer than it may."""
    return Problem(
        "timeout",
        f"{node}: not a word from it for {seconds:g} s; what happened is unknown",
        advice="ask again: the node's journal knows",
    )
