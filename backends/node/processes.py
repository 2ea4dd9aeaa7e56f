"""Running a command with limits, and finding the processes of a product."""

import fcntl
import os
import select
import signal
import subprocess
import time
from typing import Dict, List, Optional, Set

from backends.node import clock

OUTPUT_LIMIT = 65536
"""Bytes of a command's output that are kept."""

_DRAIN_SECONDS = 0.3

SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Ran:
    """What came of a command."""

    def __init__(self, status: Optional[int], output: bytes, problem: str) -> None:
        self.status = status
        """The exit code; negative for a signal; None when it never started or had to be killed."""
        self.output = output
        self.problem = problem
        """Empty, or why there is no exit code."""

    @property
    def text(self) -> str:
        """The output as text; bytes that are no UTF-8 are shown as such."""
        return self.output.decode("utf-8", "backslashreplace").strip()

    def said(self) -> str:
        """One line of evidence: exit code or problem, then the last output."""
        what = self.problem or "exit %d" % (self.status or 0)
        return "%s: %s" % (what, self.text[-2000:]) if self.text else what


ASKS = "LIFTLOCK_ASKS"
"""Set for commands that only ask: they stand in a version's tree and are not its service."""


def run(
    argv: List[str],
    seconds: float,
    cwd: str = "/",
    environment: Optional[Dict[str, str]] = None,
    output_file: Optional[str] = None,
    asks: bool = True,
) -> Ran:
    """Run a command in a session of its own; kill all of it when its time is over.

    One that starts something which stays must not be marked as one that `asks`. With
    `output_file` the command writes there instead of into a pipe, so that a daemon it leaves
    behind never loses its standard output.
    """
    settings = {"PATH": SAFE_PATH, "LANG": "C.UTF-8"}
    settings.update(environment or {})
    if asks:
        settings[ASKS] = "1"
    sink = None
    try:
        if output_file is not None:
            sink = os.open(
                output_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if sink is None else sink,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=settings,
            start_new_session=True,
            close_fds=True,
        )
    except (OSError, ValueError) as error:
        return Ran(None, b"", "cannot run %s: %s" % (argv[0], error))
    finally:
        if sink is not None:
            os.close(sink)
    deadline = time.monotonic() + seconds
    output = b"" if process.stdout is None else _collect(process, deadline)
    try:
        status: Optional[int] = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        process.wait()
        status = None
    if process.stdout is not None:
        process.stdout.close()  # not before: what ends for want of a reader did not end in time
    if output_file is not None:
        output = tail(output_file)
    return Ran(status, output, "" if status is not None else "no end within %g s" % seconds)


def _collect(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    """Read until the command ended (and a moment longer), not until everybody closed the pipe."""
    assert process.stdout is not None  # noqa: S101 - narrows the type
    fd = process.stdout.fileno()
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
    kept = b""
    ended_at = None
    while True:
        now = time.monotonic()
        if process.poll() is not None and ended_at is None:
            ended_at = now
        if now > deadline or (ended_at is not None and now > ended_at + _DRAIN_SECONDS):
            return kept
        ready = select.select([fd], [], [], 0.02)[0]
        if not ready:
            if ended_at is not None:
                return kept
            continue
        piece = os.read(fd, OUTPUT_LIMIT)
        if not piece:
            return kept
        kept = (kept + piece)[:OUTPUT_LIMIT]


def kill_group(pid: int) -> None:
    """End a command and all that it started in its session."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def tail(path: str, limit: int = OUTPUT_LIMIT) -> bytes:
    """The last bytes of a file."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - limit))
            return stream.read(limit)
    except OSError as error:
        return ("cannot read: %s" % error).encode("utf-8", "replace")


def within(directory: str) -> List[int]:
    """Processes whose executable or working directory lies in `directory`, lowest pid first.

    Our own process and its ancestors are left out: an operator's shell may stand there.
    """
    top = os.path.realpath(directory) + "/"
    mine = _ancestors()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return sorted(pid for pid in pids if pid not in mine and _touches(pid, top))


def place_of(pid: int) -> List[str]:
    """Executable and working directory of a process; what cannot be read is left out."""
    links = (_link_of(pid, what) for what in ("exe", "cwd"))
    return [link for link in links if link]


def _link_of(pid: int, what: str) -> str:
    try:
        return os.readlink("/proc/%d/%s" % (pid, what))
    except OSError:
        return ""  # gone, or somebody else's: other evidence decides


def lives_in(pid: int, directory: str) -> bool:
    """Whether a process has its executable or its working directory in `directory`."""
    return _touches(pid, os.path.realpath(directory) + "/")


def _touches(pid: int, top: str) -> bool:
    if clock.start_of(pid) is None:
        return False
    if (_link_of(pid, "exe") + "/").startswith(top):
        return not _asks(pid)
    here = (_link_of(pid, "cwd") + "/").startswith(top)
    return here and not _has_terminal(pid) and not _asks(pid)


def _asks(pid: int) -> bool:
    """Whether it is a command of ours, perhaps of another updater that only looks."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as stream:
            return os.fsencode(ASKS) + b"=1" in stream.read().split(b"\0")
    except OSError:
        return False


def _has_terminal(pid: int) -> bool:
    """Whether a person works in it: somebody who reads logs there must not keep a node back."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            return stream.read().rsplit(b") ", 1)[1].split()[4] != b"0"
    except (OSError, IndexError):
        return False


def _ancestors() -> Set[int]:
    found = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            with open("/proc/%d/stat" % pid, "rb") as stream:
                pid = int(stream.read().rsplit(b") ", 1)[1].split()[1])
        except (OSError, IndexError):
            break
    return found
