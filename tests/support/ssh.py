"""Nodes behind SSH servers of a test's own, and what an operator has at hand to reach them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from backends.demo.sshd import Sshd
from backends.transport.admission import Admission
from backends.transport.prompt import Prompt, Question, Secrets
from backends.transport.ssh import SshLink
from backends.transport.ssh_dialer import Dialer
from backends.transport.way import Way

USER = "ann"
ADDRESS = "127.0.0.1"


# --- the operator's side ------------------------------------------------------------------------


class Desk:
    """An operator's files: a key, an ssh config, and what is known of other machines' keys."""

    def __init__(self, top: Path) -> None:
        top.mkdir(parents=True, exist_ok=True)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.known_hosts = top / "known_hosts"
        self.identity = top / "identity"
        self.key.write_private_key(self.identity)
        self.identity.chmod(0o600)
        self.config = top / "ssh_config"
        self.write_config()

    def write_config(self, more: str = "", *, first: str = "") -> None:
        """What ssh config says; `first` goes before everything else, `more` to its end."""
        self.config.write_text(
            f"{first}\n"
            f"Host *\n  User {USER}\n  IdentityFile {self.identity}\n  IdentitiesOnly yes\n"
            f"  IdentityAgent none\n  UserKnownHostsFile {self.known_hosts}\n{more}"
        )

    def knows(self, *lines: str) -> None:
        """Exactly these lines are known."""
        self.known_hosts.write_text("".join(f"{line}\n" for line in lines))

    def dialer(
        self,
        *,
        prompt: Prompt | None = None,
        seconds: float = 5,
        admission: Admission | None = None,
        known_hosts: Path | None = None,
    ) -> Dialer:
        """What all connections to one cluster share."""
        return Dialer(
            seconds=seconds,
            admission=admission or Admission(16, 8),
            config=self.config,
            known_hosts=known_hosts,
            secrets=Secrets(prompt) if prompt else None,
        )


class Person:
    """Somebody who gives these answers, one after the other, and then none."""

    def __init__(self, *answers: str | None, seconds: float = 0) -> None:
        """`seconds` is how long each answer takes."""
        self.asked: list[Question] = []
        self._answers = list(answers)
        self._seconds = seconds

    async def ask(self, question: Question) -> str | None:
        """The next answer."""
        self.asked.append(question)
        await asyncio.sleep(self._seconds)
        return self._answers.pop(0) if self._answers else None


# --- what is no SSH server ----------------------------------------------------------------------


class Listener:
    """A port that says something and hangs up, or goes on listening; it counts who came."""

    def __init__(self, says: bytes = b"", *, hangs_up: bool = False) -> None:
        self._says = says
        self._hangs_up = hangs_up
        self.connected = 0
        self.port = 0
        self.now: set[asyncio.StreamWriter] = set()
        """The connections that there are."""

    async def start(self) -> "Listener":
        """Listen."""
        self._server = await asyncio.start_server(self._met, ADDRESS, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self.now.add(writer)
        try:
            writer.write(self._says)
            while not self._hangs_up and await reader.read(65536):
                pass
        except ConnectionError:
            pass
        finally:
            self.now.discard(writer)
            writer.close()

    async def close(self) -> None:
        """Stop."""
        self._server.close()
        for writer in [*self.now]:
            writer.transport.abort()
        while self.now:
            await asyncio.sleep(0)
        await self._server.wait_closed()


class Relay:
    """A wire to a port that can be cut, or go dead without anybody noticing."""

    def __init__(self, port: int) -> None:
        """`port` is where it leads."""
        self._target = port
        self._open = asyncio.Event()
        self._open.set()
        self._ends: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()
        self.drops = 0
        """So many of the first connections are dropped, as MaxStartups does."""

        self.connected = 0
        self.port = 0

    async def start(self) -> "Relay":
        """Listen."""
        self._server = await asyncio.start_server(self._met, ADDRESS, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        if self.connected <= self.drops:
            writer.close()
            return
        there, back = await asyncio.open_connection(ADDRESS, self._target)
        self._ends += [writer, back]
        loop = asyncio.get_running_loop()
        dead = self._open
        for source, sink in ((reader, back), (there, writer)):
            pump = loop.create_task(self._pump(source, sink, dead))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_open: asyncio.Event
    ) -> None:
        try:
            while data := await source.read(65536):
                await is_open.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()

    def go_dead(self) -> None:
        """Nothing passes any more on the connections that there are; new ones are fine."""
        self._open.clear()
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        """Cut the connections that there are."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def close(self) -> None:
        """Stop."""
        self._server.close()
        self.cut()
        for pump in [*self._pumps]:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._server.wait_closed()


# --- a node with everything ---------------------------------------------------------------------


class SshNode(Desk):
    """One server on loopback that runs commands; its files, and an operator's, are in `top`."""

    def __init__(self, top: Path, *, password: str | None = None) -> None:
        super().__init__(top)
        self.top = top
        self.home = top / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.server = Sshd(
            self.home,
            {"PATH": os.environ["PATH"], "HOME": str(self.home), "MARK": str(top)},
            host_key=asyncssh.generate_private_key("ssh-ed25519"),
            user=USER,
            keys=[self.key.convert_to_public()],
            password=password,
        )

    async def start(self) -> None:
        """Listen, and be known."""
        await self.server.start()
        self.knows(self.server.known_hosts_line)

    async def behind(self, relay: Relay) -> SshLink:
        """A link to it that goes through a wire of ours."""
        await relay.start()
        _, key = self.server.known_hosts_line.split(" ", 1)
        self.knows(self.server.known_hosts_line, f"[{ADDRESS}]:{relay.port} {key}")
        return self.link(port=relay.port)

    def way(self, **changes: object) -> Way:
        """The way to it, as a cluster file says it."""
        return way_to(**{"port": self.server.port, **changes})  # type: ignore[arg-type]

    def link(self, **changes: object) -> SshLink:
        """A link to it."""
        return SshLink(self.way(**changes), self.dialer())


