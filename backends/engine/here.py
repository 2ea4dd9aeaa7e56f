"""Running a command of the operator's own beside this program, within its time."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from backends.domain.clean import line

_MOST_BYTES = 4096
_SAID = 300


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of it."""

    code: int | None
    """Its exit code; None: it could not be started, or had no end within its time."""

    said: str
    """The end of what it said, in one line; or why it has no exit code."""


async def run_here(
    command: tuple[str, ...], environment: Mapping[str, str], seconds: float, told: bytes = b""
) -> Ran:
    """Run a command with these variables besides ours, and `told` on its standard input.

    Whatever it has started itself is ended with it when its time is over.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except OSError as error:
        return Ran(None, f"{command[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(seconds):
            said = await _converse(process, told)
            code = await process.wait()
    except TimeoutError:
        return Ran(None, f"{command[0]}: no answer within {seconds:g} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Ran(code, line(said.decode("utf-8", "replace"))[-_SAID:])


async def _converse(process: asyncio.subprocess.Process, told: bytes) -> bytes:
    """Tell it, and read the end of what it says: as much as fits into a line."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    with suppress(ConnectionError):  # it need not listen
        process.stdin.write(told)
        await process.stdin.drain()
    process.stdin.close()
    kept = b""
    while piece := await process.stdout.read(_MOST_BYTES):
        kept = (kept + piece)[-_MOST_BYTES:]
    return kept
