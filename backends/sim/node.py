"""A node made of memory: what lies on its disk, what runs on it, and what is wrong with it.

It keeps what a real node keeps between two visits of the updater, and nothing else: a product's
directory, names of checks and limits come with each request. What the updater does is in
`driver.py` and `commands.py`; how one gets there is in `link.py`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from backends.domain.problem import Problem
from backends.sim.behaviour import HEALTHY, Behaviour, Durations
from backends.sim.clock import SimClock
from backends.sim.content import Content, Tree, sha256_of
from backends.sim.records import Records
from backends.sim.routine import Routine

_DAY = 86_400
_TICKS = 100
"""Clock ticks in a second, as in a process's start time."""


class Reached(Protocol):
    """A channel that is open to this node."""

    def cut(self) -> None: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Process:
    """The service's process."""

    version: str
    pid: int
    start: int
    """Clock ticks since boot."""

    since: float
    """When it began, by the clock."""

    @property
    def identity(self) -> str:
        """`start_id`: pid and start time."""
        return f"{self.pid}:{self.start}"


@dataclass
class Transaction:
    """The upgrade that is open, or was."""

    plan: Mapping[str, Any]
    journal: Records
    updater: str
    steps: list["Step"] = field(default_factory=list)

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """Its records so far."""
        return self.journal.all


@dataclass
class Step:
    """One path that a transaction changes."""

    number: int
    path: str
    before: str
    """What was there: absent, file or dir."""

    is_done: bool = False


@dataclass
class Disk:
    """What outlives every visit."""

    trees: dict[str, Tree] = field(default_factory=dict)
    pointer: str | None = None
    staging: dict[str, Tree] = field(default_factory=dict)
    store: dict[int, Tree] = field(default_factory=dict)
    """Directories that stood where a step puts another one."""

    marks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was said to be staged: version -> digest, run, checked."""

    manifests: dict[str, Content] = field(default_factory=dict)
    nexts: dict[str, Content] = field(default_factory=dict)
    """The final version with other configuration, until that is final."""

    provenance: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Who vouches for what was staged: version -> by, key, imported, packaged."""

    blobs: dict[str, int] = field(default_factory=dict)
    parts: dict[str, bytearray] = field(default_factory=dict)
    """Blobs that have arrived in part."""

    finalized: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    run: dict[str, Any] | None = None
    started: Process | None = None
    restarting: dict[str, Any] | None = None
    """The restart that was begun and has no end yet."""

    floor: int = -1
    has_home: bool = False
    has_beside: bool = False
    disabled: str | None = None
    conflicts: list[str] = field(default_factory=list)
    done: dict[str, Transaction] = field(default_factory=dict)
    own: Records | None = None
    """The product's own journal, outside of transactions."""

    active: Transaction | None = None

    def record_of(self, version: str, digest: str | None) -> Content | None:
        """What is recorded of a version; of the content with this digest where both are known."""
        coming = self.nexts.get(version)
        if coming is not None and coming.digest == digest:
            return coming
        return self.manifests.get(version)


