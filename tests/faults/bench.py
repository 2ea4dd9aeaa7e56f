"""A node of real files and a service that is one line in a file: what the sweeps break.

Phases of the updater run in child processes, with the mutating calls of `os` wrapped by an
`Injector`: the k-th one kills the process, tears its write, or fails. Then a fresh process
recovers, and an `Oracle` holds what lies there against what lay there before.
"""

import hashlib
import io
import os
import shutil
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends.node import (
    configuration,
    finish,
    install,
    journal,
    layouts,
    monitor,
    places,
    recover,
    rollback,
    stage,
    standing,
    transaction,
    wire,
)
from tests.faults import trees
from tests.faults.injector import CALLS, REAL, Injector
from tests.faults.ledger import Ledger
from tests.faults.picture import Picture, picture
from tests.support import beacon

WRITTEN = ("etc/kept.conf", "/table")
"""What 2.0 writes into when it starts."""

Phase = Callable[[], Any]

PARTS = ["inputs", "deep/ncf"]
LAYOUTS = ("versions", "overlay", "swap")
BENCHES = (*LAYOUTS, *(f"{layout} from nothing" for layout in LAYOUTS))
"""What a bench is made with: a layout, and whether its upgrade is a first install."""

AGAIN = tuple(f"{layout} again" for layout in LAYOUTS)
"""The version that is there, and has drifted, is installed again."""

CONFIGURED = tuple(f"{layout} configured" for layout in LAYOUTS)
"""The version that is there is installed with other configuration."""

_CONTENT = {"again": trees.drifted, "configured": trees.reconfigured}
_BEFORE = {"from nothing": "", "again": "2.0", "configured": "2.0"}


