"""`liftlock demo --serve` in a process of its own, and command lines against its nodes."""

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from app.cli import main
from tests.support.cluster import Ran
from tests.support.node import within
from tests.support.ssh import Relay


class Served:
    """A demo that serves; everything it has is in `directory`."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "demo", "--serve"]
            + ["--dir", str(directory), "--nodes", str(nodes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.process.stdout is None:
            raise AssertionError("opened with a pipe")
        first = self.process.stdout.readline()
        assert first, self.process.communicate(timeout=30)
        self.said: dict[str, Any] = json.loads(first)
        self.file = Path(self.said["cluster"])

    def run(self, *words: str) -> Ran:
        """Run a command line in this process, as somebody who has nothing but the demo."""
        out, err = io.StringIO(), io.StringIO()
        stdin, sys.stdin = sys.stdin, io.StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                status = main(list(words))
        finally:
            sys.stdin = stdin
        return Ran(status, out.getvalue(), err.getvalue())

    def on(self, command: str, *words: str) -> Ran:
        """A command on the demo's cluster."""
        return self.run(command, str(self.file), *words)

    def verdict(self) -> tuple[int, str, str | None, str | None]:
        """Exit of `status`, kind, from, to."""
        ran = self.on("status", "--json")
        found = ran.json["verdict"]
        return ran.status, found["kind"], found["from"], found["to"]

    def versions(self) -> list[tuple[str, str]]:
        """What each node runs, and what is final there."""
        nodes = self.on("status", "--json").json["nodes"]
        return [(node["running"], node["finalized"]["version"]) for node in nodes]

    def upgrade(self, version: str, *words: str) -> Ran:
        """`upgrade --yes`."""
        return self.on("upgrade", self.said["releases"][version], "--yes", *words)

    def variant(self, name: str, changes: Mapping[str, str]) -> Path:
        """Another cluster file beside the demo's, with each pattern replaced."""
        text = self.file.read_text()
        for pattern, new in changes.items():
            text, count = re.subn(pattern, lambda _, new=new: new, text)  # type: ignore[misc]
            assert count, f"{pattern} is not in the cluster file"
        path = self.directory / name
        path.write_text(text)
        return path

    def cut_power(self, node: str) -> None:
        """Kill every process of a node at once: service, updater and all."""
        place = self.directory / "nodes" / node
        mine = [pid for pid in belonging(self.directory) if f"={place}/" in _environment(pid)]
        found = {*mine, *within(place)}
        assert found, f"nothing runs on {node}"
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it, and say how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


def belonging(directory: Path) -> list[int]:
    """Processes of a demo: those that name it, and those that carry its mark, such as drivers."""
    mark = f"LIFTLOCK_DEMO={directory}\0"
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return sorted({*within(directory), *(pid for pid in pids if mark in _environment(pid))})


def _environment(pid: int) -> str:
    """What a process was given; nothing for one that is gone or dead."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


@contextmanager
def served(top: Path, nodes: int) -> Iterator[Served]:
    """A demo for some tests; no process and no file of it is left, whatever happened."""
    directory = top / "demo"
    found = None
    with no_demo_left(directory):
        try:
            found = Served(directory, nodes)
            yield found
        finally:
            if found is not None:
                found.process.kill()
                found.process.communicate()


@contextmanager
def no_demo_left(directory: Path) -> Iterator[None]:
    """No process and no file of a demo is left, whatever happened."""
    try:
        yield
    finally:
        give_up = time.monotonic() + 10
        while left := belonging(directory):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < give_up, "a process of the demo is left"
            time.sleep(0.02)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def wired(demo: Served, name: str) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A cluster file whose only node is reached over a wire of the test's; what can be done to it.

    `do("go_dead")`: nothing passes any more on the connections that there are, new ones are fine.
    `do("cut")`: they are cut. The times are those of a cluster, and not of a show: it may take a
    while on a busy machine until somebody is there again.
    """
    port = int(re.findall(r"port = (\d+)", demo.file.read_text())[0])
    relay = Relay(port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(relay.start(), loop).result(10)
        known = (demo.directory / "known_hosts").read_text()
        path = demo.directory / f"{name}.known"
        path.write_text(known.replace(f":{port} ", f":{relay.port} "))
        changes = {
            'known_hosts = ".*"': f'known_hosts = "{path.name}"',
            rf"port = {port}": f"port = {relay.port}",
            'healthy_deadline = ".*"': 'healthy_deadline = "30s"',
            'accept_window = ".*"': 'accept_window = "90s"',
        }
        file = demo.variant(f"{name}.toml", changes)
        yield file, lambda what: loop.call_soon_threadsafe(getattr(relay, what)) and None
    finally:
        asyncio.run_coroutine_threadsafe(relay.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