class SimNode:
    """One simulated node with one product."""

    def __init__(
        self,
        name: str,
        clock: SimClock,
        *,
        behaviours: Mapping[str, Behaviour] | None = None,
        durations: Durations | None = None,
        user: int = 0,
    ) -> None:
        """`behaviours` by version; a version that is not named is healthy."""
        self.name = name
        self.clock = clock
        self.behaviours: dict[str, Behaviour] = dict(behaviours or {})
        self.durations = durations or Durations()
        self.user = user
        self.python = "3.11.2"
        self.disk = Disk()
        self.process: Process | None = None
        self.driver: Routine | None = None
        self.owner: dict[str, Any] = {}
        """Who had the driver lock last: run, operator, command, since."""

        self.unreachable: Problem | None = None
        """Why nobody gets to this node; None: one does."""

        self.leads = False
        """Whether its product leads the others, where the profile asks."""

        self.has_python = True
        self.free_bytes: int | None = None
        """Room on its disk; None: more than anybody needs."""

        self.clock_skew = 0.0
        """How wrong its clock is, whatever the operator's clock says."""

        self.values: dict[str, object] = {}
        """What is read of the values that a profile names."""

        self.rows: dict[str, tuple[str, str]] = {}
        """Checks that say something else on this node: name -> result and evidence."""

        self.logins = 0
        self.cuts = 0
        self.listeners: list[Callable[[], None]] = []
        """Told after each change of what a look at this node shows."""

        self.channels: list[Reached] = []
        self._silent = False
        self._waiting: list[asyncio.Future[None]] = []
        self._boots = 0
        self._boot_id = ""
        self._boot_at = 0.0
        self._next_pid = 0
        self._boot()

    # --- times and names --------------------------------------------------------------------

    @property
    def boot_id(self) -> str:
        """Names this boot."""
        return self._boot_id

    def since_boot(self) -> float:
        """Seconds since this boot."""
        return self.clock.now() - self._boot_at

    def stamp(self) -> dict[str, object]:
        """The three times that every record carries."""
        return {
            "bt": round(self.since_boot(), 3),
            "bid": self._boot_id,
            "wt": round(self.clock.now(), 3),
        }

    def behaviour(self, version: str) -> Behaviour:
        """How a version behaves here."""
        return self.behaviours.get(version, HEALTHY)

    def changed(self) -> None:
        """Tell whoever looks at this node that something is new."""
        for listener in tuple(self.listeners):
            listener()

    # --- what a person or an accident does --------------------------------------------------

    def put_in_place(self, content: Content, *, start: bool = True) -> None:
        """Unpack a version, point to it and start it, by hand: no updater knows of it."""
        self.disk.trees[content.version] = Tree(content)
        self.select(content.version)
        if start:
            self.start_service(content.version)

    def select(self, version: str | None) -> None:
        """Change the pointer by hand."""
        self.disk.pointer = version
        self.changed()

    def change_file(self, version: str, path: str) -> None:
        """Edit a file of a version by hand; one that it does not have is added."""
        tree = self.disk.trees[version]
        known = any(each["path"] == path for each in tree.content.files)
        (tree.changed if known else tree.extra).add(path)

    def start_service(self, version: str) -> Process:
        """Start a version; the one that ran before is gone."""
        self._next_pid += 7
        now = self.clock.now()
        process = Process(version, self._next_pid, round(self.since_boot() * _TICKS), now)
        self.process = process
        for seconds in self.behaviour(version).turns:
            self.clock.call_at(now + seconds, self.changed)
        self.changed()
        return process

    def stop_service(self) -> None:
        """End the service's process, as a kill would."""
        self.process = None
        self.changed()

    def disable(self, reason: str | None) -> None:
        """Mark this node as closed to upgrades, or open it again."""
        self.disk.disabled = reason
        self.changed()

    def kill_driver(self) -> None:
        """End the updater's driver where it stands, as a kill would."""
        if self.driver is not None:
            self.driver.stop()
            self.driver = None
            self.changed()

    def reboot(self, *, starts: bool = True) -> None:
        """A power cut: driver and channels are gone; the selected version `starts` again."""
        self.cut()
        self.kill_driver()
        self.process = None
        self._boot()
        if starts and self.disk.pointer is not None:
            self.start_service(self.disk.pointer)
        self.changed()

    def cut(self) -> None:
        """Break every channel that is open to this node; it goes on by itself."""
        self.cuts += 1
        for channel in tuple(self.channels):
            channel.cut()

    @property
    def silent(self) -> bool:
        """Whether nothing comes or goes any more, and nobody is told."""
        return self._silent

    @silent.setter
    def silent(self, is_silent: bool) -> None:
        self._silent = is_silent
        if is_silent:
            return
        for channel in tuple(self.channels):
            channel.release()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def audible(self) -> None:
        """Wait until this node is no longer silent."""
        while self._silent:
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]

    def _boot(self) -> None:
        self._boots += 1
        seed = sha256_of(f"{self.name} {self._boots}".encode())
        parts = (seed[:8], seed[8:12], seed[12:16], seed[16:20], seed[20:32])
        self._boot_id = "-".join(parts)
        before = 40.0 if self._boots > 1 else 3 * _DAY + int(seed[32:36], 16)
        self._boot_at = self.clock.now() - before
        self._next_pid = 600 + int(seed[36:39], 16)
