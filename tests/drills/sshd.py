"""Real OpenSSH servers on loopback, and an operator who reaches them.

Each server is a child of the test and has everything in one directory. What its sessions leave is
found by the log that every process of sshd holds open, and by a mark in the environment.
"""

import fcntl
import inspect
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncssh
import pytest

from backends.domain.problem import Problem
from backends.transport.admission import Admission
from backends.transport.link import Link, LinkFailed
from backends.transport.ssh import SshLink
from backends.transport.ssh_dialer import Dialer
from backends.transport.way import Way
from tests.support.cluster import Cluster
from tests.support.node import holders, wait_until
from tests.transport import test_link_contract

USER = pwd.getpwuid(os.getuid()).pw_name
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
MARK = "LIFTLOCK_DRILL"


def tool(name: str, package: str) -> str:
    """Where a program is; the test fails where it is not."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.fail(f"{name} is missing; on Debian: apt-get install {package}", pytrace=False)
    return found


class Sshd:
    """One sshd. A name for its node, its files in `top`, a port of its own."""

    def __init__(self, top: Path, address: str = "127.0.0.1", *, config: str = "") -> None:
        """`config` goes before everything else in sshd_config: there, the first value counts."""
        self.top = top
        self.address = address
        self.port = 0
        self.config = config
        self.path = PATH
        self.before: list[str] = []
        """Words before the command line that starts it."""

        self.host_keys = ["ssh-ed25519"]
        self.log_file = top / "sshd.log"
        self.authorized_keys = top / "authorized_keys"
        self._process: subprocess.Popen[bytes] | None = None
        top.mkdir(parents=True)

    # --- files ----------------------------------------------------------------------------------

    def lets_in(self, operator: "Operator") -> None:
        """The operator's key opens it."""
        with self.authorized_keys.open("a") as stream:
            stream.write(operator.key.export_public_key().decode())

    def host_key(self, kind: str = "ssh-ed25519") -> Path:
        """The file of its host key, which is made when it is first asked for."""
        file = self.top / f"host_{kind}"
        if not file.exists():
            key = asyncssh.generate_private_key(kind)
            key.write_private_key(file)
            key.write_public_key(f"{file}.pub")
            file.chmod(0o600)
        return file

    def public_key(self, kind: str = "ssh-ed25519") -> str:
        """Its host key, as a public key file has it."""
        return Path(f"{self.host_key(kind)}.pub").read_text().strip()

    def forget_host_keys(self) -> None:
        """Have other host keys from the next start on: the machine was installed anew."""
        for kind in self.host_keys:
            self.host_key(kind).unlink()

    @property
    def called(self) -> str:
        """Its name in known_hosts."""
        return f"[{self.address}]:{self.port}"

    def known_hosts_lines(self) -> str:
        """What makes its host keys known."""
        return "".join(f"{self.called} {self.public_key(kind)}\n" for kind in self.host_keys)

    # --- the process ----------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process that listens."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    def start(self) -> None:
        """Listen; the second time on the same port."""
        said, is_new = "", self.port == 0
        for _ in range(5):
            if is_new:
                self.port = _free_port(self.address)
            said = self._start()
            if "Server listening" in said:
                return
            if "Address already in use" not in said:
                break
        pytest.fail(f"sshd does not start: {said}", pytrace=False)

    def _start(self) -> str:
        self._write_config()
        before = len(self.log)
        sshd = tool("sshd", "openssh-server")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.before, sshd, "-D", "-e", "-f", str(self.top / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": PATH, MARK: str(self.top)},
            )
        process = self._process
        wait_until(lambda: "Server listening" in self.log[before:] or process.poll() is not None)
        return self.log[before:]

    def _write_config(self) -> None:
        keys = "".join(f"HostKey {self.host_key(kind)}\n" for kind in self.host_keys)
        (self.top / "sshd_config").write_text(
            f"{self.config}\n"
            f"ListenAddress {self.address}\nPort {self.port}\n{keys}"
            f"PidFile {self.top}/sshd.pid\nAuthorizedKeysFile {self.authorized_keys}\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nUseDNS no\n"
            "PrintMotd no\nPrintLastLog no\nPermitUserRC no\nLogLevel VERBOSE\n"
            f'SetEnv {MARK}="{self.top}" PATH="{self.path}" SHLVL=1\n'  # SHLVL: no .bashrc
        )

    def stop(self) -> None:
        """End it and everything that its sessions left, each by its id."""
        if self._process is None:
            return
        give_up = time.monotonic() + 10
        while left := self.processes():
            assert time.monotonic() < give_up, f"processes of {self.top} do not end: {left}"
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.01)
        self._process.wait()

    def processes(self) -> list[int]:
        """All its processes: who listens, who serves a connection, and what was started there."""
        listens = [self.pid] if self._process and self._process.poll() is None else []
        return sorted({*listens, *holders(self.log_file), *_marked(self.top)})

    def sessions(self) -> list[int]:
        """The processes of sshd that serve a connection."""
        return [pid for pid in holders(self.log_file) if pid != self.pid]

    def kill_sessions(self) -> None:
        """End every connection as a crash does; it still listens."""
        for pid in self.sessions():
            os.kill(pid, signal.SIGKILL)

    def freeze_sessions(self) -> None:
        """Let every connection fall silent without an end; it still listens."""
        for pid in self.sessions():
            os.kill(pid, signal.SIGSTOP)

    def freeze(self) -> None:
        """Let who listens fall silent: connections are made, and nobody speaks."""
        os.kill(self.pid, signal.SIGSTOP)

    def stop_listening(self) -> None:
        """Take no further connection; those that are there stay."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    # --- what it says ---------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """All that it said."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def logins(self) -> int:
        """How often somebody logged in."""
        return self.log.count("Accepted publickey")


