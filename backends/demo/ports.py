"""TCP ports on loopback that stay free for whoever gives one up for a moment."""

import random
import socket
from collections.abc import Iterable

from backends.domain.problem import Exit, LiftlockError, Problem

RANGE = range(20_000, 32_000)
"""Below the ports that Linux hands out by itself, from 32768: a beacon that is upgraded gives its
port up and takes it again, and no client may sit on it then."""

_TRIES = 2_000


def is_free(port: int) -> bool:
    """Whether one can listen there at this moment."""
    probe = _listen(port)
    if probe is None:
        return False
    probe.close()
    return True


def free_ports(count: int, taken: Iterable[int] = ()) -> list[int]:
    """So many different ports that are free at this moment and not among `taken`.

    Raises:
        LiftlockError: `demo-ports`, exit 2: not so many were found.
    """
    avoided = set(taken)
    probes: dict[int, socket.socket] = {}
    try:
        for _ in range(_TRIES):
            if len(probes) == count:
                break
            port = random.choice(RANGE)  # noqa: S311 - no secret
            probe = None if port in avoided or port in probes else _listen(port)
            if probe is not None:
                probes[port] = probe  # kept, so that nobody else finds the same
        if len(probes) < count:
            raise LiftlockError(
                Problem(
                    "demo-ports",
                    f"Too few free ports: {len(probes)} of {count}.",
                    f"127.0.0.1, {RANGE.start} to {RANGE.stop - 1}",
                    "End what listens there, or take fewer nodes.",
                ),
                Exit.USAGE,
            )
        return [*probes]
    finally:
        for probe in probes.values():
            probe.close()


def _listen(port: int) -> socket.socket | None:
    """A listening socket; None when somebody else has the port.

    Connections that have just ended do not count, as they do not for a beacon.
    """
    probe = socket.socket()
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen(1)
    except OSError:
        probe.close()
        return None
    return probe
