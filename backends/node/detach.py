"""A driver that lives on when the channel, the operator and the login are gone.

Double fork and a session of its own, all descriptors closed. "Started" means that the driver
itself said so through a pipe, after its first record was durable; never that a fork returned.
"""

import logging
import os
import select
import signal
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

from backends.node import wire
from backends.node.places import Places

REPORT_SECONDS = 30.0
"""How long a driver may take to its first durable record."""

Report = Callable[[Dict[str, Any]], None]


def start(places: Places, drive: Callable[[Report], None]) -> Optional[Dict[str, Any]]:
    """Run `drive(report)` detached; what it reported first, or None when it died before.

    `drive` must report once, either that it began or why it refused, and may then take as long as
    it needs. Everything it prints goes to `updater.log`.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.close(reading)
            _leave_everything(places, writing)
            drive(_reporter(writing))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    os.waitpid(child, 0)
    try:
        return _first_report(reading)
    finally:
        os.close(reading)


def _leave_everything(places: Places, keep: int) -> None:
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        log = os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        log = null  # a full disk stops no undo
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG, format="%(asctime)s %(process)d %(message)s"
    )
    highest = os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536
    os.closerange(3, keep)
    os.closerange(keep + 1, highest)


def _reporter(fd: int) -> Report:
    said: List[Dict[str, Any]] = []

    def report(message: Dict[str, Any]) -> None:
        if not said:
            said.append(message)
            os.write(fd, wire.encode(message))
            os.close(fd)

    return report


def _first_report(fd: int) -> Optional[Dict[str, Any]]:
    give_up = time.monotonic() + REPORT_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        left = give_up - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return None
        piece = os.read(fd, 65536)
        if not piece:
            return None
        line += piece
    return wire.decode(line)