class Operator:
    """Who has a key, an ssh config and a file of known hosts; nothing of who runs the tests."""

    def __init__(self, top: Path, user: str = USER) -> None:
        self.top = top
        self.user = user
        top.mkdir(parents=True)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.identity = top / "identity"
        self.key.write_private_key(self.identity)
        self.key.write_public_key(f"{self.identity}.pub")
        self.identity.chmod(0o600)
        self.known_hosts = top / "known_hosts"
        self.config = top / "ssh_config"
        self.write_config()

    def write_config(self, more: str = "", *, keys: str | None = None) -> None:
        """What ssh config says; `more` goes first: the first value counts.

        `keys` says where keys come from; else it is the key file, and nothing but that.
        """
        ours = f"IdentityFile {self.identity}\nIdentitiesOnly yes\nIdentityAgent none"
        self.config.write_text(
            f"{more}\nHost *\nUser {self.user}\nUserKnownHostsFile {self.known_hosts}\n"
            f"{ours if keys is None else keys}\n"
        )

    def knows(self, *nodes: Sshd) -> None:
        """Record what these show, and nothing else."""
        self.known_hosts.write_text("".join(node.known_hosts_lines() for node in nodes))

    def dialer(self, *, seconds: float = 5) -> Dialer:
        """What all connections share."""
        return Dialer(seconds=seconds, admission=Admission(16, 8), config=self.config)

    def link(self, sshd: Sshd) -> SshLink:
        """A link to a node without a gateway; whoever asks closes it."""
        return SshLink(Way("n1", sshd.address, sshd.port), self.dialer())

    @asynccontextmanager
    async def reaches(
        self, sshd: Sshd, *, jump: str | None = None, seconds: float = 5
    ) -> AsyncIterator[SshLink]:
        """A link to a node."""
        async with self.reaches_often(sshd, 1, jump=jump, seconds=seconds) as links:
            yield links[0]

    @asynccontextmanager
    async def reaches_often(
        self, sshd: Sshd, count: int, *, jump: str | None = None, seconds: float = 5
    ) -> AsyncIterator[list[SshLink]]:
        """As many links to it as if it were so many nodes: n1, n2, ..."""
        dialer = self.dialer(seconds=seconds)
        ways = [
            Way(f"n{number + 1}", sshd.address, sshd.port, jump=jump) for number in range(count)
        ]
        links = [SshLink(way, dialer) for way in ways]
        try:
            yield links
        finally:
            for link in links:
                await link.close()
            await dialer.close()

    def ssh(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """OpenSSH's own client, as this operator."""
        command = [tool("ssh", "openssh-client"), "-F", str(self.config), "-o", "BatchMode=yes"]
        return subprocess.run(
            [*command, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )


class SshCluster(Cluster):
    """A cluster of beacons behind real servers, driven by the command line."""

    product_name = "beacon"

    def __init__(
        self,
        top: Path,
        servers: Sequence[Sshd],
        operator: Operator,
        *,
        defaults: str = "",
        **policy: str | int,
    ) -> None:
        self.servers = list(servers)
        self.person = operator
        self.defaults = defaults
        super().__init__(
            top, len(servers), **{"connect": "3s", "healthy_deadline": "5s", **policy}
        )

    def vars(self, name: str) -> dict[str, str | int]:
        """What the profile may use of a node."""
        return {"port": self.ports[name]}

    def write_cluster(self, extra: str = "") -> None:
        nodes = "\n".join(
            f'{name} = {{ address = "{server.address}", port = {server.port},'
            f' state_dir = "{self.top}/{name}/state", vars = {_table(self.vars(name))} }}'
            for name, server in zip(self.names, self.servers, strict=True)
        )
        policy = "\n".join(
            f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"'
            for key, value in self.policy.items()
        )
        self.file.write_text(
            f'[cluster]\nname = "harbor"\nproduct = "{self.product_name}"\n'
            'signatures = "optional"\n'
            f'ssh_config = "{self.person.config}"\nknown_hosts = "{self.person.known_hosts}"\n'
            f'operator_state = "{self.top}/history"\n{extra}\n'
            f'\n[defaults]\ntransport = "ssh"\nuser = "{self.person.user}"\n{self.defaults}\n'
            f"\n[nodes]\n{nodes}\n\n[policy]\n{policy}\n"
        )


def _table(values: dict[str, str | int]) -> str:
    """As TOML writes it in one line."""
    return f"{{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in values.items())} }}"


class Agent:
    """A real ssh-agent."""

    def __init__(self, top: Path) -> None:
        self.socket = top / "agent"
        self._process = subprocess.Popen(
            [tool("ssh-agent", "openssh-client"), "-D", "-a", str(self.socket)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.socket.exists)

    def add(self, *files: Path) -> None:
        """Give it keys."""
        subprocess.run(
            [tool("ssh-add", "openssh-client"), "-q", *map(str, files)],
            env={"PATH": PATH, "SSH_AUTH_SOCK": str(self.socket)},
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=20,
        )

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def keygen(*words: str | Path) -> str:
    """ssh-keygen, and what it said."""
    command = [tool("ssh-keygen", "openssh-client"), "-q", *map(str, words)]
    ran = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20
    )
    assert ran.returncode == 0, (shlex.join(command), ran.stderr)
    return ran.stdout


def contract() -> dict[str, Callable[..., object]]:
    """What every link promises: the tests, for a module with a fixture `link` of its own."""
    tests = vars(test_link_contract).items()
    return {
        name: test
        for name, test in tests
        if name.startswith("test_") and "link" in inspect.signature(test).parameters
    }


async def echo(link: Link) -> list[bytes]:
    """One command to its end: what it said."""
    async with link.open(["echo", "here"]) as channel:
        return await test_link_contract.read(channel)


async def problem_of(link: Link) -> Problem:
    """Why it cannot run a command."""
    with pytest.raises(LinkFailed) as caught:
        await echo(link)
    return caught.value.problem


# --- the directory that sshd wants as root ------------------------------------------------------

_RUN = Path("/run/sshd")
_OURS = _RUN / "made-by-liftlock-drills"


@contextmanager
def privilege_separation() -> Iterator[None]:
    """There is a /run/sshd meanwhile; the last of all drills removes it, if a drill made it."""
    if os.getuid() != 0:
        yield
        return
    held = _hold_run()
    try:
        yield
    finally:
        with suppress(BlockingIOError):  # somebody else still needs it
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _OURS.exists():
                _OURS.unlink()
                _RUN.rmdir()
        os.close(held)


def _hold_run() -> int:
    while True:
        with suppress(FileNotFoundError):  # removed behind our back: once more
            with suppress(FileExistsError):
                _RUN.mkdir(mode=0o755)
                _OURS.touch()
            held = os.open(_RUN, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(held, fcntl.LOCK_SH)
            if os.fstat(held).st_nlink > 0:
                return held
            os.close(held)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _marked(top: Path) -> list[int]:
    """Processes that carry the mark of a server."""
    mark = os.fsencode(f"{MARK}={top}")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
