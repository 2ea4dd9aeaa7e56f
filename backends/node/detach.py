"""A driver that lives on when the channel, the operator and the login are gone.

Double fork and a session of its own, all descriptors closed; where systemd is PID 1 and we are
root, it also moves into a unit of its own, so that neither the end of a login nor the stop of any
service takes it along. "Started" means that the driver itself said so through a pipe, after its
first record was durable; never that a fork returned.
"""

import logging
import os
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, Callable, Dict, List, Optional, Tuple

from backends.node import clock, processes, systemd, wire
from backends.node.places import Places, write_all

REPORT_SECONDS = 30.0
"""How long a driver may take to its first durable record."""

_LOG_BYTES = 1 << 20
"""The log of all drivers begins anew when it is larger; the one before is kept."""

ALIVE = {"t": "alive"}
"""What a driver in a unit of its own says before anything else: the unit is there."""

Report = Callable[[Dict[str, Any]], None]


def start(
    places: Places, drive: Callable[[Report], None], again: Optional[List[str]], order: bytes
) -> Optional[Dict[str, Any]]:
    """Have a driver work detached; what it reported first, or None when it died before.

    It must report once, either that it began or why it refused, and may then take as long as it
    needs. Everything it prints goes to `updater.log`.

    Args:
        drive: The driver, for a fork of ourselves.
        again: The command that runs the same driver anew, with `order` on its standard input, the
            lines of its reports on its standard output; None when there is no file to run.
    """
    if again is not None and systemd.is_here() and os.geteuid() == 0:
        is_alive, said = _start_in_unit(places, again, order)
        if is_alive:
            return said
        say_in_log(places, "systemd-run did not do: this driver is only forked")
    return _fork(places, drive)


def _fork(places: Places, drive: Callable[[Report], None]) -> Optional[Dict[str, Any]]:
    reading, writing = os.pipe()

    def child() -> None:
        os.close(reading)
        leave_everything(places, keep=writing)
        drive(_reporter(writing))

    _twice_forked(child)
    os.close(writing)
    try:
        return _next_report(reading)
    finally:
        os.close(reading)


def _start_in_unit(
    places: Places, again: List[str], order: bytes
) -> Tuple[bool, Optional[Dict[str, Any]]]:
    """Whether it came to life in a unit of its own, and what it reported first then."""
    reading, writing = os.pipe()
    theirs, ours = os.pipe()
    name = "liftlock-%s-%d-%d.scope" % (places.product, os.getpid(), clock.since_boot() * 1000)
    command = ["systemd-run", "--scope", "--no-ask-password", "--unit=" + name]
    command += ["--description=Liftlock changes " + places.product, "--"] + again

    def child() -> None:
        os.close(reading)
        os.close(ours)
        leave_everything(places, inputs=theirs, outputs=writing)
        os.execvpe(  # noqa: S606 - no shell is the point
            command[0], command, {"PATH": processes.SAFE_PATH, "LANG": "C.UTF-8"}
        )

    _twice_forked(child)
    os.close(writing)
    os.close(theirs)
    try:
        _feed(ours, order)
        first = _next_report(reading)
        return first == ALIVE, _next_report(reading) if first == ALIVE else None
    finally:
        os.close(reading)


def _twice_forked(child_does: Callable[[], None]) -> None:
    """Run something in a grandchild, which is nobody's child any more and has no terminal."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            child_does()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.waitpid(child, 0)


def _feed(fd: int, order: bytes) -> None:
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        write_all(fd, order)
    except BrokenPipeError:
        pass  # nobody reads it: then nobody reports either, and that is what is looked at
    finally:
        signal.signal(signal.SIGPIPE, before)
        os.close(fd)


def leave_everything(
    places: Places, keep: int = -1, inputs: Optional[int] = None, outputs: Optional[int] = None
) -> None:
    """Hold nothing of the session: descriptors, directory, signals, mask of modes.

    With `inputs` and `outputs` these become standard input and output.
    """
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    log = open_log(places)
    os.dup2(null if inputs is None else inputs, 0)
    os.dup2(log if outputs is None else outputs, 1)
    os.dup2(log, 2)
    log_to_stderr()
    highest = os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536
    os.closerange(3, max(3, keep))
    os.closerange(max(3, keep + 1), highest)


def driven(drive: Callable[[Report], None]) -> None:
    """In a driver that was started by `again`: say that we live, then drive.

    Standard output is where reports go; it becomes the log.
    """
    reports = os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    log_to_stderr()
    say(reports, ALIVE)
    drive(_reporter(reports))


def open_log(places: Places) -> int:
    """The log of all drivers of this product; nowhere, when the disk says no."""
    try:
        if os.path.exists(places.log) and os.stat(places.log).st_size > _LOG_BYTES:
            os.rename(places.log, places.log + ".1")
        return os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)  # a full disk stops no undo


def log_to_stderr() -> None:
    """Everything that is logged goes to standard error, which is the log."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG, format="%(asctime)s %(process)d %(message)s"
    )


def say_in_log(places: Places, text: str) -> None:
    """One line in the log, from a process that is no driver; a full disk stops nothing."""
    line = "%s %d %s" % (
        time.strftime("%Y-%m-%d %H:%M:%S,000"),
        os.getpid(),
        " ".join(text.split()),
    )
    fd = open_log(places)
    try:
        with suppress(OSError):  # it is for people; what counts is in the journal
            os.write(fd, line.encode("ascii", "replace") + b"\n")
    finally:
        os.close(fd)


def _reporter(fd: int) -> Report:
    said: List[Dict[str, Any]] = []

    def report(message: Dict[str, Any]) -> None:
        if not said:
            said.append(message)
            say(fd, message)
            os.close(fd)

    return report


def say(fd: int, message: Dict[str, Any]) -> None:
    """Report something; who asked may be gone, and that changes nothing."""
    try:
        write_all(fd, wire.encode(message))
    except BrokenPipeError:
        logging.getLogger("liftlock").info("nobody hears any more: %r", message)


def _next_report(fd: int) -> Optional[Dict[str, Any]]:
    give_up = time.monotonic() + REPORT_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        left = give_up - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return None
        piece = os.read(fd, 1)
        if not piece:
            return None
        line += piece
    return wire.decode(line)
