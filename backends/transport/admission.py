"""How many logins may be under way at once, and how long to wait before one is tried again.

A gateway and an sshd drop logins at random when too many come at once (MaxStartups); so the queue
is here, where waiting costs nothing, and the limit of a login counts only from its turn on.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_FIRST_SECONDS = 0.2
_LAST_SECONDS = 3.0


class Admission:
    """Counts logins: all together, and those through each gateway."""

    def __init__(self, at_once: int, per_gateway: int) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._per_gateway = per_gateway
        self._gateways: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def turn(self, gateway: str | None) -> AsyncIterator[None]:
        """Wait for one's turn; the gateway's queue first, so that a slow one holds up nobody."""
        if gateway is None:
            async with self._all:
                yield
            return
        known = self._gateways.setdefault(gateway, asyncio.Semaphore(self._per_gateway))
        async with known, self._all:
            yield


def pause_seconds(tries: int) -> float:
    """How long to wait after so many tries (1, 2, ...): doubling, with jitter, at most 3 s."""
    longest = min(_FIRST_SECONDS * 2.0 ** (tries - 1), _LAST_SECONDS)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311 - spreads logins, protects nothing
