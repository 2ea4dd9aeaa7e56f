"""A node of real files and a service that is one line in a file: what the sweeps break.

Phases of the updater run in child processes, with the mutating calls of `os` wrapped by an
`Injector`: the k-th one kills the process, tears its write, or fails. Then a fresh process
recovers, and an `Oracle` holds what lies there against what lay there before.
"""

import errno
import functools
import hashlib
import io
import os
import shutil
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends.node import (
    finish,
    install,
    journal,
    layouts,
    monitor,
    places,
    recover,
    rollback,
    service,
    stage,
    standing,
    transaction,
    wire,
)
from tests.faults import trees
from tests.support import beacon

Picture = dict[str, tuple[object, ...]]
Phase = Callable[[], Any]

CALLS = (
    "rename",
    "replace",
    "link",
    "symlink",
    "unlink",
    "remove",
    "mkdir",
    "rmdir",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "chmod",
    "fchmod",
    "chown",
    "fchown",
    "utime",
    "setxattr",
    "open",
)
"""The calls through which the updater changes a disk."""

REAL = {name: getattr(os, name) for name in CALLS}

PARTS = ["inputs", "deep/ncf"]
LAYOUTS = ("versions", "overlay", "swap")
BENCHES = (*LAYOUTS, *(f"{layout} from nothing" for layout in LAYOUTS))
"""What a bench is made with: a layout, and whether its upgrade is a first install."""


class Ledger(service.Service):
    """A service whose process is a line in a file; it starts only what is selected and whole."""

    @property
    def _book(self) -> str:
        return self.values["book"]

    def _runs(self) -> bool:
        with open(self._book) as stream:
            return stream.read() == self.version

    def _say(self, version: str) -> None:
        with open(self._book, "w") as stream:
            stream.write(version)

    def status(self) -> tuple[str, str]:
        """What the book says."""
        return ("started", "in the book") if self._runs() else ("stopped", "not in the book")

    def pid(self) -> int | None:
        """Our parent lives for the whole test."""
        return os.getppid() if self._runs() else None

    def living(self) -> list[int]:
        """As above."""
        return [os.getppid()] if self._runs() else []

    def stop(self) -> tuple[bool, str]:
        """Close the book."""
        if self._runs():
            self._say("")
        return True, "stopped"

    def start(self, output_file: str) -> tuple[bool, str]:
        """Open it, if the pointer says so and the tree is that version's."""
        layout = layouts.layout_of(self._document, self.places)
        selected = layout.selected()
        inner = "inputs" if self._document["layout"] == "swap" else ""
        with open(os.path.join(self.tree, inner, "VERSION")) as stream:
            if selected != self.version or stream.read().strip() != self.version:
                return False, f"the pointer names {selected}"
        self._say(self.version)
        if self.version == "2.0":
            self._write_in_place(layout)
        return True, "started"

    def _write_in_place(self, layout: layouts.Layout) -> None:
        """It writes into what lives on, as services do: on the way back that is gone."""
        for relative in self._written:
            path = os.path.join(self.tree, relative)
            if layout.is_kept(relative) and os.path.exists(path):
                with open(path, "a") as stream:
                    stream.write("written by 2.0\n")
                    stream.flush()
                    os.fsync(stream.fileno())

    _written = ("etc/kept.conf", "inputs/etc/kept.conf")

    def __init__(self, document: dict[str, Any], where: places.Places, version: str) -> None:
        super().__init__(document, where, version)
        self._document = document


