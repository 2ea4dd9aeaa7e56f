"""Sending a release: only what the node says it lacks, as fast as it may go.

Where a node gets it by itself, it is told whence, and tells how far it is.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from backends.domain.staging import How, Staging
from backends.engine.rate import Rate
from backends.node import wire
from backends.releases.read import Blob, Release
from backends.transport.link import Channel

_MOST_BYTES = 1 << 53

STALL_SECONDS = 60.0
"""When the node takes no byte for so long, an upload counts as cut."""

Message = Mapping[str, Any]

Blobs = Callable[[Sequence[str]], AsyncIterator[Blob]]
"""Gives the content of the wanted blobs, one after the other."""


class Upload:
    """Answers the node's wants while it is staged to."""

    def __init__(
        self,
        release: Release,
        blobs: Blobs,
        staging: Staging,
        rate: Rate,
        progress: Callable[[int, int], None],
    ) -> None:
        self._release = release
        self._blobs = blobs
        self._staging = staging
        self._rate = rate
        self._progress = progress
        self._wanted: dict[str, tuple[int, int]] = {}

    def announced(self, run: str, plan: Message) -> dict[str, object]:
        """What the node is told before anything is sent: which bytes, and who vouches for them."""
        release, content = self._release, self._release.manifest_bytes
        origin = release.provenance
        signature = {
            "armored": release.signature.decode("ascii"),
            "signer": release.signer,
            "by": origin.signer,
            "key": origin.key,
        }
        return {
            "run": run,
            "version": release.manifest.version,
            "digest": release.digest,
            "packaged": release.packaged,
            "configuration": [each.announced() for each in release.fetched],
            "manifest": {"sha256": sha256_of(content), "size": len(content)},
            "plan": plan,
            "signature": signature if origin.is_signed else None,
            "imported": origin.imported,
            "way": self._staging.way(release.manifest.name, release.manifest.version),
            "fresh": self._staging.fresh,
        }

    async def on_message(self, channel: Channel, message: Message) -> None:
        """Manifest and configuration on hello, the blobs when all wants are known."""
        if message["t"] == "hello":
            fetched = (each.content for each in self._release.fetched)
            for content in (self._release.manifest_bytes, *fetched):
                header = wire.frame_header(sha256_of(content), 0, len(content))
                await channel.write(header + content)
        elif message["t"] == "need":
            for sha256, have, size in message["blobs"]:
                self._wanted[str(sha256)] = (_count(have, _MOST_BYTES), _count(size, _MOST_BYTES))
        elif message["t"] == "send":
            await self._send(channel)
        elif message["t"] == "progress" and self._staging.how is not How.PUSH:
            whole = self._release.manifest.tarball.size
            self._progress(_count(message["bytes"], whole), _count(message["of"], whole))

    async def _send(self, channel: Channel) -> None:
        of = sum(size - have for have, size in self._wanted.values())
        sent = 0
        self._progress(sent, of)
        if self._wanted:
            async for blob in self._blobs(tuple(self._wanted)):
                have = self._wanted[blob.sha256][0]
                with blob.open() as stream:
                    stream.seek(have)
                    left = blob.size - have
                    await channel.write(wire.frame_header(blob.sha256, have, left))
                    while piece := await asyncio.to_thread(stream.read, wire.CHUNK):
                        await self._rate.take(len(piece))
                        async with asyncio.timeout(STALL_SECONDS):
                            await channel.write(piece)
                        sent += len(piece)
                        self._progress(sent, of)
                        await asyncio.sleep(0)  # `drain` alone does not let others run
        await channel.write(wire.END_OF_FRAMES)


def _count(value: object, most: int) -> int:
    """Bytes, as a node says them.

    Raises:
        ValueError: It is no number of bytes that could be.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{str(value)[:80]!r} is no number of bytes")
    return value


def sha256_of(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
