"""A rate holds for all who send together, and nobody waits where there is none."""

import asyncio
import time

from backends.engine.rate import UNLIMITED, Rate


async def test_all_together_send_no_faster_than_the_rate() -> None:
    rate = Rate(10_000)
    began = time.monotonic()

    async def send() -> None:
        for _ in range(5):
            await rate.take(200)

    await asyncio.gather(send(), send())
    # The last 200 bytes may go when the 1,800 before them have gone.
    assert time.monotonic() - began >= 1_800 / 10_000


async def test_what_was_not_used_is_not_saved_up() -> None:
    rate = Rate(10_000)
    await rate.take(100)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await rate.take(1_000)
    await rate.take(1_000)
    assert time.monotonic() - began >= 0.1


async def test_without_a_rate_nobody_waits() -> None:
    began = asyncio.get_running_loop().time()
    for _ in range(1_000):
        await UNLIMITED.take(1 << 30)
    assert asyncio.get_running_loop().time() - began < 60