class Bench:
    """A node on which 1.0 runs and 2.0 is staged, and the phases that can be run on it."""

    def __init__(
        self,
        top: Path,
        layout: str,
        small: bool = False,
        book: Path | None = None,
        content: tuple[trees.Release, trees.Release, trees.Tree] | None = None,
    ) -> None:
        self.top = top
        self.log = top / "child.log"
        self.name = layout
        layout, _, way = layout.partition(" ")
        self.layout = layout
        self.seed: Phase | None = None
        """A fault of `seeds` that is planted in each child."""

        self.node = top / "node"
        content = content or _CONTENT.get(way, trees.of_layout)(layout)
        self.old, self.new, self._live = trees.small(content) if small else content
        directory = str(self.node / "opt" / "beacon")
        self.document = beacon.document(
            directory,
            1,
            "-",
            layout=layout,
            keep=trees.KEEP,
            config=trees.CONFIG,
            directories=PARTS if layout == "swap" else [],
            health=[],
        )
        self.book = book or self.node / "opt" / "running"
        self.document["service"]["log"] = None
        self.document["values"]["book"] = str(self.book)
        self.unit = self.node / "etc" / "unit"
        """The definition of the service, and beside it the mark that it is enabled."""

        # Twice and three times, one layout is enough for what is the same in all of them.
        has_more = not small or layout == "versions"
        unit = "inputs/unit" if layout == "swap" else "unit"
        self.document["values"]["unit"] = str(self.unit)
        self.document["service"]["definition"] = unit if has_more else None
        self.document["limits"].update(min_healthy=0.0, accept_window=0.0, health_poll=0.0)
        self.places = layouts.places_of(str(self.node / "state"), self.document)
        self.data = self.node / "var" / "db"
        """Data that 2.0 converts when it starts; on the way back it is as before."""

        self.document["values"]["table"] = str(self.data / "table")
        if has_more:
            self.document["data"].update(directories=[str(self.data)], unattended="restore")
        self.book.parent.mkdir(parents=True, exist_ok=True)
        self.unit.parent.mkdir(parents=True)
        trees.lay(self.data, {"table": trees.text("format 1\n", 0o640), "log": trees.text("x\n")})
        self.places.make_home()
        self.places.make_beside()
        self.before = _BEFORE.get(way, "1.0")
        """The version that runs before; none for a first install."""

        self.book.write_text(self.before)
        self.previous: dict[str, Any] | None = None
        if self.before:
            self._lay_down()
        self.stage()
        os.utime(self.places.directory, ns=(trees.WHEN, trees.WHEN))
        self._copy(self.node, top / "staged")

    @contextmanager
    def without_seed(self) -> Iterator[None]:
        """For what must be as it is without the fault."""
        seed, self.seed = self.seed, None
        try:
            yield
        finally:
            self.seed = seed

    # --- states ---

    def _lay_down(self) -> None:
        trees.lay(Path(self.places.directory), self._live)
        version = self.before
        about = {"version": version, "digest": self.old.digest, "packaged": self.old.packaged}
        places.write_json(
            self.places.manifest(version),
            {**about, "sequence": 1, "files": self.old.files, "source": "release"},
        )
        if self.places.flat:
            places.write_file(self.places.selected, version.encode() + b"\n", 0o644)
        if self.document["service"]["definition"]:
            self.unit.write_text(f"unit {version[0]}\n")
            os.utime(self.unit, ns=(trees.WHEN, trees.WHEN))
            Path(f"{self.unit}.enabled").touch()
        places.write_json(
            self.places.finalized, {**about, "run": "r0", "previous": None, "time": 1.0}
        )
        path = self.places.tree(version)
        self.previous = {"version": version, "digest": self.old.digest, "path": path}

    def stage(self) -> None:
        """Stage the new version, in this process."""
        manifest = self.new.manifest
        sha = hashlib.sha256(manifest).hexdigest()
        line = _Line(wire.frame_header(sha, 0, len(manifest)) + manifest)
        for thing in self.new.fetched.values():
            data = thing.content or b""
            name = hashlib.sha256(data).hexdigest()
            line.add(wire.frame_header(name, 0, len(data)) + data)

        def send(message: dict[str, Any]) -> None:
            for name, offset, _ in message["blobs"] if message["t"] == "need" else ():
                data = self.new.blob(name)[offset:]
                line.add(wire.frame_header(name, offset, len(data)) + data)
            if message["t"] == "send":
                line.add(wire.END_OF_FRAMES)

        args = {
            "run": "r1",
            "version": "2.0",
            "digest": self.new.digest,
            "packaged": self.new.packaged,
            "configuration": self.new.configuration,
            "manifest": {"sha256": sha, "size": len(manifest)},
            "plan": {"run": "r1"},
        }
        stage.stage(layouts.layout_of(self.document, self.places), args, line, send)
        mark = os.path.join(self.places.staged, "2.0.json")
        places.write_json(mark, dict(places.read_json(mark) or {}, checked=True))

    def reset(self, name: str) -> None:
        """Make the node what it was when 2.0 was `staged`, or `accepted`.

        What is accepted is installed anew each time: a copy would not be the same inodes.
        """
        shutil.rmtree(self.node)
        self._copy(self.top / "staged", self.node)
        if name == "accepted":
            run(self, lambda: self.install("keep_if_healthy"))

    def _copy(self, source: Path, goal: Path) -> None:
        """With owners and second names, which `shutil` does not keep."""
        copy_tree(str(source), str(goal), {})

    # --- phases, each run in a child ---

    def install(self, policy: str) -> str:
        """From BEGIN to ACCEPT (keep_if_healthy) or back again (rollback)."""
        order = {
            "product": self.document,
            "run": "r1",
            "version": "2.0",
            "digest": self.new.digest,
            "previous": self.previous,
            "decided": self.decided(),
            "policy": {
                "if_operator_vanishes": policy,
                "on_failure": "rollback",
                "second_layer": "none",
            },
            "operator": "ann@jump",
        }
        return install.drive(self.places, order, "0" * 64, lambda made: None)

    def decided(self) -> dict[str, list[str]]:
        """What becomes of the configuration, as the command says before it begins."""
        layout = layouts.layout_of(self.document, self.places)
        return configuration.decide(layout, "2.0", self.new.digest)._asdict()

    def roll_back(self) -> str:
        """From the accepted version to the old one."""
        opened = self.opened()
        opened.decide("ROLLBACK", why="drill", by="ann@jump")
        return rollback.undo(opened)

    def finalize(self) -> str:
        """Give up the way back."""
        opened = self.opened()
        assert opened.decide("FINALIZE", by="ann@jump") is None
        finish.complete(opened)
        return "ok"

    def recover(self) -> str:
        """What the next acting command does."""
        return recover.recover(self.places, transaction.load(self.places))

    def opened(self) -> transaction.Transaction:
        """The open transaction."""
        found = transaction.load(self.places)
        assert found is not None
        return found

    # --- looking ---

    def product(self) -> Picture:
        """The product's directory without our own folder, and which version is selected.

        Where 2.0 runs before, too, what it writes into when it starts again is no part of it.
        """
        found = {
            name: about
            for name, about in picture(Path(self.places.directory)).items()
            if name.split("/")[0] != ".liftlock"
        }
        if self.places.flat:
            record = Path(self.places.selected)
            found["selected"] = (record.read_text() if record.exists() else None,)
        for top in (self.unit.parent, self.data.parent):
            for name, about in picture(top, folder_times=False).items():
                if not name.startswith(".liftlock/") and name != ".liftlock":
                    found[f"/{top.name}/{name}"] = about
        if self.before == "2.0":
            found = {name: about for name, about in found.items() if not name.endswith(WRITTEN)}
        return found

    def copies(self) -> list[str]:
        """What is left of copies of the data."""
        return places.names_in(str(self.data.parent / ".liftlock" / "data"))

    def everything(self) -> Picture:
        """The whole node, times of directories aside."""
        return {
            name: about
            for name, about in picture(self.node, folder_times=False).items()
            if not name.endswith("/owner")
        }

    def last_records(self) -> str:
        """The newest records of the open transaction, for the report of a bad case."""
        try:
            opened = transaction.load(self.places)
        except journal.JournalDamaged as error:
            return str(error)
        if opened is None:
            return "no transaction is open"
        opened.close()
        return "\n".join(repr(record) for record in opened.records[-12:])

    def running(self) -> str:
        """What the service's book says."""
        return self.book.read_text()

    def decision(self) -> str | None:
        """The decision in force, of the open transaction or the last one."""
        opened = transaction.load(self.places)
        if opened is None:
            names = places.names_in(self.places.done)
            if not names:
                return None
            book = journal.Journal(os.path.join(self.places.done, names[-1], "journal"))
            book.close()
            return standing.decision(book.records)
        opened.close()
        return standing.decision(opened.records)


