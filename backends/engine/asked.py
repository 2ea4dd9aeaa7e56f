"""Every command that is given to a node has an id, and somebody is told what came of it.

The id travels with the request; the node writes it down as the operator's side does, so that a
line of the one journal is found in the other (notes on peers, I6 and I9). Who is told is whoever
drives the run in which it is asked: it goes with the task, and with every task that it starts.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from backends.domain.states import Outcome
from backends.engine.answer import Answer

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """One command that was given to a node, and what came of it."""

    node: str
    request: str
    """Its id."""

    command: str
    outcome: Outcome | None
    """None: it was not waited for to its end; what came of it is not known here."""

    code: str
    """Of the problem that it ended with; empty when there was none."""

    began: float
    """Seconds since 1970."""

    seconds: float


def _nobody(asked: Asked) -> None:
    """Outside of a run nothing is written down."""


_told: ContextVar[Callable[[Asked], None]] = ContextVar("told of commands", default=_nobody)
_newest: ContextVar[tuple[str, str]] = ContextVar("the newest request", default=("", ""))


def new_request() -> str:
    """An id that no other request has had: eight letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def newest_request(node: str) -> str:
    """The id of what was asked of this node last, in this task; empty when nothing was."""
    asked, request = _newest.get()
    return request if asked == node else ""


@contextmanager
def telling(observe: Callable[[Asked], None]) -> Iterator[None]:
    """Have every command told that is given in here."""
    before = _told.set(observe)
    newest = _newest.set(("", ""))
    try:
        yield
    finally:
        _newest.reset(newest)
        _told.reset(before)


async def told(node: str, command: str, request: str, work: Awaitable[Answer]) -> Answer:
    """Give a command and wait for its answer; whoever is to be told is told, however it ends."""
    _newest.set((node, request))
    began, at = time.time(), time.monotonic()
    answer: Answer | None = None
    try:
        answer = await work
        return answer
    finally:
        outcome = answer.outcome if answer else None
        code = answer.problem.code if answer and answer.problem else ""
        seconds = time.monotonic() - at
        _told.get()(Asked(node, request, command, outcome, code, began, seconds))
