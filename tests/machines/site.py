"""Machines with sshd, an operator's workstation with a network to them, and a product on each.

The workstation is a network namespace: each machine is at the end of a link of its own, which can
be cut without the machine or the operator being asked. The operator is the real command line.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncssh

from backends.node.journal import scan
from backends.releases.build import build
from tests.machines import kinds, machine
from tests.machines.kinds import Kind
from tests.machines.machine import Machine, end_with_us, need
from tests.support.cluster import Ran
from tests.support.node import wait_until

_PRODUCT = files("backends.demo") / "product"

PORT = 8080
DIRECTORY = "/opt/beacon"
STATE = "/var/lib/liftlock"
WHEN = 1_700_000_000

SSHD_CONFIG = """\
HostKey /etc/ssh/liftlock_host_key
AuthorizedKeysFile /etc/ssh/liftlock_operators
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM {pam}
UseDNS no
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
"""


class Site:
    """A cluster `harbor` of machines, and all that its operator has."""

    def __init__(
        self, top: Path, machines: list[Machine], kind: Kind, **policy: str | int
    ) -> None:
        self.top = top
        self.machines = machines
        self.kind = kind
        self.releases: dict[str, Path] = {}
        self.profile = kind.profile
        self.policy: dict[str, str | int] = {
            "min_healthy": "300ms",
            "healthy_deadline": "6s",
            "accept_window": "20s",
            "health_poll": "100ms",
            "connect": "3s",
            "pause": "none",
            **policy,
        }
        self.file = top / "harbor.toml"
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._running: list[subprocess.Popen[str]] = []
        self._workstation = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; echo ready; exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=end_with_us,
        )
        assert self._workstation.stdout is not None
        assert self._workstation.stdout.readline() == b"ready\n"
        self._write_operator()

    @property
    def names(self) -> list[str]:
        """The nodes' names."""
        return [node.name for node in self.machines]

    def __getitem__(self, name: str) -> Machine:
        return next(node for node in self.machines if node.name == name)

    # --- the operator's files -------------------------------------------------------------------

    def _write_operator(self) -> None:
        identity = self.top / "identity"
        self._key.write_private_key(identity)
        identity.chmod(0o600)
        known = ""
        for number, node in enumerate(self.machines):
            key = asyncssh.generate_private_key("ssh-ed25519")
            node.write("/etc/ssh/liftlock_host_key", key.export_private_key().decode(), 0o600)
            node.write(
                "/etc/ssh/liftlock_operators", self._key.export_public_key().decode(), 0o600
            )
            node.write("/etc/ssh/sshd_config", SSHD_CONFIG.format(pam="no"))
            known += f"{self.address(number)} {key.export_public_key().decode().strip()}\n"
        (self.top / "known_hosts").write_text(known)
        (self.top / "ssh_config").write_text(
            f"Host *\nUser root\nUserKnownHostsFile {self.top}/known_hosts\n"
            f"IdentityFile {identity}\nIdentitiesOnly yes\nIdentityAgent none\n"
        )
        self.write_cluster()

    def write_cluster(self) -> None:
        """The cluster file and the profile, as they are to be now."""
        policy = "\n".join(f"{key} = {json.dumps(value)}" for key, value in self.policy.items())
        nodes = "\n".join(
            f'{name} = {{ address = "{self.address(number)}" }}'
            for number, name in enumerate(self.names)
        )
        self.file.write_text(
            '[cluster]\nname = "harbor"\nproduct = "beacon"\nsignatures = "optional"\n'
            f'ssh_config = "{self.top}/ssh_config"\nknown_hosts = "{self.top}/known_hosts"\n'
            f'operator_state = "{self.top}/history"\n[defaults]\nuser = "root"\n'
            f"\n[nodes]\n{nodes}\n\n[policy]\n{policy}\n"
        )
        (self.top / "beacon.toml").write_text(self.profile)

    def release(self, version: str, *, sick: bool = False, **more: str) -> Path:
        """A release of beacon with a definition, built by the program itself."""
        source = self.source(version, sick=sick, **more)
        self.releases[version] = build(source, "beacon", version, self.top / "releases").tarball
        return self.releases[version]

    def source(self, version: str, *, sick: bool = False, **more: str) -> Path:
        """What a release is built from; `more` are files with `__` for a dot in their names."""
        source = self.top / f"source-{version}"
        source.mkdir()
        contents = {
            "beacon.py": (_PRODUCT / "beacon.py").read_text(),
            "VERSION": f"{version}\n",
            self.kind.file: self.kind.text.format(version=version),
            **({"sick": "yes\n"} if sick else {}),
            **{name.replace("__", "."): text for name, text in more.items()},
        }
        for name, text in contents.items():
            (source / name).write_text(text)
            os.utime(source / name, (WHEN, WHEN))
        return source

    def have_logins(self, name: str) -> None:
        """Have each connection be a login for logind, as on most machines; it costs time."""
        self[name].write("/etc/ssh/sshd_config", SSHD_CONFIG.format(pam="yes"))

    # --- power and network ----------------------------------------------------------------------

    def boot(self, *names: str) -> None:
        """Switch machines on, all when none is named, and plug their links in."""
        for name in names or self.names:
            self[name].boot()
            self._plug_in(self.names.index(name))

    def address(self, number: int) -> str:
        """Where a machine is, seen from the workstation."""
        return f"10.77.{number}.2"

    def _plug_in(self, number: int) -> None:
        node = self.machines[number]
        self._ip(
            *("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0"),
            *("netns", str(node.pid)),
        )
        self._ip("addr", "add", f"10.77.{number}.1/24", "dev", f"v{number}")
        self._ip("link", "set", f"v{number}", "up")
        node.ask("ip", "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        node.ask("ip", "link", "set", "eth0", "up")

    def keep(self, name: str) -> None:
        """Switch all off, and remember what is on their disks."""
        for node in self.machines:
            node.power_cut()
            node.keep(name)

    def put_back(self, name: str) -> None:
        """Have what was kept on all disks, and switch them on until they serve; no operator knows
        anything."""
        for node in self.machines:
            node.power_cut()
            node.put_back(name)
        for history in self.top.glob("*history"):
            shutil.rmtree(history)
        self.boot()
        for node in self.machines:
            wait_until(partial(node.listens, PORT))

    def cut_link(self, name: str) -> None:
        """Nothing goes through any more, in either direction; nobody is told."""
        self._ip("link", "set", f"v{self.names.index(name)}", "down")

    def mend_link(self, name: str) -> None:
        """It goes through again."""
        self._ip("link", "set", f"v{self.names.index(name)}", "up")

    def power_cut(self, name: str) -> None:
        """The machine is off, with what it had written."""
        self[name].power_cut()

    def _ip(self, *words: str) -> None:
        subprocess.run([*self._there(), "ip", *words], check=True, timeout=20)

    def _there(self) -> list[str]:
        return ["nsenter", f"--target={self._workstation.pid}", "--net", "--"]

    # --- the operator ---------------------------------------------------------------------------

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command line on the workstation."""
        program = "tests.support.traced" if "COVERAGE_FILE" in os.environ else "app"
        process = subprocess.Popen(
            [*self._there(), sys.executable, "-m", program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
            preexec_fn=end_with_us,
        )
        self._running.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        """It is compiled once, as an installed program is; what it leaves goes with the site."""
        temporary = self.top / "tmp"
        temporary.mkdir(exist_ok=True)
        found = {**os.environ, "LIFTLOCK_CONFIG_DIR": str(self.top / "config")}
        found["TMPDIR"] = str(temporary)
        found.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**found, "PYTHONPYCACHEPREFIX": str(self.top / "compiled")}

    def run(self, command: str, *words: str, seconds: float = 180) -> Ran:
        """Run a command about this cluster to its end."""
        process = self.start(command, str(self.file), *words)
        out, err = process.communicate(timeout=seconds)
        return Ran(process.returncode, out, err)

    def upgrade(self, version: str, *words: str) -> Ran:
        """`upgrade --yes`."""
        return self.run("upgrade", str(self.releases[version]), "--yes", *words)

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        return self.run("status", "--json").json

    def node(self, name: str) -> dict[str, Any]:
        """What `status --json` says of one node."""
        return next(node for node in self.status()["nodes"] if node["name"] == name)

    def wait_for(
        self, reached: Callable[[dict[str, Any]], object], seconds: float = 60
    ) -> dict[str, Any]:
        """Ask for the status until it is as wanted."""
        give_up = time.monotonic() + seconds
        while True:
            status = self.status()
            if reached(status):
                return status
            assert time.monotonic() < give_up, status
            time.sleep(0.3)

    # --- the nodes ------------------------------------------------------------------------------

    def lay_down(self, version: str, *names: str, source: Path | None = None) -> None:
        """Put a version in place by hand, as before there was Liftlock, and start it."""
        source = source or self.source(version)
        for node in (self[name] for name in names or self.names):
            shutil.copytree(source, node.path(DIRECTORY))
            node.write("/opt/beacon/beacon.conf", f"of {node.name}\n")
            node.write(self.kind.place, self.kind.text.format(version=version), self.kind.mode)
            time.sleep(0.05)  # what is as young as its process counts as the process's own
            for words in self.kind.begin:
                node.ask(*words)

    def settle(self) -> None:
        """Switch all on, lay 1.0 down on all, and have it adopted."""
        self.boot()
        self.lay_down("1.0")
        self.wait_for(lambda status: status["verdict"]["kind"] == "unmanaged")
        ran = self.run("adopt", "--yes")
        assert ran.status == 0, ran

    def product(self, name: str) -> dict[str, object]:
        """What lies in the product's directory, and the definition: as it has to come back."""
        node, found = self[name], {}
        top = node.path(DIRECTORY)
        for path in [*top.rglob("*"), node.path(self.kind.place)]:
            ours = ".liftlock" in path.parts
            if path.is_file() and not ours and path.name != "beacon.pid":
                about = path.stat()
                found[str(path).removeprefix(str(node.path("")))] = (
                    path.read_bytes(),
                    about.st_mode,
                    about.st_mtime_ns,
                )
        return found

    def in_trial(self, name: str) -> str:
        """Begin an upgrade to 2.0 that nobody accepts, and leave it in trial; the transaction."""
        process = self.start("upgrade", str(self.file), str(self.releases["2.0"]), "--yes")

        def is_there() -> bool:
            node = self.node(name)
            assert process.poll() is None, process.communicate()
            return bool(node["state"] == "monitoring" and node["health"] == "healthy")

        wait_until(is_there, seconds=60)
        process.kill()
        process.communicate()
        return str(self.records(name)[0]["txn"])

    def driver(self, name: str) -> int:
        """The pid of the updater at work, as the node counts; 0 when none is."""
        home = f"{STATE}/beacon"
        is_free = self[name].run("flock", "-n", f"{home}/lock", "true").returncode == 0
        return 0 if is_free else int(json.loads(self[name].ask("cat", f"{home}/owner"))["pid"])

    def records(self, name: str, txn: str = "", kind: str = "") -> list[dict[str, Any]]:
        """A node's journal of the open transaction, or of one that is over; of one kind only."""
        where = f"{STATE}/beacon/done/{txn}" if txn else f"{STATE}/beacon/active"
        found = self[name].path(f"{where}/journal")
        if txn and not found.exists():
            found = self[name].path(f"{STATE}/beacon/active/journal")
        records = scan(found.read_bytes()).records
        return [record for record in records if kind in ("", record["t"])]

    def end_operators(self) -> None:
        """End every command line that still runs."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        self._running.clear()

    def close(self) -> None:
        """End what the operator left running, and the workstation."""
        self.end_operators()
        self._workstation.kill()
        self._workstation.communicate()


@contextmanager
def a_site(
    top: Path, count: int = 1, *, kind: Kind = kinds.SYSTEMD, **policy: str | int
) -> Iterator[Site]:
    """A site of so many machines n1, n2, ...; they are off, and nothing of them is left."""
    init = machine.SYSTEMD if kind is kinds.SYSTEMD else machine.SYSV
    need("sshd", "openssh-server")
    made: list[Machine] = []
    site = None
    try:
        for name in (f"n{number}" for number in range(1, count + 1)):
            made += [Machine(top / name, name, init)]
        site = Site(top, made, kind, **policy)
        for node in made:
            if kind is kinds.SYSTEMD:
                wants = "/etc/systemd/system/multi-user.target.wants"
                node.link(f"{wants}/ssh.service", "/usr/lib/systemd/system/ssh.service")
        yield site
    finally:
        if site is not None:
            site.close()
        for node in made:
            node.close()
