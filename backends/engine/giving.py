"""Giving an order to a node whose link may go at that very moment."""

import asyncio
import time
from typing import Any

from backends.domain.facts import OpenTransaction
from backends.domain.states import Outcome
from backends.engine.answer import Answer
from backends.engine.contact import Contact

_BETWEEN_TRIES_SECONDS = 1.0
_LOST_SECONDS = 60.0
"""How long it is tried to give an order that was lost with the link."""


async def give(contact: Contact, command: str, txn: str, **args: Any) -> Answer:
    """Order `rollback` or `finalize`, and again when that was lost and the node knows of none.

    The node decides once, however often and however late it hears of it. What is answered last
    is given; an order of which it is not known what became of it is for the caller to look after.
    """
    give_up = time.monotonic() + _LOST_SECONDS
    while True:
        answer = await contact.ask(command, **args)
        if answer.outcome not in (Outcome.UNREACHABLE, Outcome.TIMED_OUT):
            return answer
        reading = await contact.read()
        while not reading.read and time.monotonic() < give_up:
            await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
            reading = await contact.read()
        opened = reading.facts.transaction if reading.read and reading.facts else None
        if opened is None or opened.txn != txn or _has_heard(opened, command):
            return answer
        if time.monotonic() > give_up:
            return answer
        await asyncio.sleep(_BETWEEN_TRIES_SECONDS)


def _has_heard(opened: OpenTransaction, command: str) -> bool:
    """Whether a node has decided as it was told, or works on it: hooks come before a finalize."""
    if command == "finalize" and opened.driver_alive:
        return True
    return opened.decision == command.upper()