class Injector:
    """Counts mutating calls, and does something to the k-th."""

    def __init__(self, at: int, how: str, number: int = 0, for_good: bool = False) -> None:
        self.count = 0
        self._at = at
        self._how = how
        self._errno = number
        self._for_good = for_good

    def wrap(self, name: str) -> Callable[..., Any]:
        """The call, watched."""
        real = REAL[name]

        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            self.count += 1
            if self._how != "none" and self._is_hit():
                self._hit(name, real, args)
            return real(*args, **kwargs)

        return call

    def _is_hit(self) -> bool:
        return self.count > self._at if self._for_good else self.count == self._at + 1

    def _hit(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self._how == "tear" and name == "write":
            real(args[0], bytes(args[1])[: len(args[1]) // 2])
        if self._how in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(self._errno, os.strerror(self._errno))


class FullAfterShortWrite(Injector):
    """Row 22: half a record is written, nothing more fits on the disk, then the power goes."""

    def __init__(self, at: int, calls_later: int) -> None:
        super().__init__(at, "short")
        self._calls_later = calls_later
        self._writes = 0
        self._since = -1

    def wrap(self, name: str) -> Callable[..., Any]:
        """The call, watched: from the k-th write on the disk is full."""
        real = REAL[name]

        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self._since >= 0:
                self._since += 1
                if self._since > self._calls_later:
                    os.kill(os.getpid(), signal.SIGKILL)
                if name in ("write", "link", "mkdir", "symlink", "open") and _grows(name, args):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            elif name == "write":
                self._writes += 1
                if self._writes > self._at:
                    self._since = 0
                    return real(args[0], bytes(args[1])[: max(1, len(args[1]) // 2)])
            return real(*args, **kwargs)

        return call


def _grows(name: str, args: tuple[Any, ...]) -> bool:
    return name != "open" or bool(args[1] & os.O_CREAT)


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
        layout, _, self._from_nothing = layout.partition(" ")
        self.layout = layout
        self.seed: Phase | None = None
        """A fault of `seeds` that is planted in each child."""

        self.node = top / "node"
        content = content or trees.of_layout(layout)
        self.old, self.new, self._live = trees.small(content) if small else content
        directory = str(self.node / "opt" / "beacon")
        self.document = beacon.document(
            directory,
            1,
            "-",
            layout=layout,
            keep=trees.KEEP,
            directories=PARTS if layout == "swap" else [],
            health=[],
        )
        self.book = book or self.node / "opt" / "running"
        self.document["values"]["book"] = str(self.book)
        self.document["limits"].update(min_healthy=0.0, accept_window=0.0, health_poll=0.0)
        self.places = layouts.places_of(str(self.node / "state"), self.document)
        self.book.parent.mkdir(parents=True, exist_ok=True)
        self.places.make_home()
        self.places.make_beside()
        self.before = "" if self._from_nothing else "1.0"
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
        about = {"version": "1.0", "digest": self.old.digest}
        places.write_json(
            self.places.manifest("1.0"),
            {**about, "sequence": 1, "files": self.old.files, "source": "release"},
        )
        if self.places.flat:
            places.write_file(self.places.selected, b"1.0\n", 0o644)
        places.write_json(
            self.places.finalized, {**about, "run": "r0", "previous": None, "time": 1.0}
        )
        self.previous = {**about, "path": self.places.tree("1.0")}

    def stage(self) -> None:
        """Stage the new version, in this process."""
        manifest = self.new.manifest
        sha = hashlib.sha256(manifest).hexdigest()
        line = _Line(wire.frame_header(sha, 0, len(manifest)) + manifest)

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
        shutil.copytree(source, goal, symlinks=True)
        first: dict[int, Path] = {}
        for path in [source, *sorted(source.rglob("*"))]:
            about = path.lstat()
            here = goal / path.relative_to(source)
            if about.st_uid != here.lstat().st_uid:
                os.chown(here, about.st_uid, about.st_gid, follow_symlinks=False)
                if not path.is_symlink():
                    here.chmod(stat.S_IMODE(about.st_mode))
            if path.is_file() and not path.is_symlink() and about.st_nlink > 1:
                if about.st_ino in first:
                    here.unlink()
                    os.link(first[about.st_ino], here)
                first.setdefault(about.st_ino, here)
        for path in sorted(source.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                when = path.stat().st_mtime_ns
                os.utime(goal / path.relative_to(source), ns=(when, when))

    # --- phases, each run in a child ---

    def install(self, policy: str) -> str:
        """From BEGIN to ACCEPT (keep_if_healthy) or back again (rollback)."""
        order = {
            "product": self.document,
            "run": "r1",
            "version": "2.0",
            "digest": self.new.digest,
            "previous": self.previous,
            "policy": {
                "if_operator_vanishes": policy,
                "on_failure": "rollback",
                "second_layer": "none",
            },
            "operator": "ann@jump",
        }
        return install.drive(self.places, order, "0" * 64, lambda made: None)

    def roll_back(self) -> str:
        """From the accepted version to the old one."""
        return rollback.decide_and_undo(self.opened(), "drill", "ann@jump")

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
        """The product's directory without our own folder, and which version is selected."""
        found = {
            name: about
            for name, about in picture(Path(self.places.directory)).items()
            if name.split("/")[0] != ".liftlock"
        }
        if self.places.flat:
            record = Path(self.places.selected)
            found["selected"] = (record.read_text() if record.exists() else None,)
        return found

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


def picture(top: Path, folder_times: bool = True) -> Picture:
    """Kind, mode, owner, time, attributes, names, content of a directory and all below it."""
    found: Picture = {}
    names: dict[int, str] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        about = path.lstat()
        is_dir = stat.S_ISDIR(about.st_mode)
        is_link = stat.S_ISLNK(about.st_mode)
        name = str(path.relative_to(top))
        # The first name of a file stands for all of them; backups of ours are no names.
        first = names.setdefault(about.st_ino, name) if "/.liftlock/" not in f"/{name}/" else name
        found[name] = (
            about.st_mode,
            about.st_uid,
            about.st_gid,
            about.st_mtime_ns if folder_times or not is_dir else 0,
            os.readlink(path) if is_link else None if is_dir else path.read_bytes(),
            {each: os.getxattr(path, each) for each in os.listxattr(path)} if not is_link else {},
            first,
        )
    return found


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
            transaction.Service = Ledger  # type: ignore[misc]
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


def run(bench: Bench, phase: Phase) -> int:
    """A phase with nothing injected; the number of mutating calls."""
    status, count = in_child(bench, phase, Injector(0, "none"))
    assert status == 0, f"{bench.log.read_text()}\n{bench.last_records()}"
    return count


def attempt(bench: Bench, phase: Phase, injector: Injector) -> int:
    """A phase with something injected; its wait status."""
    return in_child(bench, phase, injector)[0]


class Oracle:
    """What may lie there, and nothing else."""

    may_run_instead: tuple[str, ...] = ()
    """What may be in the service's book besides the version that lies there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        with bench.without_seed():
            bench.reset("staged")
            self.old = bench.product()
            bench.reset("accepted")
            if (bench.decision(), bench.running()) != ("ACCEPT", "2.0"):
                raise AssertionError("undisturbed, the new version was not accepted")
            self.new = timeless(bench.product())

    def judge(self) -> None:
        """P1: old, or new if and only if ACCEPT or FINALIZE is in force."""
        bench = self.bench
        opened = transaction.load(bench.places)
        is_new = (opened is not None or bench.decision() == "FINALIZE") and bench.decision() in (
            "ACCEPT",
            "FINALIZE",
        )
        if opened is not None:
            opened.close()
        assert is_new or opened is None, "the transaction is still open"
        if is_new:
            same(timeless(bench.product()), self.new)
        else:
            same(bench.product(), self.old)
        is_final = is_new and opened is None
        marker = places.read_json(bench.places.finalized) or {}
        assert marker.get("version", "") == ("2.0" if is_final else bench.before), marker
        wanted = ["2.0" if is_new else bench.before, *self.may_run_instead]
        assert bench.running() in wanted, f"{bench.running()!r} runs, not {wanted}"

    def judge_recovered(self) -> None:
        """P1 and P2: after recover it is so; again changes nothing; the next upgrade succeeds."""
        bench = self.bench
        run(bench, bench.recover)
        self.judge()
        before = bench.everything()
        run(bench, bench.recover)
        same(bench.everything(), before)
        self.go_on()

    def go_on(self) -> None:
        """A complete upgrade and the way back still work from here."""
        bench = self.bench
        if transaction.is_open(bench.places):
            run(bench, bench.roll_back)
            same(bench.product(), self.old)
        if bench.decision() == "FINALIZE":
            return
        if not os.path.exists(os.path.join(bench.places.staged, "2.0.json")):
            bench.stage()
        run(bench, lambda: bench.install("keep_if_healthy"))
        same(timeless(bench.product()), self.new)
        run(bench, bench.finalize)
        assert (places.read_json(bench.places.finalized) or {})["version"] == "2.0"
        assert not places.names_in(bench.places.store)


def timeless(found: Picture) -> Picture:
    """Once the new version is in, some times are of today: of directories, of the pointer, and
    of what the new version wrote into."""

    def is_of_today(name: str, about: tuple[object, ...]) -> bool:
        return about[4:5] == (None,) or name.endswith((".version", "etc/kept.conf"))

    return {
        name: (*about[:3], 0, *about[4:]) if is_of_today(name, about) else about
        for name, about in found.items()
    }


def same(found: Picture, wanted: Picture) -> None:
    """Say which names differ, not all of both."""
    names = [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]
    assert not names, {name: (found.get(name), wanted.get(name)) for name in sorted(names)[:5]}