def way_to(port: int, **changes: object) -> Way:
    """A way to a port on loopback."""
    said: dict[str, object] = {"node": "n1", "address": ADDRESS, "port": port}
    return Way(**{**said, **changes})  # type: ignore[arg-type]


def entry(port: int, key: asyncssh.SSHKey, *, name: str = ADDRESS, marker: str = "") -> str:
    """The line of a known_hosts file that means this key."""
    algorithm, blob = key.export_public_key().decode("ascii").split()[:2]
    return f"{marker} [{name}]:{port} {algorithm} {blob}".lstrip()


# --- a server that remembers --------------------------------------------------------------------


class Peer:
    """An SSH server about which a test decides everything; it remembers what it was asked.

    Its commands are all `cat`. Nothing is forwarded, unless `is_gateway`.
    """

    def __init__(self, *host_keys: object) -> None:
        """Each of `host_keys` is a key, or a pair of a key and its certificate."""
        self._host_keys = host_keys or (asyncssh.generate_private_key("ssh-ed25519"),)
        self.keys: list[asyncssh.SSHKey] = []
        self.authorities: list[asyncssh.SSHKey] = []
        self.password: str | None = None
        self.code: Callable[[str], bool] | None = None
        """Whether a one-time code is right; where it is set, it is asked for."""

        self.code_text = "Verification code: "
        self.sessions_at_once = 1000
        self.runs_commands = True
        self.is_gateway = False
        self.hangs_up_after = 1000
        """So many refused passwords, as MaxAuthTries."""

        self.port = 0
        self.connected = 0
        """How many connections there were."""

        self.users: list[str] = []
        """Whoever wanted to log in: one name a connection."""

        self.tried: list[str] = []
        """Passwords and codes, in their order."""

        self.challenges = 0
        """How often a code was asked for."""

        self.commands: list[str] = []
        self.environments: list[dict[bytes, bytes]] = []
        self.requested = 0
        """How many sessions somebody wanted."""

        self.terminals = 0
        self.displays: list[str | None] = []
        self.agents: list[str | None] = []
        self.now: set[asyncssh.SSHServerConnection] = set()
        """The connections that there are."""

        self.running = 0
        self._acceptor: asyncssh.SSHAcceptor | None = None

    @property
    def host_key(self) -> asyncssh.SSHKey:
        """The key, or the first of them."""
        first = self._host_keys[0]
        return first[0] if isinstance(first, tuple) else first  # type: ignore[return-value]

    def entry(self, **changes: str) -> str:
        """Its line of a known_hosts file."""
        return entry(self.port, self.host_key, **changes)

    async def start(self, **settings: object) -> "Peer":
        """Listen."""
        self._acceptor = await asyncssh.listen(
            ADDRESS,
            0,
            server_factory=lambda: _PeerLogin(self),
            server_host_keys=list(self._host_keys),
            encoding=None,
            line_editor=False,
            agent_forwarding=True,
            x11_forwarding=True,
            gss_host=None,
            config=None,
            **settings,  # type: ignore[arg-type]
        )
        self.port = self._acceptor.get_port()
        return self

    def drop(self) -> None:
        """Cut every connection without a word."""
        for connection in self.now:
            connection.abort()

    async def close(self) -> None:
        """Stop listening, and cut every connection."""
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        while self.now:
            self.drop()
            await asyncio.sleep(0)


class _PeerLogin(asyncssh.SSHServer):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._refused = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._peer.connected += 1
        self._peer.now.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.now.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        self._peer.users.append(username)
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key in self._peer.keys

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key in self._peer.authorities

    def password_auth_supported(self) -> bool:
        return self._peer.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        self._peer.tried.append(password)
        if username == USER and password == self._peer.password:
            return True
        self._refused += 1
        if self._refused >= self._peer.hangs_up_after:
            self._connection.disconnect(2, "Too many authentication failures")
        return False

    def kbdint_auth_supported(self) -> bool:
        return self._peer.code is not None

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        self._peer.challenges += 1
        return "", "", "", [(self._peer.code_text, False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        self._peer.tried += responses
        return self._peer.code is not None and self._peer.code(responses[0])

    def session_requested(self) -> "_Cat":
        self._peer.requested += 1
        if self._peer.running >= self._peer.sessions_at_once:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "no more sessions")
        return _Cat(self._peer)

    def connection_requested(self, *_where: object) -> bool:
        return self._peer.is_gateway


class _Cat(asyncssh.SSHServerSession[bytes]):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        peer.running += 1

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def pty_requested(self, *_terminal: object) -> bool:
        self._peer.terminals += 1
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._peer.commands.append(command)
        return self._peer.runs_commands

    def session_started(self) -> None:
        self._peer.environments.append(dict(self._channel.get_environment_bytes()))
        self._peer.agents.append(self._channel.get_agent_path())
        self._peer.displays.append(self._channel.get_x11_display())

    def data_received(self, data: bytes, _datatype: int | None) -> None:
        self._channel.write(data)

    def eof_received(self) -> bool:
        self._channel.exit(0)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.running -= 1


@asynccontextmanager
async def closing(*opened: object) -> AsyncIterator[None]:
    """Close all of them afterwards, the last one first."""
    try:
        yield
    finally:
        for each in reversed(opened):
            await each.close()  # type: ignore[attr-defined]
