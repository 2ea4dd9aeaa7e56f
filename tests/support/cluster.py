"""A cluster of a test's own on this machine: real beacons, real releases, the real command line.

Each node is this machine with a state directory and a product directory of its own.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib.resources import files
from pathlib import Path
from typing import Any

from app.cli import main
from backends.releases.build import build
from tests.support.beacon import free_port
from tests.support.node import holders, picture, within

_PRODUCT = files("backends.demo") / "product"


class Ran:
    """What one command line said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which is one JSON object."""
        assert self.out.startswith("{"), self
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def said(self) -> str:
        """Standard error as one line, however it was wrapped."""
        return " ".join(self.err.replace("\n  |", " ").split())

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output, which is JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit {self.status}\n{self.out}\n{self.err}"


class Cluster:
    """A cluster file, a profile, releases, and the state of an operator."""

    def __init__(self, top: Path, nodes: int = 1, **policy: str | int) -> None:
        self.top = top
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self.ports = {name: free_port() for name in self.names}
        self.lease = top / "lease"
        self.releases: dict[str, Path] = {}
        top.mkdir(parents=True, exist_ok=True)
        self.lease.touch()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep_lease, daemon=True)
        self._keeper.start()
        self.policy = {
            "min_healthy": "300ms",
            "healthy_deadline": "2s",
            "accept_window": "8s",
            "health_poll": "100ms",
            "connect": "1s",
            "pause": "none",
            **policy,
        }
        self.file = top / "harbor.toml"
        self.write_cluster()
        self._first = self.file.read_text()
        self.profile = top / "beacon.toml"
        self.write_profile()

    def write_cluster_again(self) -> None:
        """Put the cluster file back as it was first written."""
        self.file.write_text(self._first)

    def write_cluster(self, extra: str = "") -> None:
        """Write the cluster file; `extra` goes into [cluster]."""
        nodes = "\n".join(
            f'{name} = {{ transport = "local", state_dir = "{self.top}/{name}/state",'
            f" vars = {{ port = {port} }} }}"
            for name, port in self.ports.items()
        )
        policy = "\n".join(f"{key} = {json.dumps(value)}" for key, value in self.policy.items())
        self.file.write_text(
            f'[cluster]\nname = "harbor"\nproduct = "beacon"\nsignatures = "optional"\n{extra}\n'
            f"\n[nodes]\n{nodes}\n\n[policy]\n{policy}\n"
        )

    def write_profile(self, extra: str = "") -> None:
        """Write the profile; `extra` goes to its end."""
        self.profile.write_text(
            f"""\
[product]
name = "beacon"
directory = "{self.top}/{{node}}/opt/beacon"

[service]
kind = "control"
env = {{ BEACON_PORT = "{{vars.port}}", BEACON_LEASE = "{self.lease}" }}
pid_file = "beacon.pid"
log = "control tail"
stop_timeout = "5s"
start_timeout = "5s"

[[health]]
kind = "http"
url = "http://127.0.0.1:{{vars.port}}/health"
version_field = "version"
timeout = "2s"
{extra}
"""
        )

    def release(self, version: str, *, sick: bool = False, **more: str) -> Path:
        """A release of beacon, built by the program itself."""
        source = self.top / f"source-{version}"
        source.mkdir()
        for name in ("beacon.py", "control"):
            (source / name).write_bytes((_PRODUCT / name).read_bytes())
        (source / "control").chmod(0o755)
        (source / "VERSION").write_text(version + "\n")
        if sick:
            (source / "sick").write_text("yes\n")
        for name, text in more.items():
            (source / name).write_text(text)
        built = build(source, "beacon", version, self.top / "releases")
        self.releases[version] = built.tarball
        return built.tarball

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command line in a process of its own: what it leaves when it is killed goes with
        the cluster."""
        temporary = self.top / "tmp"
        temporary.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "app", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, "TMPDIR": str(temporary)},
        )

    @property
    def environment(self) -> dict[str, str]:
        """The operator's environment: nothing of the person who runs the tests."""
        return {
            **os.environ,
            "LIFTLOCK_STATE_DIR": str(self.top / "operator"),
            "LIFTLOCK_CONFIG_DIR": str(self.top / "config"),
        }

    def run(self, *words: str) -> Ran:
        """Run a command line to its end, in this process: `start` is the one with its own."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ), sys.stdin
        os.environ.update(self.environment)
        sys.stdin = io.StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                status = main(list(words))
        finally:
            os.environ.clear()
            os.environ.update(before[0])
            sys.stdin = before[1]
        return Ran(status, out.getvalue(), err.getvalue())

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        return self.run("status", str(self.file), "--json").json

    def upgrade(self, version: str, *words: str) -> Ran:
        """`upgrade --yes`."""
        return self.run("upgrade", str(self.file), str(self.releases[version]), "--yes", *words)

    def settle(self, version: str) -> None:
        """Put a version in place by hand on every node, start it, and adopt it."""
        self.release(version)
        source = self.top / f"source-{version}"
        for name, port in self.ports.items():
            directory = self.top / name / "opt" / "beacon"
            shutil.copytree(source, directory / version)
            (directory / ".version").write_text(version + "\n")
            # A process's start is known to 10 ms: what is as young as that counts as its own.
            time.sleep(0.05)
            subprocess.run(
                [directory / version / "control", "start"],
                env={**os.environ, "BEACON_PORT": str(port), "BEACON_LEASE": str(self.lease)},
                stdout=subprocess.DEVNULL,
                check=True,
            )
        ran = self.run("adopt", str(self.file), "--yes")
        assert ran.status == 0, ran

    def wait_for(
        self, reached: Callable[[dict[str, Any]], bool], seconds: float = 30
    ) -> dict[str, Any]:
        """Ask for the status until it is as wanted."""
        give_up = time.monotonic() + seconds
        while True:
            status = self.status()
            if reached(status):
                return status
            assert time.monotonic() < give_up, status
            time.sleep(0.2)

    def drivers(self) -> list[int]:
        """The updaters at work on any node."""
        return [
            pid
            for name in self.names
            for pid in holders(self.top / name / "state" / "beacon" / "lock")
        ]

    def product(self, name: str) -> dict[str, tuple[object, ...]]:
        """A node's product directory, byte for byte, without what the service writes."""
        top = self.top / name / "opt"
        return {
            path: about
            for path, about in picture(top).items()
            if ".liftlock" not in path and Path(path).name not in ("beacon.pid", "beacon.log")
        }

    def close(self) -> None:
        """End every process of this cluster, by its id."""
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
        assert not within(self.top), "a process of the cluster is left"

    def _keep_lease(self) -> None:
        while not self._stop.wait(1.0):
            self.lease.touch()
