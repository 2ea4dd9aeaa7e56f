"""Every process of a demo, found by the mark in its environment, and how all of them end.

A mark instead of a list of children: drivers and services detach themselves, and must.
"""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from backends.demo.places import MARK
from backends.domain.problem import Exit, LiftlockError, Problem

GRACE_SECONDS = 2.0
"""After TERM, until KILL."""

_KILL_SECONDS = 5.0
_LOOK_SECONDS = 0.02


def require_proc() -> None:
    """Refuse where processes cannot be looked at.

    Raises:
        LiftlockError: `demo-no-proc`, exit 2.
    """
    if not Path("/proc/self/environ").exists():
        raise LiftlockError(
            Problem(
                "demo-no-proc",
                "The demo needs Linux: there is no /proc here.",
                "Its nodes are processes that are found, and ended, by way of /proc.",
                "Run it on a Linux machine, or in a container.",
            ),
            Exit.USAGE,
        )


def processes_of(directory: Path) -> list[int]:
    """The processes that carry the mark of this demo, without our own and without zombies.

    Raises:
        LiftlockError: `demo-no-proc`, exit 2.
    """
    require_proc()
    mark = os.fsencode(f"{MARK}={directory}")
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return sorted(pid for pid in pids if pid != os.getpid() and _carries(pid, mark))


async def end_processes(directory: Path, grace_seconds: float = GRACE_SECONDS) -> int:
    """End all processes of a demo: TERM, after `grace_seconds` KILL; how many there were.

    Returns when they are gone, those that they started meanwhile included.

    Raises:
        LiftlockError: `demo-processes-left`, exit 6: some are still there, even after KILL;
            `demo-no-proc`, exit 2.
    """
    seen: set[int] = set()
    began = time.monotonic()
    quiet = 0
    while quiet < 2:  # one look may miss who was born behind it
        found = processes_of(directory)
        waited = time.monotonic() - began
        if found and waited > grace_seconds + _KILL_SECONDS:
            raise _left(directory, found)
        number = signal.SIGKILL if waited > grace_seconds else signal.SIGTERM
        for pid in found:
            if number == signal.SIGKILL or pid not in seen:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        seen.update(found)
        quiet = 0 if found else quiet + 1
        await asyncio.sleep(_LOOK_SECONDS if found else 0)
    return len(seen)


def _carries(pid: int, mark: bytes) -> bool:
    """A zombie has no environment any more, and somebody else's process cannot be read."""
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _left(directory: Path, pids: list[int]) -> LiftlockError:
    return LiftlockError(
        Problem(
            "demo-processes-left",
            f"{len(pids)} processes of the demo do not end.",
            ", ".join(f"pid {pid}" for pid in pids[:20]),
            f"Look at them by hand; each has {MARK}={directory} in its environment.",
        ),
        Exit.NEEDS_PERSON,
    )
