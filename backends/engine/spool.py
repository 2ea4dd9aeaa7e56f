"""A release's contents, unpacked once on this side for all nodes that want some of it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.upload import Blobs
from backends.releases.read import Blob, Release, blobs


@asynccontextmanager
async def spool(release: Release) -> AsyncIterator[Blobs]:
    """The release's contents, unpacked once when the first node wants one, for all nodes."""
    with tempfile.TemporaryDirectory(prefix="liftlock-") as folder:
        lock = asyncio.Lock()
        found: dict[str, Blob] = {}

        async def source(wanted: Sequence[str]) -> AsyncIterator[Blob]:
            async with lock:
                if not found:
                    listed = await asyncio.to_thread(_unpack, release, Path(folder))
                    found.update({blob.sha256: blob for blob in listed})
            for sha256 in wanted:
                if sha256 not in found:
                    raise LiftlockError(
                        Problem(
                            "blob-unknown", f"a node wants {sha256}, which is not in the release"
                        )
                    )
                yield found[sha256]

        yield source


def _unpack(release: Release, folder: Path) -> list[Blob]:
    try:
        return list(blobs(release, folder))
    except OSError as error:
        raise LiftlockError(
            Problem(
                "no-room-here",
                "The release cannot be unpacked on this workstation.",
                f"{folder}: {error}",
                "Make room there, or set TMPDIR to another place.",
            ),
            Exit.REFUSED,
        ) from error
