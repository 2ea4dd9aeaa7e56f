"""A node of a test's own: a state directory, a product directory, and the packed updater.

The updater is run exactly as a link runs it: `sh -c`, bootstrap, packed file over standard input.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backends.node import adopt, wire
from backends.node.facts import Reader
from backends.node.layouts import places_of
from backends.node.places import Places, read_json, write_file, write_json
from backends.node.watch import _stable as stable
from backends.transport.payload import pack
from tests.support import beacon
from tests.support.beacon import Beacon

POLICY = {"if_operator_vanishes": "rollback", "on_failure": "rollback", "second_layer": "none"}


class Answer:
    """All that one run of the updater said."""

    def __init__(self, messages: list[dict[str, Any]], stderr: str) -> None:
        self.messages = messages
        self.stderr = stderr

    @property
    def end(self) -> dict[str, Any]:
        """The last line, which must be `end`."""
        assert self.messages, f"no answer at all: {self.stderr}"
        assert self.messages[-1]["t"] == "end", (self.messages[-1], self.stderr)
        return self.messages[-1]

    @property
    def outcome(self) -> str:
        """The outcome word."""
        return str(self.end["outcome"])

    @property
    def code(self) -> str:
        """The problem's code, or nothing."""
        return str((self.end["problem"] or {"code": ""})["code"])

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one kind."""
        return [message for message in self.messages if message["t"] == kind]


class Node:
    """One node and its product."""

    def __init__(self, top: Path, python: str = sys.executable, **more: Any) -> None:
        self.top = top
        self.python = python
        self.state = top / "state"
        self.directory = top / "opt" / "beacon"
        self.lease = top.with_name(top.name + ".lease")  # beside: it is touched all the time
        self.port = beacon.free_port()
        self.document = beacon.document(str(self.directory), self.port, str(self.lease))
        self.document["service"]["env"]["BEACON_PYTHON"] = python
        self.document.update(more)
        self._stop = threading.Event()
        top.mkdir(parents=True, exist_ok=True)
        self.lease.touch()
        self._keeper = threading.Thread(target=self._keep_lease, daemon=True)
        self._keeper.start()
        self._asker: subprocess.Popen[bytes] | None = None

    def _keep_lease(self) -> None:
        while not self._stop.wait(0.5):
            if self.lease.exists():
                self.lease.touch()

    @property
    def home(self) -> Path:
        """The product's state."""
        return self.state / "beacon"

    @property
    def places(self) -> Places:
        """Where the updater has its things."""
        return places_of(str(self.state), self.document)

    def tree(self, version: str) -> Path:
        """Where a version lies."""
        return Path(self.places.tree(version))

    def request(self, command: str, **args: Any) -> dict[str, Any]:
        """The request line's content."""
        args.setdefault("operator", "ann@jump")
        return {
            "protocol": wire.PROTOCOL,
            "command": command,
            "product": self.document,
            "state_dir": str(self.state),
            "args": args,
        }

    def start(self, command: str, **args: Any) -> "subprocess.Popen[bytes]":
        """Start the updater with a request; the caller reads and ends it."""
        return self._started(self.request(command, **args))

    def _started(self, request: dict[str, Any]) -> "subprocess.Popen[bytes]":
        payload = pack()
        process = subprocess.Popen(
            payload.start(self.python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._write(process, payload.opening(request))
        return process

    @staticmethod
    def _write(process: "subprocess.Popen[bytes]", data: bytes) -> None:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()

    def ask(self, command: str, **args: Any) -> Answer:
        """Run one command to its end."""
        process = self.start(command, **args)
        out, err = process.communicate(timeout=60)
        return Answer([wire.decode(line) for line in out.splitlines()], err.decode())

    def second_layer(self, verb: str = "tick") -> "subprocess.CompletedProcess[bytes]":
        """Run what the second layer runs on this node."""
        path = f"{self.places.updaters}/{pack().sha256}.pyz"
        return subprocess.run(
            [self.python, "-I", "-S", "-B", path, verb, str(self.state), "beacon"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def facts(self) -> dict[str, Any]:
        """All facts, read now, by an updater that stays: to start one takes ten times as long."""
        request = {**self.request("status"), "stay": True}
        if self._asker is None or self._asker.poll() is not None:
            self._end_asker()
            self._asker = self._started(request)
        else:
            self._write(self._asker, wire.encode(request))
        answer = self._heard(self._asker)
        assert answer.outcome == "ok", answer.messages
        return answer.all("facts")[0]

    @staticmethod
    def _heard(process: "subprocess.Popen[bytes]") -> Answer:
        """What it says until its `end`."""
        assert process.stdout is not None
        messages = []
        for line in process.stdout:
            messages.append(wire.decode(line))
            if messages[-1]["t"] == "end":
                break
        return Answer(messages, "")

    def _end_asker(self) -> None:
        if self._asker is not None:
            self._asker.kill()
            self._asker.communicate()
            self._asker = None

    def stage(self, release: Beacon, run: str = "1120-aaa", cut_after: int = -1) -> Answer:
        """Push a release; with `cut_after` the line is cut after so many bytes of blobs."""
        manifest = release.manifest
        sha = hashlib.sha256(manifest).hexdigest()
        process = self.start(
            "stage",
            run=run,
            version=release.version,
            digest=release.digest,
            packaged=release.packaged,
            manifest={"sha256": sha, "size": len(manifest)},
            configuration=release.configuration,
            plan={"run": run},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        messages = []
        process.stdin.write(wire.frame_header(sha, 0, len(manifest)) + manifest)
        for data in release.fetched.values():
            sha = hashlib.sha256(data).hexdigest()
            process.stdin.write(wire.frame_header(sha, 0, len(data)) + data)
        process.stdin.flush()
        wanted: list[tuple[str, int, int]] = []
        for line in process.stdout:
            message = wire.decode(line)
            messages.append(message)
            if message["t"] == "need":
                wanted += [tuple(item) for item in message["blobs"]]
            if message["t"] == "send":
                self._send(process, release, wanted, cut_after)
        err = process.stderr.read().decode()
        process.stdin.close() if not process.stdin.closed else None
        process.stdout.close()
        process.stderr.close()
        process.wait(timeout=30)
        return Answer(messages, err)

    def _send(
        self,
        process: "subprocess.Popen[bytes]",
        release: Beacon,
        wanted: list[tuple[str, int, int]],
        cut_after: int,
    ) -> None:
        assert process.stdin is not None
        sent = 0
        for sha, offset, size in wanted:
            data = release.blob(sha)[offset:]
            process.stdin.write(wire.frame_header(sha, offset, len(data)))
            if 0 <= cut_after < sent + len(data):
                process.stdin.write(data[: cut_after - sent])
                process.stdin.close()
                return
            process.stdin.write(data)
            sent += len(data)
            assert size == offset + len(data)
        process.stdin.write(wire.END_OF_FRAMES)
        process.stdin.flush()

    def check(
        self, release: Beacon, run: str = "1120-aaa", says: dict[str, Any] | None = None
    ) -> Answer:
        """The checks of what is staged; `says` is what the release says of itself."""
        about = {"run": run, "version": release.version, "digest": release.digest}
        return self.ask("check", scope="staged", now=time.time(), release=says, **about)

    def install(self, release: Beacon, run: str = "1120-aaa", **policy: str) -> Answer:
        """Begin to install what is staged and checked."""
        return self.ask(
            "install",
            run=run,
            version=release.version,
            digest=release.digest,
            policy=dict(POLICY, **policy),
            reason="",
        )

    def upgrade(self, release: Beacon, run: str = "1120-aaa", **policy: str) -> str:
        """Stage, check, install and follow to rest; the outcome."""
        self.begin(release, run, **policy)
        return self.wait_for(lambda facts: facts["transaction"] is None or settled(facts))["state"]

    def accepted(self, release: Beacon, run: str = "1120-aaa") -> None:
        """Bring a release to the accepted state."""
        self.upgrade(release, run)
        assert self.ask("accept", run=run, how="auto").outcome == "ok"
        self.wait_for(lambda facts: facts["state"] == "accepted")

    def finalized(self, release: Beacon, run: str = "1120-aaa") -> None:
        """Bring a release all the way."""
        self.accepted(release, run)
        assert self.ask("finalize", run=run, digest=release.digest).outcome == "ok"
        self.wait_for(lambda facts: facts["transaction"] is None)

    def wait_for(
        self, reached: Callable[[dict[str, Any]], bool], seconds: float = 20
    ) -> dict[str, Any]:
        """Read the facts until they are as wanted."""
        give_up = time.monotonic() + seconds
        while True:
            facts = self.facts()
            if reached(facts):
                return facts
            assert time.monotonic() < give_up, facts
            self._wait_for_change()

    def _wait_for_change(self) -> None:
        """Until the file system says something else, or a moment: asking costs a process."""
        reader = Reader(self.places, self.document)
        before = stable(reader.quick())
        give_up = time.monotonic() + 0.3
        while stable(reader.quick()) == before and time.monotonic() < give_up:
            time.sleep(0.02)

    def records(self, run: str | None = None) -> list[dict[str, Any]]:
        """The journal of the newest transaction."""
        answer = self.ask("journal", run=run)
        return [message["record"] for message in answer.all("record")]

    def put_in_place(self, release: Beacon, as_release: bool = False) -> None:
        """Lay a version down by hand, start it, and adopt it in this process.

        It is the state before most upgrades; the packed updater would take ten times as long.
        With `as_release` it is recorded as if it had been installed from a release.
        """
        tree = self.tree(release.version)
        fetched = {name: (0o644, data) for name, data in release.fetched.items()}
        for name, (mode, data) in {**release.content, **fetched}.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        if not self.places.flat:
            pointer = self.directory / ".version"
            pointer.write_text(f"{release.version}\n")
            os.utime(pointer, (beacon.CREATED, beacon.CREATED))
        for path in (tree, *tree.rglob("*")):
            os.utime(path, (beacon.CREATED, beacon.CREATED))
        self.control(release.version, "start")
        wait_until((tree / "beacon.pid").exists)
        wait_until(lambda: (tree / "beacon.pid").read_text().strip())
        if self.places.flat:
            reader = Reader(self.places, self.document)
            wait_until(lambda: isinstance(reader.full()["running"], str))
        adopt.record(
            self.places,
            self.document,
            {
                "run": "1119-one",
                "version": release.version,
                "digest": adopt.preview(self.places, self.document)["digest"],
                "operator": "ann@jump",
            },
        )
        if as_release:
            manifest = self.places.manifest(release.version)
            about = {"digest": release.digest, "packaged": release.packaged}
            found = {"files": release.files, "source": "release", **about}
            write_json(manifest, dict(read_json(manifest) or {}, **found))
            marker = dict(read_json(self.places.finalized) or {}, **about)
            write_json(self.places.finalized, marker)
        payload = pack()
        write_file(f"{self.places.updaters}/{payload.sha256}.pyz", payload.content, 0o500)

    def control(self, version: str, verb: str) -> str:
        """Run a version's control script as a person would; what it says."""
        env = {"PATH": os.environ["PATH"], **self.document["service"]["env"]}
        tree = self.tree(version)
        ran = subprocess.run(
            [str(tree / "control"), verb],
            cwd=tree,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            check=False,
            timeout=20,
        )
        return ran.stdout.decode().strip()

    def begin(self, release: Beacon, run: str = "1120-aaa", **policy: str) -> None:
        """Stage, check and begin to install."""
        for answer in (self.stage(release, run), self.check(release, run)):
            assert answer.outcome == "ok", answer.messages
        begun = self.install(release, run, **policy)
        assert begun.outcome == "ok", begun.messages

    def product(self) -> dict[str, tuple[object, ...]]:
        """All that is the product's, without our own folder and what the service writes."""
        return {
            name: about
            for name, about in picture(self.directory).items()
            if name.split("/")[0] != ".liftlock"
            and name.split("/")[-1] not in ("beacon.pid", "beacon.log")
        }

    def drivers(self) -> list[int]:
        """Processes of the updater that work on this node, found by the lock they hold open."""
        return holders(self.home / "lock")

    def kill_drivers(self) -> None:
        """SIGKILL to the updater's drivers, and nothing else."""
        for pid in self.drivers():
            _kill(pid)
        wait_until(lambda: not self.drivers())

    def kill_all(self) -> None:
        """What a power cut does to processes: drivers and service are gone at once."""
        for pid in {*self.drivers(), *within(self.top)}:
            _kill(pid)
        wait_until(lambda: not self.drivers() and not within(self.top))

    def close(self) -> None:
        """End every process of this node, by its id."""
        self._end_asker()
        self._stop.set()
        self._keeper.join()
        self.lease.unlink(missing_ok=True)
        if "COVERAGE_FILE" in os.environ:
            # Asked to end, a traced driver says what it ran.
            for pid in self.drivers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not self.drivers())
        self.kill_all()


def wait_until(reached: Callable[[], object], seconds: float = 20) -> None:
    """Look until it is so; a generous limit turns a hang into a failure."""
    give_up = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.02)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def settled(facts: dict[str, Any]) -> bool:
    """Whether nothing more happens by itself, or only an accept is missing."""
    opened = facts["transaction"]
    return facts["state"] in ("accepted", "held", "inconsistent") or bool(
        facts["state"] == "monitoring" and opened["healthy"]
    )


def holders(path: Path) -> list[int]:
    """Other processes that have a file open."""
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in numbers if pid != os.getpid() and str(path) in _open_files(pid)]


def _open_files(pid: int) -> list[str]:
    """What a process has open; one file that it closes meanwhile hides no other."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def within(directory: Path) -> list[int]:
    """Processes whose working directory lies in a directory, or that name it as an argument."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if (entry / "stat").read_bytes().rsplit(b") ", 1)[1][:1] == b"Z":
                continue
            cwd = os.readlink(entry / "cwd")
            words = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if cwd.startswith(str(directory)) or os.fsencode(directory) in words:
            found.append(int(entry.name))
    return found


def picture(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a directory, byte for byte: kind, mode, owner, time, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        about = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        when = about.st_mtime_ns if not path.is_dir() or path.is_symlink() else 0
        found[str(path.relative_to(top))] = (
            about.st_mode,
            about.st_uid,
            about.st_gid,
            when,
            content,
        )
    return found


@contextmanager
def a_node(top: Path, python: str = sys.executable, **more: Any) -> Iterator[Node]:
    """A node that leaves nothing behind; `more` changes what the updater is told."""
    node = Node(top, python, **more)
    try:
        yield node
    finally:
        node.close()
        shutil.rmtree(top, ignore_errors=False)
