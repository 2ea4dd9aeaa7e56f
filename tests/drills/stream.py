"""A stream of a NATS cluster that is written and read all the time, and what became of it.

The writer counts a message as acknowledged only when a server said so. Until then it sends it
again under the same id, so that it is in the stream once. What was acknowledged and is not in the
stream, in the order in which it was acknowledged, is lost.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

_STREAM = "ORDERS"
_SUBJECT = "orders.new"
_ANSWER_SECONDS = 1.0
_BETWEEN_MESSAGES_SECONDS = 0.005
_PATIENCE_SECONDS = 60


class Traffic:
    """What one writer and one reader have experienced."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, int] = {}
        """Message: its place in the stream, as the acknowledgement said."""

        self.read: dict[int, int] = {}
        """Message: its place in the stream, as the reader was given it."""

        self.repeats = 0
        """How often a message was sent again, because no acknowledgement came."""

        self.longest_wait = 0.0
        """Seconds from the first try of a message to its acknowledgement, at most."""

        self.trouble = "none"
        """What the writer or the reader was last refused with."""

        self._is_written = True
        self._is_read = True

    async def flows(self, more: int = 20) -> None:
        """Wait until so many more messages were acknowledged, and so many more read."""
        written, read = len(self.acknowledged) + more, len(self.read) + more
        await self._until(
            lambda: len(self.acknowledged) >= written and len(self.read) >= read,
            f"{more} more messages",
        )

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < give_up, (
                f"{what}: {len(self.acknowledged)} acknowledged, {len(self.read)} read,"
                f" last trouble: {self.trouble}"
            )
            await asyncio.sleep(0.05)

    async def _write(self, client: Client) -> None:
        stream = client.jetstream(timeout=_ANSWER_SECONDS)
        number = 0
        while self._is_written:
            began = time.monotonic()
            while (place := await self._try(stream, number)) is None:
                self.repeats += 1
                await asyncio.sleep(0.05)
            self.acknowledged[number] = place
            self.longest_wait = max(self.longest_wait, time.monotonic() - began)
            number += 1
            await asyncio.sleep(_BETWEEN_MESSAGES_SECONDS)

    async def _try(self, stream: JetStreamContext, number: int) -> int | None:
        try:
            answer = await stream.publish(
                _SUBJECT, _body(number), headers={"Nats-Msg-Id": str(number)}
            )
        except Error as error:  # no leader for a moment, or the server went away
            self.trouble = f"writer: {error!r}"
            return None
        assert answer.stream == _STREAM
        return answer.seq

    async def _read(self, client: Client) -> None:
        stream = client.jetstream(timeout=_ANSWER_SECONDS)
        subscription = await stream.pull_subscribe(_SUBJECT, "reader", _STREAM)
        while self._is_read:
            try:
                messages = await subscription.fetch(50, _ANSWER_SECONDS)
            except (Error, TimeoutError) as error:
                self.trouble = f"reader: {error!r}"
                await asyncio.sleep(0.05)
                continue
            for message in messages:
                number = int(message.data.split()[0])
                assert message.data == _body(number)
                place = message.metadata.sequence.stream
                assert self.read.setdefault(number, place) == place
                await message.ack()


@asynccontextmanager
async def flowing(urls: Sequence[str]) -> AsyncIterator[Traffic]:
    """A new stream with a replica on every node, written and read until the block ends.

    At the end the reader has read all that was acknowledged, or the test fails.
    """
    traffic = Traffic()
    async with connected(urls) as writer, connected(urls) as reader:
        await writer.jetstream(timeout=10).add_stream(
            name=_STREAM, subjects=[_SUBJECT], num_replicas=len(urls)
        )
        async with asyncio.TaskGroup() as group:
            writes = group.create_task(traffic._write(writer))
            group.create_task(traffic._read(reader))
            yield traffic
            traffic._is_written = False
            await writes
            await traffic._until(
                lambda: not traffic.acknowledged.keys() - traffic.read.keys(), "all read"
            )
            traffic._is_read = False


async def lost(traffic: Traffic, urls: Sequence[str]) -> list[int]:
    """The acknowledged messages that are not where their acknowledgement said."""
    async with connected(urls) as client:
        stream = client.jetstream()
        return [
            number
            for number, place in traffic.acknowledged.items()
            if await _at(stream, place) != _body(number)
        ]


async def lose_one(traffic: Traffic, urls: Sequence[str]) -> int:
    """Delete an acknowledged message behind everybody's back; which one."""
    number, place = next(reversed(traffic.acknowledged.items()))
    async with connected(urls) as client:
        await client.jetstream().delete_msg(_STREAM, place)
    return number


async def replicas(urls: Sequence[str]) -> dict[str, bool]:
    """Which servers hold the stream, and which of them hold all of it."""
    async with connected(urls) as client:
        about = (await client.jetstream().stream_info(_STREAM)).cluster
    assert about is not None
    assert about.leader is not None
    others = {peer.name: bool(peer.current) and not peer.lag for peer in about.replicas or []}
    return {about.leader: True, **{str(name): current for name, current in others.items()}}


@asynccontextmanager
async def connected(urls: Sequence[str]) -> AsyncIterator[Client]:
    """A client that goes to the next server when its own goes away, as often as it takes."""

    async def say_nothing(error: Exception) -> None:
        """Whoever was asked for something is told; the rest is the drill's own doing."""

    client = await nats.connect(
        servers=[*urls],
        connect_timeout=2,
        reconnect_time_wait=0.1,
        max_reconnect_attempts=-1,
        error_cb=say_nothing,
    )
    try:
        yield client
    finally:
        await client.close()


async def _at(stream: JetStreamContext, place: int) -> bytes | None:
    try:
        return (await stream.get_msg(_STREAM, place)).data
    except NotFoundError:
        return None


def _body(number: int) -> bytes:
    return b"%d %s" % (number, b"order" * 20)
