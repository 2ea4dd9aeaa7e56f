"""Row 5: power cuts. The image behind a mounted file system is copied at each call.

What was not synced is not in the copy: it is the disk as it would be found after the power was cut
at that moment. The copy is mounted in the original's place, the updater recovers on it, and all is
judged, with one oracle more: what was acknowledged as decided before the cut is decided after it.
"""

import ctypes
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.node import places, transaction
from backends.node.journal import Journal
from tests.faults.bench import Bench, Phase, attempt, in_child, run
from tests.faults.injector import Injector
from tests.faults.oracle import Oracle
from tests.faults.sweeps import Tally

PHASES: dict[str, tuple[str, Callable[[Bench], Any]]] = {
    "install": ("staged", lambda bench: bench.install("keep_if_healthy")),
    "rollback": ("accepted", lambda bench: bench.roll_back()),
    "finalize": ("accepted", lambda bench: bench.finalize()),
}

_NEW_MOUNTS = 0x00020000


@dataclass(frozen=True)
class FileSystem:
    """How one is made and mounted."""

    name: str
    size: str
    make: tuple[str, ...]
    options: str = ""


FILE_SYSTEMS = (
    FileSystem("ext4", "16M", ("mkfs.ext4", "-q", "-F")),
    FileSystem("xfs", "300M", ("mkfs.xfs", "-q", "-f"), "nouuid"),
    FileSystem("btrfs", "114M", ("mkfs.btrfs", "-q", "-f")),
)


class NoTool(Exception):
    """A power cut cannot be made here: the text says what is missing."""


