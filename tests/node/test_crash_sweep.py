"""Interrupted before any call that changes something, the node always recovers.

A child process runs a phase with the mutating calls of `os` wrapped: the k-th one kills it, tears
its write, or fails. Then a fresh process recovers, and what lies there is compared with what lay
there before. The service is a file that says which version runs; everything else is real.
"""

import errno
import functools
import io
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    finish,
    install,
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
from backends.node.canonical import files_digest
from backends.node.images import listing
from backends.node.places import Places
from tests.support import beacon
from tests.support.beacon import Beacon

pytestmark = pytest.mark.faults

Picture = dict[str, tuple[object, ...]]

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
    "utime",
    "open",
)
REAL = {name: getattr(os, name) for name in CALLS}

OLD = Beacon("1.0", more={"lib/one": b"1\n", "etc/conf": b"a = 1\n"})
NEW = Beacon("2.0", more={"lib/one": b"2\n", "lib/deep/two": b"2\n" * 999})


class Ledger(service.Service):
    """A service whose process is a line in a file; it only starts through the pointer."""

    @property
    def _book(self) -> str:
        return os.path.join(os.path.dirname(self.places.directory), "running")

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
        """Open it, if tree and pointer are whole."""
        with open(os.path.join(self.places.directory, ".version")) as stream:
            selected = stream.read().strip()
        with open(os.path.join(self.tree, "VERSION")) as stream:
            if selected != self.version or stream.read().strip() != self.version:
                return False, f"the pointer names {selected}"
        self._say(self.version)
        return True, "started"


class Injector:
    """Counts mutating calls, and does something to the k-th."""

    def __init__(self, at: int, how: str, number: int = 0, for_good: bool = False) -> None:
        self.count = 0
        self._at = at
        self._how = how
        self._errno = number
        self._for_good = for_good

    def wrap(self, name: str) -> Callable[..., Any]:
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


class Bench:
    """A node of files, and the phases that can be run on it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.node = top / "node"
        self.places = Places(str(self.node / "state"), "beacon", str(self.node / "opt" / "beacon"))
        self.document = beacon.document(self.places.directory, 1, "-")
        self.document["health"] = []
        self.document["limits"].update(min_healthy=0.0, accept_window=0.0, health_poll=0.0)
        self.node.mkdir(parents=True)
        self._lay_down()
        shutil.copytree(self.node, top / "staged", symlinks=True)

    # --- states ---

    def _lay_down(self) -> None:
        tree = self.node / "opt" / "beacon" / "1.0"
        for name, (mode, data) in OLD.content.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        (tree / "empty").mkdir(mode=0o750)
        (tree / "current.conf").symlink_to("etc/conf")
        (tree / "setuid").write_bytes(b"x")
        (tree / "setuid").chmod(0o4755)
        pointer = tree.parent / ".version"
        pointer.write_text("1.0\n")
        pointer.chmod(0o640)
        for number, path in enumerate([pointer, *sorted(tree.rglob("*")), tree, tree.parent]):
            when = 1_600_000_000_000_000_000 + number * 1_000_000_007
            os.utime(path, ns=(when, when), follow_symlinks=False)
        (self.node / "opt" / "running").write_text("1.0")
        self.places.make_home()
        files = listing(str(tree))
        digest = files_digest(files)
        places.write_json(
            self.places.manifest("1.0"),
            {
                "version": "1.0",
                "digest": digest,
                "sequence": 1,
                "files": files,
                "source": "adopted",
            },
        )
        places.write_json(
            self.places.finalized,
            {"version": "1.0", "digest": digest, "run": "r0", "previous": None, "time": 1.0},
        )
        self.previous = {"version": "1.0", "digest": digest, "path": str(tree)}
        self.stage()
        os.utime(tree.parent, ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000))

    def stage(self) -> None:
        """Stage the new version, in this process."""
        manifest = NEW.manifest
        import hashlib

        sha = hashlib.sha256(manifest).hexdigest()
        wanted: list[Any] = []
        first = io.BytesIO(wire.frame_header(sha, 0, len(manifest)) + manifest)

        class Line(io.BytesIO):
            def readline(self, *args: Any) -> bytes:
                return first.readline() or super().readline()

            def read(self, *args: Any) -> bytes:
                return first.read(*args) or super().read(*args)

        line = Line()

        def send(message: dict[str, Any]) -> None:
            wanted.extend(message["blobs"] if message["t"] == "need" else [])
            if message["t"] == "send":
                for name, offset, _ in wanted:
                    data = NEW.blob(name)[offset:]
                    line.write(wire.frame_header(name, offset, len(data)) + data)
                line.write(wire.END_OF_FRAMES)
                line.seek(0)

        args = {
            "run": "r1",
            "version": "2.0",
            "digest": NEW.digest,
            "manifest": {"sha256": sha, "size": len(manifest)},
            "plan": {"run": "r1"},
        }
        stage.stage(self.places, args, line, send)
        mark = os.path.join(self.places.staged, "2.0.json")
        places.write_json(mark, dict(places.read_json(mark) or {}, checked=True))

    def reset(self, name: str) -> None:
        """Make the node what it was when 2.0 was `staged`, or `accepted`.

        What is accepted is installed anew each time: a copy would not be the same inodes.
        """
        shutil.rmtree(self.node)
        shutil.copytree(self.top / "staged", self.node, symlinks=True)
        if name == "accepted":
            run(self, lambda: self.install("keep_if_healthy"))

    # --- phases, each run in a child ---

    def install(self, policy: str) -> str:
        """From BEGIN to ACCEPT (keep_if_healthy) or back again (rollback)."""
        order = {
            "product": self.document,
            "run": "r1",
            "version": "2.0",
            "digest": NEW.digest,
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
        """The product's directory without our own folder."""
        top = self.node / "opt" / "beacon"
        return {
            name: about
            for name, about in picture(top).items()
            if name.split("/")[0] != ".liftlock"
        }

    def everything(self) -> Picture:
        """The whole node, times of directories aside."""
        return {
            name: about
            for name, about in picture(self.node, folder_times=False).items()
            if not name.endswith("/owner")
        }

    def running(self) -> str:
        """What the service's book says."""
        return (self.node / "opt" / "running").read_text()

    def decision(self) -> str | None:
        """The decision in force, of the open transaction or the last one."""
        opened = transaction.load(self.places)
        if opened is None:
            names = places.names_in(self.places.done)
            if not names:
                return None
            journal = transaction.Journal(os.path.join(self.places.done, names[-1], "journal"))
            journal.close()
            return standing.decision(journal.records)
        opened.close()
        return standing.decision(opened.records)


