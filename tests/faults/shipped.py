"""A second opinion: the file that is shipped, killed by strace in the kernel's own calls.

No code of ours is changed in the updater here, and none of its processes is a child of a test: the
packed file runs under each Python, detaches as on a node, and a `strace` that follows it kills it
on entry to the k-th call of a kind (notes on reliability, row 1).
"""

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backends.node import wire
from backends.transport.payload import pack
from tests.faults.bench import Bench
from tests.faults.oracle import Oracle
from tests.faults.sweeps import Tally
from tests.support.node import holders, wait_until, within

CALLS = (
    "rename",
    "link",
    "linkat",
    "symlink",
    "unlink",
    "unlinkat",
    "mkdir",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fchmod",
    "fchown",
    "utimensat",
)
"""The kernel's calls through which a disk is changed; strace counts each kind on its own."""

PHASES = ("install", "rollback", "finalize")

_SERVICE = "sleep 600 & echo $! > {pid}; printf %s {version} > {book}"


class ShippedBench(Bench):
    """A bench whose phases are commands to the packed updater, and whose service is a process."""

    def __init__(self, top: Path, layout: str, python: Path) -> None:
        top.mkdir(parents=True)
        self.python = python
        self.pid_file = top / "service.pid"
        self.traced: list[str] = []
        """Words before the command: a strace that kills it."""

        self._ours: list[subprocess.Popen[bytes]] = []
        super().__init__(top, layout, small=True, book=top / "running")
        payload = pack()
        self.updater = top / "updater.pyz"
        self.updater.write_bytes(payload.content)
        shell = {"pid": str(self.pid_file), "book": str(self.book)}
        self.document["service"].update(
            kind="command",
            control=None,
            env={},
            pid_file=str(self.pid_file),
            commands={
                "start": ["sh", "-c", _SERVICE.format(version="{version}", **shell)],
                "stop": ["sh", "-c", "kill $(cat {pid}); rm -f {pid}".format(**shell)],
            },
            log=None,
        )

    # --- states ---

    def reset(self, name: str) -> None:
        """As a bench, with the service started that belongs to it."""
        self.traced = []
        self.end_everything()
        shutil.rmtree(self.node)
        self._copy(self.top / "staged", self.node)
        self._start_service()
        if name == "accepted":
            self.order("install")
            self.rest()

    def _start_service(self) -> None:
        tree = self.places.tree(self.before)
        process = subprocess.Popen(
            ["sleep", "600"], cwd=tree, start_new_session=True, stdin=subprocess.DEVNULL
        )
        self.pid_file.write_text(f"{process.pid}\n")
        self.book.write_text(self.before)
        self._ours.append(process)

    def end_everything(self) -> None:
        """End all processes of this node, by their ids."""
        for pid in {*within(self.node), *within(self.top), *holders(Path(self.places.lock))}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self._ours:
            self._ours.pop().wait()

    def running(self) -> str:
        """The version whose process lives."""
        try:
            pid = int(self.pid_file.read_text())
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return ""
        return self.book.read_text()

    # --- phases ---

    def order(self, command: str) -> list[dict[str, Any]]:
        """Give the packed updater a command; what it answers, cut off when it is killed."""
        args: dict[str, Any] = {"operator": "ann@jump", "run": "r1"}
        if command == "install":
            policy = {"if_operator_vanishes": "keep_if_healthy", "on_failure": "rollback"}
            args["policy"] = dict(policy, second_layer="none")
            args.update(version="2.0", reason="")
        if command in ("install", "finalize"):
            args["digest"] = self.new.digest
        if command == "rollback":
            args["why"] = "drill"
        line = wire.encode(
            {
                "protocol": wire.PROTOCOL,
                "command": command,
                "product": self.document,
                "state_dir": self.places.state_dir,
                "args": args,
            }
        )
        words = [*self.traced, str(self.python), "-I", "-S", "-B", str(self.updater)]
        with self.log.open("wb") as said:
            done = subprocess.run(
                words, input=line, stdout=subprocess.PIPE, stderr=said, timeout=60, check=False
            )
        return [wire.decode(each) for each in done.stdout.splitlines(keepends=True)]

    def rest(self) -> None:
        """Wait until no driver is at work."""
        wait_until(lambda: not holders(Path(self.places.lock)))

    def recovered(self) -> None:
        """What the next acting command does; raises AssertionError when it does not answer."""
        answer = self.order("recover")
        assert answer, self.log.read_text()
        assert (answer[-1]["t"], answer[-1]["outcome"]) == ("end", "ok"), answer[-1]
        self.rest()


@contextmanager
def shipped_bench(top: Path, layout: str, python: Path) -> Iterator[ShippedBench]:
    """A bench that leaves no process behind."""
    made = ShippedBench(top, layout, python)
    try:
        yield made
    finally:
        made.end_everything()


def kills(bench: ShippedBench, phase: str, sample: int = 1, shift: int = 0) -> Tally:
    """Killed on entry to each call of each kind, until there is no such call any more."""
    oracle = Oracle(bench)
    tally = Tally()
    template = "staged" if phase == "install" else "accepted"

    def judged() -> None:
        bench.recovered()
        oracle.judge()

    for call, count in _count(bench, template, phase).items():
        for number in range(1 + shift % sample, count + 1, sample):
            if _killed(bench, template, phase, call, number):
                tally.judge(f"{bench.python} {phase} {call} {number}", bench, judged)
    return tally


def _count(bench: ShippedBench, template: str, phase: str) -> Counter[str]:
    """How often a phase makes each kind of call when nothing disturbs it."""
    said = _traced(bench, template, phase, ["-e", f"trace={','.join(CALLS)}"])
    return Counter(re.findall(r"^\d+ +(\w+)\(", said.decode("latin-1"), re.MULTILINE))


def _killed(bench: ShippedBench, template: str, phase: str, call: str, number: int) -> bool:
    """Whether the phase came to that call, and was killed there."""
    how = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    return b"killed by SIGKILL" in _traced(bench, template, phase, how)


def _traced(bench: ShippedBench, template: str, phase: str, how: list[str]) -> bytes:
    """A phase under strace; what that wrote."""
    bench.reset(template)
    trace = bench.top / "trace"
    bench.traced = ["strace", "-f", "-b", "execve", "-qq", "-o", str(trace), *how]
    try:
        bench.order(phase)
        bench.rest()
    finally:
        bench.traced = []
    return trace.read_bytes()
