"""A node that talks without end, beside two that do not: what that costs the operator.

Measured in the same run with and without the flood: memory of the program, how long a key takes
to be answered on the screen, and how often the other nodes can be read. The limits are those of
the notes on reliability, section 6.
"""

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from app.session import open_session
from backends.transport.prompt import Nobody
from tests.drills.sshd import SshCluster, Sshd
from tests.faults.sweeps import Tally
from tests.faults.timings import hold
from tests.hostile.cluster import talking_cluster
from tests.support.pseudoterminal import Pseudoterminal
from widgets.columns import POINTER

MODES = ("lines", "facts", "zeros", "complaints", "beats")

MEMORY_MIB = 16.0
KEY_SECONDS = 0.1
SLOWER = 1.1

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")

_KEYS = 24
"""Keys pressed in each case."""

_ROUNDS, _READS = 9, 20
"""How often quiet and flood alternate, and how often the others are read in each.

A reading takes some 20 ms, and a machine may have other work for seconds: each flood is held
against the quiet before and after it, and the one in the middle of all counts.
"""


def floods(top: Path, sample: int) -> Tally:
    """Each way to talk without end; the first in a sample."""
    tally = Tally()
    with talking_cluster(top) as cluster:
        mode = cluster.top / "mode"
        for each in MODES if sample == 1 else MODES[:1]:
            mode.write_text("quiet")
            with _program(cluster) as screen:
                screen.key_seconds()  # what is made once is made
                screen.most_memory()
                screen.key_seconds()
                before = screen.most_memory()
                mode.write_text(each)
                screen.loses_the_watch(cluster.servers[-1])
                key = _best(screen.key_seconds, KEY_SECONDS)
                hold(tally, f"{each}: a key", key, KEY_SECONDS)
                grown = (screen.most_memory() - before) / (1 << 20)
                hold(tally, f"{each}: memory", grown, MEMORY_MIB, " MiB")
                if screen.terminal.process.poll() is not None:
                    tally.bad.append(f"{each}: the program ended")
            slower = _best(lambda each=each: asyncio.run(_slower(cluster, mode, each)), SLOWER)
            hold(tally, f"{each}: reading the others", slower, SLOWER, " times as long")
    return tally


def _best(measure: Callable[[], float], limit: float) -> float:
    """The best of three tries, or the first that is good: what else this machine does disturbs."""
    found = measure()
    for _ in range(2):
        found = min(found, measure()) if found > limit else found
    return found


async def _slower(cluster: SshCluster, mode: Path, loud: str) -> float:
    """How much longer it takes to read the other nodes while the last one floods us."""
    medians: list[float] = []
    session = open_session(str(cluster.file), prompt=Nobody())
    *others, last = session.contacts.values()
    try:
        for each in [*["quiet", loud] * _ROUNDS, "quiet"]:
            mode.write_text(each)
            took: list[float] = []
            watching = asyncio.create_task(last.watch(lambda _: None))
            for number in range(_READS + 1):
                began = time.monotonic()
                readings = await asyncio.gather(*(contact.read() for contact in others))
                assert all(reading.read for reading in readings)
                if number:  # the first one logs in
                    took.append(time.monotonic() - began)
            medians.append(statistics.median(took))
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await last.close()
    finally:
        await session.close()
    quiet, floods = medians[::2], medians[1::2]
    around = [(before + after) / 2 for before, after in pairwise(quiet)]
    return statistics.median(one / other for one, other in zip(floods, around, strict=True))


class Screen:
    """The program on the whole cluster."""

    def __init__(self, terminal: Pseudoterminal) -> None:
        self.terminal = terminal

    def key_seconds(self) -> float:
        """How long it takes until the cursor is on the next node, in 19 of 20 cases."""
        took = []
        for number in range(_KEYS):
            key, node = ((b"j", "n2"), (b"k", "n1"))[number % 2]
            before = len(self.terminal.written)
            self.terminal.presses(key)
            pointed = re.compile(f"{POINTER.text}[^\x1b]*{node}".encode())
            took.append(
                self.terminal.waits(
                    lambda written, pointed=pointed: pointed.search(_COLOUR.sub(b"", written)),
                    after=before,
                )
            )
            self.terminal.passes(0.1)
        return statistics.quantiles(took, n=20)[-1]

    def loses_the_watch(self, server: Sshd) -> None:
        """Have the present watch of a node end: the next one says what the mode says."""
        server.kill_sessions()
        self.terminal.passes(3.0)

    def most_memory(self) -> int:
        """The most memory since this was asked last, in bytes."""
        process = Path(f"/proc/{self.terminal.process.pid}")
        lines = (process / "status").read_text().splitlines()
        (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        (process / "clear_refs").write_text("5")
        return int(kib) << 10


@contextmanager
def _program(cluster: SshCluster) -> Iterator[Screen]:
    words = (sys.executable, "-m", "app", str(cluster.file))
    with Pseudoterminal(*words, environment=cluster.environment) as terminal:
        terminal.sees(b"SETTLED")
        terminal.passes(2.0)
        yield Screen(terminal)