def picture(top: Path, folder_times: bool = True) -> Picture:
    """Kind, mode, owner, time, content of all below a directory, and of itself."""
    found: Picture = {}
    for path in [top, *top.rglob("*")]:
        about = path.lstat()
        is_dir = path.is_dir() and not path.is_symlink()
        found[str(path.relative_to(top))] = (
            about.st_mode,
            about.st_uid,
            about.st_gid,
            about.st_mtime_ns if folder_times or not is_dir else 0,
            os.readlink(path) if path.is_symlink() else None if is_dir else path.read_bytes(),
        )
    return found


def in_child(phase: Callable[[], Any], injector: Injector, log: Path) -> tuple[int, int]:
    """Run a phase in a child; its wait status and how many mutating calls it made."""
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


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A node with 1.0 running and 2.0 staged."""
    made = Bench(tmp_path_factory.mktemp("sweep"))
    yield made
    shutil.rmtree(made.top)


def run(bench: Bench, phase: Callable[[], Any]) -> int:
    """A phase with nothing injected; the number of mutating calls."""
    status, count = in_child(phase, Injector(0, "none"), bench.top / "child.log")
    assert status == 0, (bench.top / "child.log").read_text()
    return count


def attempt(bench: Bench, phase: Callable[[], Any], injector: Injector) -> int:
    """A phase with something injected; its wait status."""
    return in_child(phase, injector, bench.top / "child.log")[0]


class Oracle:
    """What may lie there, and nothing else."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        bench.reset("staged")
        self.old = bench.product()
        bench.reset("accepted")
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
        if is_new:
            same(timeless(bench.product()), self.new)
            assert bench.running() == "2.0"
            return
        assert opened is None, "the transaction is still open"
        same(bench.product(), self.old)
        assert bench.running() == "1.0"

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
    """Once the new version is in, the times of its pointer and of the directory are of today."""
    free = {}
    for name in (".", ".version"):
        mode, uid, gid, _, content = found[name]
        free[name] = (mode, uid, gid, 0, content)
    return {**found, **free}


def same(found: Picture, wanted: Picture) -> None:
    """Say which names differ, not all of both."""
    names = [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]
    assert not names, {name: (found.get(name), wanted.get(name)) for name in sorted(names)[:5]}


def worst(bad: list[str], total: int) -> str:
    """The first few of what went wrong."""
    return "\n".join([f"{len(bad)} of {total} are bad", *bad[:5]])


PHASES: dict[str, tuple[str, Callable[[Bench], Any]]] = {
    "install": ("staged", lambda bench: bench.install("keep_if_healthy")),
    "install and back": ("staged", lambda bench: bench.install("rollback")),
    "rollback": ("accepted", lambda bench: bench.roll_back()),
    "finalize": ("accepted", lambda bench: bench.finalize()),
}


