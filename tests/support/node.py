"""A node of a test's own: a state directory, a product directory, and the packed updater.

The updater is run exactly as a link runs it: `sh -c`, bootstrap, packed file over standard input.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends.node import wire
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

    def __init__(self, top: Path, python: str = sys.executable) -> None:
        self.top = top
        self.python = python
        self.state = top / "state"
        self.directory = top / "opt" / "beacon"
        self.lease = top / "lease"
        self.port = beacon.free_port()
        self.document = beacon.document(str(self.directory), self.port, str(self.lease))
        self.document["service"]["env"]["BEACON_PYTHON"] = python
        self._stop = threading.Event()
        top.mkdir(parents=True, exist_ok=True)
        self.lease.touch()
        self._keeper = threading.Thread(target=self._keep_lease, daemon=True)
        self._keeper.start()

    def _keep_lease(self) -> None:
        while not self._stop.wait(1.0):
            if self.lease.exists():
                self.lease.touch()

    @property
    def home(self) -> Path:
        """The product's state."""
        return self.state / "beacon"

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
        payload = pack()
        process = subprocess.Popen(
            payload.start(self.python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(payload.opening(self.request(command, **args)))
        process.stdin.flush()
        return process

    def ask(self, command: str, **args: Any) -> Answer:
        """Run one command to its end."""
        process = self.start(command, **args)
        out, err = process.communicate(timeout=60)
        return Answer([wire.decode(line) for line in out.splitlines()], err.decode())

    def facts(self) -> dict[str, Any]:
        """All facts, read now."""
        answer = self.ask("status")
        assert answer.outcome == "ok", answer.messages
        return answer.all("facts")[0]

    def stage(self, release: Beacon, run: str = "1120-aaa", cut_after: int = -1) -> Answer:
        """Push a release; with `cut_after` the line is cut after so many bytes of blobs."""
        manifest = release.manifest
        import hashlib

        sha = hashlib.sha256(manifest).hexdigest()
        process = self.start(
            "stage",
            run=run,
            version=release.version,
            digest=release.digest,
            manifest={"sha256": sha, "size": len(manifest)},
            plan={"run": run},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        messages = []
        process.stdin.write(wire.frame_header(sha, 0, len(manifest)) + manifest)
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

    def check(self, release: Beacon, run: str = "1120-aaa") -> Answer:
        """The checks of what is staged."""
        return self.ask(
            "check", scope="staged", run=run, version=release.version, digest=release.digest
        )

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
        for answer in (self.stage(release, run), self.check(release, run)):
            assert answer.outcome == "ok", answer.messages
        begun = self.install(release, run, **policy)
        assert begun.outcome == "ok", begun.messages
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
            time.sleep(0.05)

    def records(self, run: str | None = None) -> list[dict[str, Any]]:
        """The journal of the newest transaction."""
        answer = self.ask("journal", run=run)
        return [message["record"] for message in answer.all("record")]

    def drivers(self) -> list[int]:
        """Processes of the updater that work on this node, found by the lock they hold open."""
        return holders(self.home / "lock")

    def close(self) -> None:
        """End every process of this node, by its id."""
        self._stop.set()
        self._keeper.join()
        for pid in {*self.drivers(), *within(self.top)}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        give_up = time.monotonic() + 5
        while within(self.top) and time.monotonic() < give_up:
            time.sleep(0.02)
        assert not within(self.top), "a process of the node is left"


def settled(facts: dict[str, Any]) -> bool:
    """Whether nothing more happens by itself, or only an accept is missing."""
    opened = facts["transaction"]
    return facts["state"] in ("accepted", "held", "inconsistent") or bool(
        facts["state"] == "monitoring" and opened["healthy"]
    )


def holders(path: Path) -> list[int]:
    """Processes that have a file open."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                links = [os.readlink(fd) for fd in (entry / "fd").iterdir()]
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if str(path) in links:
                found.append(int(entry.name))
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
def a_node(top: Path, python: str = sys.executable) -> Iterator[Node]:
    """A node that leaves nothing behind."""
    node = Node(top, python)
    try:
        yield node
    finally:
        node.close()
        shutil.rmtree(top, ignore_errors=False)