def copy_tree(old: str, new: str, first: dict[int, str]) -> None:
    """Copy whatever lies there, as exactly as it can be seen; `first`: inode -> its first copy."""
    about = os.lstat(old)
    if stat.S_ISLNK(about.st_mode):
        os.symlink(os.readlink(old), new)
        os.chown(new, about.st_uid, about.st_gid, follow_symlinks=False)
    elif stat.S_ISDIR(about.st_mode):
        os.mkdir(new)
        for name in os.listdir(old):
            copy_tree(f"{old}/{name}", f"{new}/{name}", first)
    elif about.st_ino in first:
        os.link(first[about.st_ino], new)
        return
    else:
        with open(old, "rb", buffering=0) as source, open(new, "xb", buffering=0) as goal:
            goal.write(source.read())
        if about.st_nlink > 1:
            first[about.st_ino] = new
    if not stat.S_ISLNK(about.st_mode):
        os.chown(new, about.st_uid, about.st_gid)
        os.chmod(new, stat.S_IMODE(about.st_mode))
        for name in os.listxattr(old):
            os.setxattr(new, name, os.getxattr(old, name))
    os.utime(new, ns=(about.st_atime_ns, about.st_mtime_ns), follow_symlinks=False)


class _Line(io.RawIOBase):
    """A stream that is added to while it is read."""

    def __init__(self, first: bytes) -> None:
        self._data = first

    def add(self, more: bytes) -> None:
        """Append to what can be read."""
        self._data += more

    def readline(self, limit: int | None = -1, /) -> bytes:
        """Up to a newline."""
        return self._take(self._data.index(b"\n") + 1)

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or what there is."""
        return self._take(size)

    def _take(self, count: int) -> bytes:
        taken, self._data = self._data[:count], self._data[count:]
        return taken


def in_child(bench: Bench, phase: Phase, injector: Injector) -> tuple[int, int]:
    """Run a phase in a child; its wait status and how many mutating calls it made."""
    log = bench.log
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            noise = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(noise, 1)
            os.dup2(noise, 2)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            transaction.service_of = Ledger  # type: ignore[assignment]
            monitor._LOOK_SECONDS = 0.0
            rollback._ANSWER_SECONDS = 0.0
            for name in CALLS:
                setattr(os, name, injector.wrap(name))
            if bench.seed is not None:
                bench.seed()
            outcome = phase()
            status = 0 if outcome in ("ok", "undone") else 3
        except BaseException:
            traceback.print_exc()
        finally:
            REAL["write"](writing, b"%d" % injector.count)
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    return os.waitpid(child, 0)[1], int(said or b"-1")


def run(bench: Bench, phase: Phase, like: str = "") -> int:
    """A phase with nothing injected; the number of calls at which `like` could happen."""
    status, count = in_child(bench, phase, Injector(0, "none", like=like))
    assert status == 0, f"{bench.log.read_text()}\n{bench.last_records()}"
    return count


def attempt(bench: Bench, phase: Phase, injector: Injector) -> int:
    """A phase with something injected; its wait status."""
    return in_child(bench, phase, injector)[0]
