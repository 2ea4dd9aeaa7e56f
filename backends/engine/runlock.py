"""One acting run per cluster and product on this workstation; who came first is named.

A kernel lock, released by any death. Across workstations the nodes' own locks count.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem

_LOOKS, _LOOK_SECONDS = 3, 0.02


@contextmanager
def hold(folder: Path, cluster: str, product: str, called: str, **about: str) -> Iterator[None]:
    """Hold the lock; `about` says who and what, for whoever comes second.

    `called` is what an operator types to mean the cluster.

    Raises:
        LiftlockError: `run-locked`, exit 7: another run works on this cluster and product.
    """
    path = folder / f"{cluster}-{product}.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LiftlockError(
            Problem("lock-unusable", f"{path} cannot be opened.", error.strerror or str(error)),
            Exit.USAGE,
        ) from error
    with open(fd, "r+") as stream:
        try:
            _lock(fd)
        except BlockingIOError as error:
            raise _busy(cluster, called, stream.read()) from error
        stream.truncate(0)
        stream.write(json.dumps({**about, "pid": os.getpid()}, sort_keys=True))
        stream.flush()
        yield


def _lock(fd: int) -> None:
    """Take the lock; who only looks whether it is held has it for a moment, and is waited for."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_SECONDS)
        else:
            return
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(folder: Path, cluster: str, product: str) -> str | None:
    """Who holds the lock, in words; None: nobody does."""
    try:
        stream = open(folder / f"{cluster}-{product}.lock", "r+")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _owner(stream.read())
    return None


def _owner(said: str) -> str:
    try:
        return ", ".join(f"{key} {value}" for key, value in json.loads(said).items())
    except (ValueError, AttributeError):
        return "no word about who"


def _busy(cluster: str, called: str, said: str) -> LiftlockError:
    owner = _owner(said)
    return LiftlockError(
        Problem(
            "run-locked",
            f"Another run works on {cluster} from this workstation.",
            owner,
            f"Wait for it, or watch it: liftlock status {called} --watch",
        ),
        Exit.LOCKED,
    )