def sweep(
    bench: Bench, phase: str, make: Callable[[int], Injector], step: int, at: int = 0
) -> int:
    """Inject at every `step`-th point of a phase, and judge each time; how many points."""
    template, work = PHASES[phase]
    oracle = Oracle(bench)
    bench.reset(template)
    total = run(bench, lambda: work(bench))
    bad = []
    for point in range(at % step, total, step):
        bench.reset(template)
        status = attempt(bench, lambda: work(bench), make(point))
        said = (bench.top / "child.log").read_text()[-1500:]
        try:
            oracle.judge_recovered()
        except (AssertionError, OSError) as error:
            bad.append(f"{phase} {point} (status {status}): {error}\n{said}")
    assert not bad, worst(bad, total)
    return total


@pytest.mark.parametrize("phase", PHASES)
def test_p1_p2_killed_at_some_points_the_node_recovers(bench: Bench, phase: str) -> None:
    assert sweep(bench, phase, lambda point: Injector(point, "kill"), 17) > 20


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["kill", "tear"])
@pytest.mark.parametrize("phase", PHASES)
def test_row_1_to_4_killed_at_every_point_the_node_recovers(
    bench: Bench, phase: str, how: str
) -> None:
    assert sweep(bench, phase, lambda point: Injector(point, how), 1) > 20


def sweep_errors(bench: Bench, number: int, step: int) -> None:
    """Row 16, 20, 21: one call fails once, and the same process brings the old version back."""
    oracle = Oracle(bench)
    bench.reset("staged")
    total = run(bench, lambda: bench.install("keep_if_healthy"))
    bad = []
    for point in range(0, total, step):
        bench.reset("staged")
        injector = Injector(point, "error", number)
        attempt(bench, lambda: bench.install("keep_if_healthy"), injector)
        said = (bench.top / "child.log").read_text()[-2500:]
        try:
            oracle.judge()
            oracle.judge_recovered()
        except (AssertionError, OSError) as error:
            bad.append(f"{point}: {error}\n{said}")
    assert not bad, worst(bad, total)


def test_row_16_an_error_at_some_points_is_undone_by_the_same_process(bench: Bench) -> None:
    sweep_errors(bench, errno.ENOSPC, 17)


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_row_16_20_21_an_error_at_any_point_is_undone_by_the_same_process(
    bench: Bench, number: int
) -> None:
    sweep_errors(bench, number, 1)


@pytest.mark.parametrize("phase", PHASES)
def test_row_17_errors_from_some_point_on_are_recovered_from_later(
    bench: Bench, phase: str
) -> None:
    sweep(bench, phase, lambda point: Injector(point, "error", errno.ENOSPC, True), 29)


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("phase", PHASES)
def test_row_17_20_errors_from_any_point_on_are_recovered_from_later(
    bench: Bench, phase: str, number: int
) -> None:
    sweep(bench, phase, lambda point: Injector(point, "error", number, True), 1)


def sweep_twice(bench: Bench, how: str, step: int, inner: int) -> int:
    """Killed in a rollback, and the recovery is killed again at each of its points."""
    oracle = Oracle(bench)
    bench.reset("accepted")
    total = run(bench, bench.roll_back)
    pairs = 0
    bad = []
    for first in range(1, total, step):
        second = 0
        while True:
            bench.reset("accepted")
            attempt(bench, bench.roll_back, Injector(first, how))
            status = attempt(bench, bench.recover, Injector(second, how))
            if not os.WIFSIGNALED(status):
                break
            pairs += 1
            try:
                run(bench, bench.recover)
                oracle.judge()
            except (AssertionError, OSError) as error:
                bad.append(f"{first} then {second}: {error}")
            second += inner
    assert not bad, worst(bad, pairs)
    return pairs


def test_row_2_killed_twice_at_some_points_the_node_recovers(bench: Bench) -> None:
    assert sweep_twice(bench, "kill", 23, 17) > 2


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["kill", "tear"])
def test_row_2_killed_twice_at_any_points_the_node_recovers(bench: Bench, how: str) -> None:
    assert sweep_twice(bench, how, 1, 1 if how == "kill" else 3) > 200


def test_p3_before_backups_are_durable_nothing_of_the_product_changes(bench: Bench) -> None:
    bench.reset("staged")
    before = bench.product()
    total = run(bench, lambda: bench.install("keep_if_healthy"))
    for point in range(total):
        bench.reset("staged")
        attempt(bench, lambda: bench.install("keep_if_healthy"), Injector(point, "kill"))
        opened = transaction.load(bench.places)
        records = [] if opened is None else [record["t"] for record in opened.records]
        if opened is not None:
            opened.close()
        if "BACKUPS" in records:
            return
        same(bench.product(), before)
        assert bench.running() == "1.0"
    raise AssertionError("no point with BACKUPS")
