"""Reading many nodes at once, each no longer than it may take."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from backends.domain.facts import NodeReading
from backends.engine.contact import Contact


async def read_all(contacts: Iterable[Contact]) -> list[NodeReading]:
    """Read nodes all at once; each reading is as old as it is when the last one has come."""

    async def one(contact: Contact) -> tuple[NodeReading, float]:
        return await contact.read(), time.monotonic()

    found = await asyncio.gather(*(one(contact) for contact in contacts))
    return [aged(reading, at) for reading, at in found]


def aged(reading: NodeReading, read_at: float) -> NodeReading:
    """A reading as old as it is now, when it came at `read_at` of the monotonic clock."""
    age = reading.age_seconds
    return (
        reading if age is None else replace(reading, age_seconds=age + time.monotonic() - read_at)
    )
