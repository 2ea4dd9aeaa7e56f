"""Whose directory it is: a file that only a demo writes, locked by the kernel while one runs."""

import fcntl
import json
import os
import stat
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.locations import ensure_private

FORMAT = 1
"""Raised when a demo's directory can no longer be opened by an older program."""

_FIRST_LINE_LIMIT = 200


class Marker:
    """A demo's directory, held by this process.

    Line 1 is written once: format and number of nodes. Line 2 is the pid of who holds the lock,
    for whoever comes second; any death releases the lock.
    """

    def __init__(self, path: Path, nodes: int | None, default: int) -> None:
        """Take the directory of the marker `path`, which is created when it is not there.

        `nodes` None means: as many as it has, `default` in a new one.

        Raises:
            LiftlockError: `demo-directory` (somebody else's files are in it, or another format),
                `demo-nodes` (it has another number of nodes), `directory-not-private`,
                `directory-unusable`, all exit 2 and before anything is changed; `demo-running`,
                exit 7.
        """
        self._path = path
        self._fd = -1
        _refuse_foreign(path)
        ensure_private(path.parent)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(path, flags, 0o600)
            self._lock()
            self.nodes = self._settle(nodes, default)
        except OSError as error:
            self.release()
            raise _refusal(path, "It cannot be used.", error.strerror or str(error)) from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lines = os.pread(self._fd, _FIRST_LINE_LIMIT, 0).decode("ascii", "replace").split("\n")
            pid = lines[1] if len(lines) > 1 and lines[1].isdigit() else "unknown"
            raise LiftlockError(
                Problem(
                    "demo-running",
                    f"A demo runs in {self._path.parent} already: pid {pid}.",
                    f"{self._path} is locked",
                    f"Use it: liftlock status {self._path.parent}/cluster.toml; or end it, or "
                    "name another directory.",
                ),
                Exit.LOCKED,
            ) from error

    def _settle(self, nodes: int | None, default: int) -> int:
        content = os.pread(self._fd, _FIRST_LINE_LIMIT, 0)
        made = _read(self._path, content) if content else (nodes or default)
        if nodes is not None and nodes != made:
            raise LiftlockError(
                Problem(
                    "demo-nodes",
                    f"The demo in {self._path.parent} has {made} nodes, not {nodes}.",
                    "",
                    "Leave the number out, or name another directory.",
                ),
                Exit.USAGE,
            )
        line = json.dumps({"format": FORMAT, "nodes": made}).encode() + b"\n"
        if not content:
            os.pwrite(self._fd, line, 0)
        os.ftruncate(self._fd, len(line))
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), len(line))
        return made


def _refuse_foreign(path: Path) -> None:
    """A new directory is empty, an old one has our marker. Looks only."""
    try:
        names = os.listdir(path.parent)
        is_ours = path.name in names and _may_be_ours(path, is_alone=len(names) == 1)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal(path, "It cannot be read.", error.strerror or str(error)) from error
    if names and not is_ours:
        shown = ", ".join(sorted(names)[:10])
        raise _refusal(path, "It is not empty, and no demo made it.", shown)


def _may_be_ours(path: Path, *, is_alone: bool) -> bool:
    """Without content it is one of a start that was cut off before anything else was made."""
    about = path.lstat()
    return stat.S_ISREG(about.st_mode) and (about.st_size > 0 or is_alone)


def _read(path: Path, content: bytes) -> int:
    """The number of nodes."""
    line = content.split(b"\n")[0]
    try:
        found = json.loads(line)
        form, nodes = found["format"], found["nodes"]
    except (ValueError, KeyError, TypeError) as error:
        raise _refusal(path, "No demo made it.", line[:80].decode("ascii", "replace")) from error
    if form != FORMAT or not isinstance(nodes, int):
        raise _refusal(path, f"It has format {form}, and {FORMAT} is known.", str(found))
    return nodes


def _refusal(path: Path, why: str, evidence: str) -> LiftlockError:
    return LiftlockError(
        Problem(
            "demo-directory",
            f"{path.parent} cannot hold a demo. {why}",
            evidence,
            "Name a directory that does not exist yet.",
        ),
        Exit.USAGE,
    )
