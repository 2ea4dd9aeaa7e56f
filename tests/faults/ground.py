"""A cluster whose start is kept, and operators who come to it, each with a state of their own.

On it runs an operator's program until its so-manieth event, and not an event longer.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import once
from tests.support.cluster import Cluster
from tests.support.node import holders, wait_until
from tests.support.served import served

OLD, NEW = "4.11.0", "4.12.0"

NODES = 3

_LIMITS = {
    "connect": "5s",
    "min_healthy": "300ms",
    "healthy_deadline": "20s",
    "accept_window": "90s",
    "health_poll": "100ms",
}
"""Whoever goes on has time enough, also on a machine that has other things to do."""

_WRITTEN_BY_SERVICE = ("beacon.pid", "beacon.log")
_LONG_SECONDS = 120.0
_STARTED_MARGIN_SECONDS = 0.05
"""A process's start is known to 10 ms: what is as young as that counts as its own."""


@dataclass(frozen=True)
class Said:
    """What an operator's program said until it ended, or was killed."""

    words: tuple[str, ...]
    exit: int
    lines: tuple[dict[str, Any], ...]
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Without the outcome."""
        return [line for line in self.lines if line["schema"] == "liftlock.event/1"]

    @property
    def outcome(self) -> dict[str, Any] | None:
        """The last line, when it came to that."""
        last = self.lines[-1] if self.lines else {}
        return last if last.get("schema") == "liftlock.outcome/1" else None

    @property
    def code(self) -> str:
        """The code of the problem that it was refused with, or nothing."""
        problem = (self.outcome or {}).get("problem")
        return str(problem["code"]) if problem else ""

    @property
    def killed(self) -> bool:
        """Whether it did not come to its end."""
        return self.exit == -signal.SIGKILL

    def text(self) -> str:
        """For a person who has to find out what was wrong."""
        last = self.outcome or (self.lines[-1] if self.lines else {})
        return f"{self.words[0]}: exit {self.exit}: {json.dumps(last)[:600]} {self.err[-600:]}"


class Ground:
    """Nodes that are put back to a start of theirs, and operators who have nothing in common."""

    def __init__(self, top: Path, nodes: Mapping[str, Path], file: Path, release: Path) -> None:
        """`nodes` are the directories that hold `state` and `opt` of each."""
        self.top = top
        self.nodes = dict(nodes)
        self.file = file
        self.release = release
        self.spared: set[int] = set()
        """Processes that are no part of a node, and stay."""

        self._operators = 0
        self._kept: dict[str, dict[str, dict[str, str]]] = {}
        for name in ("home", "tmp", "kept"):
            (top / name).mkdir()

    # --- operators ----------------------------------------------------------------------------

    def operator(self, *words: str, kill_at: int | None = None) -> Said:
        """A command of an operator who never was here before, killed at its so-manieth event."""
        self._operators += 1
        process = subprocess.Popen(
            [sys.executable, "-m", "app", words[0], str(self.file), *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(self.top / "operators" / str(self._operators)),
        )
        assert process.stdout is not None
        read: list[bytes] = []
        try:
            for line in process.stdout:
                read.append(line)
                if len(read) == kill_at:
                    process.kill()
            _, err = process.communicate(timeout=_LONG_SECONDS)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        lines = [json.loads(line) for line in read if line.endswith(b"\n")]
        return Said(words, process.returncode, tuple(lines), err.decode())

    def upgrade(self, kill_at: int | None = None) -> Said:
        """The upgrade, from its beginning."""
        more = ("--json", "--yes", "--pause", "none")
        return self.operator("upgrade", str(self.release), *more, kill_at=kill_at)

    def resume(self, kill_at: int | None = None) -> Said:
        """What is open on the nodes, taken up."""
        more = ("--json", "--yes", "--pause", "none")
        return self.operator("resume", str(self.release), *more, kill_at=kill_at)

    def roll_back(self, kill_at: int | None = None) -> Said:
        """All of it back."""
        return self.operator("rollback", "--json", "--yes", kill_at=kill_at)

    def _environment(self, state: Path) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.top / "home"),
            "TMPDIR": str(self.top / "tmp"),
            "LIFTLOCK_STATE_DIR": str(state),
            "LIFTLOCK_CONFIG_DIR": str(self.top / "config"),
        }

    # --- nodes --------------------------------------------------------------------------------

    def product_home(self, name: str) -> Path:
        """A node's state of the product."""
        return self.nodes[name] / "state" / "beacon"

    def tree(self, name: str, version: str) -> Path:
        """Where a version lies on a node."""
        return self.nodes[name] / "opt" / "beacon" / version

    def opened(self) -> dict[str, str]:
        """Nodes with an open transaction, and the run that has opened it."""
        found = {name: once.opened(self.product_home(name)) for name in self.nodes}
        return {name: run for name, run in found.items() if run is not None}

    def starts(self, name: str, version: str) -> int:
        """How often a version was started on a node, as the service itself says."""
        try:
            lines = (self.tree(name, version) / "beacon.log").read_text().splitlines()
        except FileNotFoundError:
            return 0
        return sum(line.startswith(f"beacon {version} on port") for line in lines)

    def keep(self, start: str, version: str) -> None:
        """Keep what lies on the nodes; all of them run this version, and nothing is at work."""
        environments = {}
        for name, folder in self.nodes.items():
            pid = int((self.tree(name, version) / "beacon.pid").read_text())
            environments[name] = _environment_of(pid)
            shutil.copytree(folder, self.top / "kept" / start / name, symlinks=True)
        self._kept[start] = environments

    def put_back(self, start: str, version: str) -> None:
        """As if every node had been switched off, its disk put back, and switched on again."""
        self.end_all()
        shutil.rmtree(self.top / "operators", ignore_errors=True)
        for name, folder in self.nodes.items():
            shutil.rmtree(folder)
            shutil.copytree(self.top / "kept" / start / name, folder, symlinks=True)
            for each in _WRITTEN_BY_SERVICE:
                for path in (folder / "opt" / "beacon").glob(f"*/{each}"):
                    path.unlink()
        time.sleep(_STARTED_MARGIN_SECONDS)
        for name in self.nodes:
            subprocess.run(
                [self.tree(name, version) / "control", "start"],
                env=self._kept[start][name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                check=True,
            )
            wait_until((self.tree(name, version) / "beacon.log").read_text)

    def services(self) -> list[int]:
        """The processes that the nodes are there for."""
        pids = self._processes()
        return [pid for pid in pids if b"beacon.py" in _read(pid, "cmdline")]

    def others(self) -> list[int]:
        """Processes that are neither services nor to be spared: updaters, and whom they serve."""
        services = set(self.services())
        return [pid for pid in self._processes() if pid not in services]

    def lock_holders(self) -> list[int]:
        """Who holds a lock of a node."""
        return [pid for name in self.nodes for pid in holders(self.product_home(name) / "lock")]

    def end_all(self) -> None:
        """End every process of every node and operator, by its id."""

        def gone() -> bool:
            left = self._processes()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_until(gone)

    def _processes(self) -> list[int]:
        """All that name the ground: as an argument, as their directory, in their environment."""
        mark = os.fsencode(f"{self.top}/")
        return [
            pid
            for pid in (int(name) for name in os.listdir("/proc") if name.isdigit())
            if pid not in self.spared | {os.getpid()}
            and any(mark in _read(pid, what) for what in ("cmdline", "cwd", "environ"))
        ]


def _read(pid: int, what: str) -> bytes:
    """What the kernel says of a process; nothing of one that is gone or dead, or not ours."""
    path = f"/proc/{pid}/{what}"
    try:
        if what == "cwd":
            return os.fsencode(os.readlink(path)) + b"/"
        return Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _environment_of(pid: int) -> dict[str, str]:
    pairs = [each.decode().partition("=") for each in _read(pid, "environ").split(b"\0") if each]
    assert pairs, f"the service of pid {pid} is gone"
    return {name: value for name, _, value in pairs}


@contextmanager
def local_ground(top: Path) -> Iterator[Ground]:
    """Three nodes on this machine, without SSH: most of the time is the upgrade's own."""
    cluster = Cluster(top / "harbor", NODES, **_LIMITS)
    try:
        cluster.settle(OLD)
        release = cluster.release(NEW)
        nodes = {name: cluster.top / name for name in cluster.names}
        with _ended(Ground(top, nodes, cluster.file, release)) as ground:
            ground.keep("settled", OLD)
            yield ground
    finally:
        cluster.close()


@contextmanager
def ssh_ground(top: Path) -> Iterator[Ground]:
    """Three nodes of the demo: real SSH servers, keys and signatures."""
    with served(top, NODES) as demo:
        limits = {rf"{name} = .*": f'{name} = "{value}"' for name, value in _LIMITS.items()}
        # Each operator has a state of their own.
        file = demo.variant("ground.toml", {**limits, "operator_state = .*": ""})
        nodes = {f"n{n}": demo.directory / "nodes" / f"n{n}" for n in range(1, NODES + 1)}
        release = Path(demo.said["releases"][NEW])
        with _ended(Ground(top, nodes, file, release)) as ground:
            ground.spared.add(demo.process.pid)
            ground.keep("settled", OLD)
            yield ground


@contextmanager
def _ended(ground: Ground) -> Iterator[Ground]:
    try:
        yield ground
    finally:
        ground.end_all()


GROUNDS: dict[str, Callable[[Path], Any]] = {"local": local_ground, "ssh": ssh_ground}
