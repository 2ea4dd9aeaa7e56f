"""How fast bytes may be sent to all nodes together: a bucket that fills by the second."""

import asyncio
import time


class Rate:
    """Whoever sends asks first; all take from one bucket, in the order in which they came."""

    def __init__(self, bytes_per_second: int | None) -> None:
        """None: as fast as it goes."""
        self._per_second = bytes_per_second
        self._free_at = 0.0
        """When what was taken so far will have been sent, on the monotonic clock."""

    async def take(self, size: int) -> None:
        """Return when so many more bytes may be sent."""
        if self._per_second is None:
            return
        now = time.monotonic()
        begins = max(now, self._free_at)
        self._free_at = begins + size / self._per_second
        await asyncio.sleep(begins - now)


UNLIMITED = Rate(None)