def own_mounts() -> None:
    """Mounts of this process and its children are theirs alone, and end with them.

    Raises NoTool when the system does not let us.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0:
        raise NoTool(f"no mounts of our own: {os.strerror(ctypes.get_errno())}")
    _call("mount", "--make-rprivate", "/")


def _call(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoTool(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        raise NoTool(f"{' '.join(words)}: {done.stderr.strip()}")


class Disk:
    """A file system in an image file, mounted at one place; images can be exchanged below it."""

    def __init__(self, system: FileSystem, folder: Path) -> None:
        self.system = system
        self.top = folder / "mounted"
        self.image = folder / "image"
        folder.mkdir(parents=True)
        self.top.mkdir()
        with self.image.open("wb") as stream:
            stream.truncate(_bytes(system.size))
        _call(*system.make, str(self.image))
        self._is_mounted = False

    def mount(self) -> None:
        """Mount what is in the image now."""
        if self.system.name == "btrfs":
            # It remembers devices by their id, and copies have the same one.
            _call("btrfs", "device", "scan", "--forget")
        options = ",".join(["loop", *filter(None, [self.system.options])])
        _call("mount", "-t", self.system.name, "-o", options, str(self.image), str(self.top))
        self._is_mounted = True

    def unmount(self) -> None:
        """Take it off; what was not written yet is written then."""
        if self._is_mounted:
            _call("umount", str(self.top))
            self._is_mounted = False

    def keep(self, goal: Path) -> None:
        """Copy the image as it is at this moment, mounted or not."""
        _copy(self.image, goal)

    def put_back(self, source: Path) -> None:
        """Have another image in its place, mounted."""
        self.unmount()
        _copy(source, self.image)
        self.mount()


def _copy(source: Path, goal: Path) -> None:
    """With its holes: what was never written takes no time."""
    with source.open("rb") as old, goal.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:
                return  # only a hole is left
            end = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            while at < end:
                piece = os.pread(old.fileno(), min(1 << 20, end - at), at)
                at += os.pwrite(new.fileno(), piece, at)


def _bytes(size: str) -> int:
    return int(size[:-1]) << 20


class Cut(Injector):
    """Keeps the image before the k-th call, and ends the process: that was the power."""

    def __init__(self, at: int, disk: Disk, goal: Path) -> None:
        super().__init__(at, "kill", like="cut")  # to a disk, syncs are all the difference
        self._disk = disk
        self._goal = goal

    def _hit(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._disk.keep(self._goal)
        super()._hit(name, real, args)


class PowerBench(Bench):
    """A bench whose node lies on a disk of its own."""

    def __init__(self, folder: Path, layout: str, system: FileSystem) -> None:
        self.folder = folder
        self.disk = Disk(system, folder / "disk")
        self.disk.mount()
        self.said = folder / "said"
        super().__init__(self.disk.top, layout, small=True, book=folder / "running")
        self.log = folder / "child.log"
        # What is laid down and what is copied need not lie on it a second time.
        shutil.rmtree(self.top / "staged")
        self._keep_template("staged")
        self.disk.put_back(folder / "staged")
        run(self, lambda: self.install("keep_if_healthy"))
        self._keep_template("accepted")
        self.disk.mount()

    def _keep_template(self, name: str) -> None:
        self.disk.unmount()
        self.disk.keep(self.folder / name)

    def reset(self, name: str) -> None:
        """The very same disk again, with the same inodes."""
        self.disk.put_back(self.folder / name)
        self.book.write_text("2.0" if name == "accepted" else self.before)

    def boot(self, image: Path) -> None:
        """What was on the disk when the power was cut; nothing runs."""
        self.disk.put_back(image)
        self.book.write_text("")

    def acknowledged(self, phase: Phase) -> Phase:
        """The phase, with each decision told outside of the disk once it was acknowledged."""
        said = self.said
        said.unlink(missing_ok=True)

        def told() -> Any:
            plain = transaction.Transaction.decide

            def decide(self: Any, kind: str, *args: Any, **fields: Any) -> str | None:
                reason = plain(self, kind, *args, **fields)
                if reason is None:
                    with said.open("a") as stream:
                        stream.write(json.dumps(kind) + "\n")
                return reason

            transaction.Transaction.decide = decide  # type: ignore[assignment, method-assign]
            return phase()

        return told

    def last_acknowledged(self) -> list[str]:
        """The decisions that were acknowledged before the cut."""
        if not self.said.exists():
            return []
        return [json.loads(line) for line in self.said.read_text().splitlines()]

    def decisions(self) -> list[str]:
        """The decisions in the journal of the transaction that is open, or was the last."""
        folder = self.places.active
        if not os.path.isdir(folder):
            names = places.names_in(self.places.done)
            if not names:
                return []
            folder = os.path.join(self.places.done, names[-1])
        book = Journal(os.path.join(folder, "journal"))
        book.close()
        return [record["t"] for record in book.records]


class PowerOracle(Oracle):
    """After a boot nothing runs that recovery had no reason to start."""

    may_run_instead = ("",)


@contextmanager
def power_bench(folder: Path, layout: str, system: FileSystem) -> Iterator[PowerBench]:
    """A bench on a disk of its own, unmounted afterwards."""
    own_mounts()
    made = PowerBench(folder, layout, system)
    try:
        yield made
    finally:
        made.disk.unmount()


def cuts(bench: PowerBench, phase: str, sample: int = 1, shift: int = 0) -> Tally:
    """The power goes at each call of a phase."""
    template, work = PHASES[phase]
    oracle = PowerOracle(bench)
    tally = Tally()
    kept = bench.folder / "cut"

    def judged() -> None:
        missing = [kind for kind in bench.last_acknowledged() if kind not in bench.decisions()]
        assert not missing, f"acknowledged and gone: {missing}"
        run(bench, bench.recover)
        oracle.judge()

    for point in range(shift % sample, _length(bench, phase), sample):
        bench.reset(template)
        attempt(bench, bench.acknowledged(lambda: work(bench)), Cut(point, bench.disk, kept))
        bench.boot(kept)
        tally.judge(f"{bench.disk.system.name} {phase} cut at {point}", bench, judged)
    return tally


def cuts_in_recovery(bench: PowerBench, sample: int = 1, shift: int = 0) -> Tally:
    """The power goes in an install, and again at each call of the recovery from that."""
    oracle = PowerOracle(bench)
    tally = Tally()
    first, second = bench.folder / "first", bench.folder / "second"
    step = max(1, round(sample**0.5))

    def judged() -> None:
        run(bench, bench.recover)
        oracle.judge()

    for point in range(shift % step, _length(bench, "install"), step):
        bench.reset("staged")
        attempt(bench, lambda: bench.install("keep_if_healthy"), Cut(point, bench.disk, first))
        again = (shift + point) % step
        while True:
            bench.boot(first)
            status, _ = in_child(bench, bench.recover, Cut(again, bench.disk, second))
            if not os.WIFSIGNALED(status):
                break
            bench.boot(second)
            name = f"{bench.disk.system.name} install cut at {point}, recovery at {again}"
            tally.judge(name, bench, judged)
            again += step
    return tally


def _length(bench: PowerBench, phase: str) -> int:
    template, work = PHASES[phase]
    with bench.without_seed():
        bench.reset(template)
        return run(bench, lambda: work(bench))
