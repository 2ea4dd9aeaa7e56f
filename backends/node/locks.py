"""Kernel locks: held for a driver's life, released by its death, whatever killed it.

`owner` beside the lock says who holds it. It is for people, and for taking over a hung driver,
and it is believed only when boot id, pid and start time all fit.
"""

import fcntl
import logging
import os
import time
from typing import Any, Dict, Optional

from backends.node import clock
from backends.node.places import Places, read_json, write_json

_log = logging.getLogger("liftlock")

_PATIENCE_SECONDS = 1.0
"""A reader that looks whether the lock is held takes it for a moment: that is no rival."""


class Busy(Exception):
    """Another driver works on this product; `owner` says who, what and since when."""

    def __init__(self, owner: Dict[str, Any]) -> None:
        super().__init__("locked")
        self.owner = owner


class DriverLock:
    """The right to change this product on this node."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._fd: Optional[int] = None

    def take(self, **owner: Any) -> None:
        """Take the lock and say who has it.

        Raises:
            Busy: Somebody else has it.
        """
        fd = os.open(self._places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    os.close(fd)
                    raise Busy(read_json(self._places.owner) or {}) from None
                time.sleep(0.02)
        self._fd = fd
        said = dict(
            owner,
            pid=os.getpid(),
            start=clock.start_of(os.getpid()),
            boot_id=clock.boot_id(),
            since=clock.wall(),
        )
        try:
            write_json(self._places.owner, said)
        except OSError:
            _log.exception("nobody is told who holds the lock")  # a full disk stops no undo

    def release(self) -> None:
        """Let the next one in."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(places: Places) -> bool:
    """Whether a driver is at work; writes nothing."""
    try:
        fd = os.open(places.lock, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
