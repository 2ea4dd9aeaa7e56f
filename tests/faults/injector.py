"""What happens at the k-th call that changes a disk: an end, half a write, an error."""

import errno
import functools
import os
import signal
from collections.abc import Callable
from typing import Any

CALLS = (
    "rename",
    "replace",
    "link",
    "symlink",
    "unlink",
    "remove",
    "mkdir",
    "rmdir",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "chmod",
    "fchmod",
    "chown",
    "fchown",
    "utime",
    "setxattr",
    "open",
)
"""The calls through which the updater changes a disk."""

SYNCS = ("fsync", "fdatasync")

REAL = {name: getattr(os, name) for name in CALLS}


class Injector:
    """Counts mutating calls, and does something to the k-th."""

    def __init__(
        self, at: int, how: str, number: int = 0, for_good: bool = False, like: str = ""
    ) -> None:
        """With `how` "none" nothing happens, and what would be counted for `like` is."""
        self.count = 0
        self._at = at
        self._how = how
        self._counted = like or how
        self._errno = number
        self._for_good = for_good

    def wrap(self, name: str) -> Callable[..., Any]:
        """The call, watched."""
        real = REAL[name]

        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._counts(name, args):
                return real(*args, **kwargs)
            self.count += 1
            if self._how != "none" and self._is_hit():
                self._hit(name, real, args)
            return real(*args, **kwargs)

        return call

    def _counts(self, name: str, args: tuple[Any, ...]) -> bool:
        """Whether something can happen at this call that does not at its neighbour.

        A process that is killed before a sync leaves what one leaves that is killed before the
        next call; half of what is no write is nothing.
        """
        if name == "open" and not args[1] & os.O_CREAT:
            return False
        if self._counted == "tear":
            return name == "write"
        return self._counted != "kill" or name not in SYNCS

    def _is_hit(self) -> bool:
        return self.count > self._at if self._for_good else self.count == self._at + 1

    def _hit(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self._how == "tear" and name == "write":
            real(args[0], bytes(args[1])[: len(args[1]) // 2])
        if self._how in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(self._errno, os.strerror(self._errno))


class FullAfterShortWrite(Injector):
    """Row 22: half a record is written, nothing more fits on the disk, then the power goes."""

    def __init__(self, at: int, calls_later: int) -> None:
        super().__init__(at, "short")
        self._calls_later = calls_later
        self._writes = 0
        self._since = -1

    def wrap(self, name: str) -> Callable[..., Any]:
        """The call, watched: from the k-th write on the disk is full."""
        real = REAL[name]

        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self._since >= 0:
                self._since += 1
                if self._since > self._calls_later:
                    os.kill(os.getpid(), signal.SIGKILL)
                if name in ("write", "link", "mkdir", "symlink", "open") and _grows(name, args):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            elif name == "write":
                self._writes += 1
                if self._writes > self._at:
                    self._since = 0
                    return real(args[0], bytes(args[1])[: max(1, len(args[1]) // 2)])
            return real(*args, **kwargs)

        return call


def _grows(name: str, args: tuple[Any, ...]) -> bool:
    return name != "open" or bool(args[1] & os.O_CREAT)
