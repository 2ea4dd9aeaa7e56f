"""Makes connections: what ssh config says, gateways, host keys, and how many logins at once.

One connection a node; one shared connection a gateway. A login has a limit of time from its turn
in the queue on; nodes that drop a login because too many come at once are tried again.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.transport import ssh_login, ssh_problems
from backends.transport.admission import Admission, pause_seconds
from backends.transport.introduction import USUAL_PORT, Introduction
from backends.transport.known_hosts import Judgement, KnownHosts
from backends.transport.link import LinkFailed
from backends.transport.prompt import Secrets
from backends.transport.ssh_login import LockedKey, Login

_KEEPALIVE_SECONDS = 60
"""Liveness is the heart beat; this only keeps address translators from forgetting us."""

_TRIES = 3
_GATEWAY_FAILURE_SECONDS = 5.0
"""For so long, a gateway that failed is not tried again for the next node behind it."""

_MAX_JUMPS = 8

_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
"""AES-GCM first: half the cost of what asyncssh picks by itself."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a node is reached, as far as the cluster file says; ssh config says the rest."""

    node: str
    address: str
    port: int | None = None
    user: str | None = None
    jump: str | None = None
    """`[user@]address[:port]`, several with commas between; "none": not even by ssh config."""

    about: str | None = None
    """Whose password it is that is asked for; None: the user's, on all nodes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A way with everything that ssh config adds."""

    address: str
    port: int
    user: str
    name: str
    name_port: int
    """What its host key is known by: address and port, or an alias, which goes without a port."""

    jump: str | None
    known_hosts: tuple[Path, ...]
    record_in: Path | None
    """Which of these files is for new host keys."""

    identities: tuple[str, ...]
    only_identities: bool
    """Key files, and whether an agent's other keys are left alone."""

    ciphers: tuple[str, ...] | None
    """None: as ssh config says."""

    host_keys_by_config: bool
    options: asyncssh.SSHClientConnectionOptions
    """All of it as asyncssh knows it, but for keys to log in with."""


class Dialer:
    """Connects to the nodes of one cluster."""

    def __init__(
        self,
        *,
        seconds: float,
        admission: Admission,
        config: Path | None = None,
        known_hosts: Path | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        """`seconds` is the limit of a connection and its login together.

        `config` and `known_hosts` count instead of the operator's own files. Without `secrets`,
        a node that asks for a password refuses the login.
        """
        self.seconds = seconds
        self._admission = admission
        self._config = () if config is None else [str(config)]
        self._known_hosts = known_hosts
        self._secrets = secrets
        self._indexes: dict[tuple[Path, ...], KnownHosts] = {}
        self._locked: dict[tuple[str, ...], list[LockedKey]] = {}
        self._reading = asyncio.Lock()
        self._gateways: dict[str, asyncssh.SSHClientConnection] = {}
        self._failures: dict[str, tuple[float, LinkFailed]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def place(self, way: Way) -> Place:
        """What ssh config makes of a way.

        Raises:
            LinkFailed: ssh config cannot be used (exit 2).
        """
        try:
            options = await asyncssh.SSHClientConnectionOptions.construct(
                host=way.address,
                port=way.port or (),
                username=way.user or (),
                config=self._config,
                client_keys=None,
                x509_trusted_certs=None,
            )
        except (ValueError, OSError) as error:
            raise _unusable(way.node, error) from error
        config = options.config
        alias = options.host_key_alias
        jump = way.jump or options.tunnel
        files, record_in = ssh_login.known_hosts_files(config)
        if self._known_hosts is not None:
            files, record_in = (self._known_hosts,), self._known_hosts
        return Place(
            address=options.host,
            port=options.port,
            user=options.username,
            name=(alias or options.host).lower(),
            name_port=USUAL_PORT if alias else options.port,
            jump=str(jump) if jump and str(jump).lower() != "none" else None,
            known_hosts=files,
            record_in=record_in,
            identities=ssh_login.identities(config),
            only_identities=bool(config.get("IdentitiesOnly")),
            ciphers=None if config.get("Ciphers") else _CIPHERS,
            host_keys_by_config=bool(config.get("HostKeyAlgorithms")),
            options=options,
        )

    async def connect(self, way: Way) -> asyncssh.SSHClientConnection:
        """A connection of its own, logged in.

        Raises:
            LinkFailed: Its problem has one of the codes that `Unreachable` knows.
        """
        place = await self.place(way)
        tunnel = await self._gateway(place.jump, way) if place.jump else None
        tries = 0
        while True:
            tries += 1
            try:
                async with self._admission.turn(place.jump):
                    return await self._log_in(way, place, tunnel)
            except _DroppedError as dropped:
                if tries == _TRIES:
                    raise LinkFailed(dropped.problem) from dropped
            await asyncio.sleep(pause_seconds(tries))

    async def gateways(self, way: Way) -> list[Way]:
        """The gateways on a way, the first one first.

        Raises:
            LinkFailed: ssh config cannot be used, or leads in a circle (exit 2).
        """
        chain: list[Way] = []
        jump = (await self.place(way)).jump
        while jump is not None:
            if len(chain) == _MAX_JUMPS:
                problem = Problem(
                    "ssh-setting", f"{way.node}: more than {_MAX_JUMPS} gateways", jump
                )
                raise LinkFailed(problem, Exit.USAGE)
            chain.insert(0, gateway_of(jump))
            jump = (await self.place(chain[0])).jump
        return chain

    async def introduce(self, way: Way) -> Introduction:
        """The host key that a node shows, and what is known of it. Nobody logs in to it.

        Raises:
            LinkFailed: A file of host keys cannot be read (exit 2).
        """
        try:
            place = await self.place(way)
            tunnel = await self._gateway(place.jump, way) if place.jump else None
        except LinkFailed as error:
            return Introduction(way.node, problem=error.problem)
        known = await self.known(place)
        name, port = place.name, place.name_port
        try:
            async with self._admission.turn(place.jump), asyncio.timeout(self.seconds):
                key = await asyncssh.get_server_host_key(
                    way.address,
                    place.port,
                    tunnel=tunnel,
                    config=None,
                    options=place.options,
                    server_host_key_algs=ssh_login.algorithms(known.match(name, port)),
                )
        except Exception as error:  # asyncssh hands on whatever breaks inside it
            problem = self._problem(error, way, place, known)
            return Introduction(way.node, name, port, problem=problem)
        if key is None:
            problem = Problem("protocol-mismatch", f"{way.node}: it shows no host key")
            return Introduction(way.node, name, port, problem=problem)
        shown = ssh_problems.as_host_key(key)
        judgement = known.judge(name, port, shown.blob)
        is_bad = judgement in (Judgement.CHANGED, Judgement.REVOKED)
        refusal = ssh_problems.of_host_key(way.node, name, port, shown, known) if is_bad else None
        return Introduction(way.node, name, port, shown, judgement, place.record_in, refusal)

    async def known(self, place: Place) -> KnownHosts:
        """The index of the host keys that count for a place; each file is read once.

        Raises:
            LinkFailed: A file cannot be read (exit 2).
        """
        async with self._reading:
            if place.known_hosts not in self._indexes:
                try:
                    found = await asyncio.to_thread(KnownHosts.read, place.known_hosts)
                except LiftlockError as error:
                    raise LinkFailed(error.problem, error.exit_code) from error
                self._indexes[place.known_hosts] = found
            index = self._indexes[place.known_hosts]
        # The first look for a name tries every hashed line: 6 ms for 5,000 of them.
        await asyncio.to_thread(index.match, place.name, place.name_port)
        return index

    async def _locked_keys(self, files: tuple[str, ...]) -> list[LockedKey]:
        """The keys that need a passphrase; each file is read, and each key opened, once."""
        if self._secrets is None:
            return []
        async with self._reading:
            if files not in self._locked:
                self._locked[files] = await asyncio.to_thread(ssh_login.locked_keys, files)
            return self._locked[files]

    def forget_known(self) -> None:
        """Read the files of host keys again: there is a new one in them."""
        self._indexes.clear()
        self._failures.clear()

    async def close(self) -> None:
        """Give the gateways back."""
        gateways = list(self._gateways.values())
        self._gateways.clear()
        for connection in gateways:
            connection.abort()
        for connection in gateways:
            await connection.wait_closed()

    async def _log_in(
        self, way: Way, place: Place, tunnel: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        known = await self.known(place)
        match = known.match(place.name, place.name_port)
        locked = await self._locked_keys(place.identities)
        load = await asyncio.to_thread(
            ssh_login.keys_to_load, place.identities, only=place.only_identities
        )
        limit = asyncio.timeout(self.seconds)
        about = way.about or place.user
        login = Login(way.node, about, self._secrets, locked, limit, self.seconds)
        by_config = place.host_keys_by_config
        try:
            async with limit:
                return await asyncssh.connect(
                    way.address,  # and not the place's: ssh config has blocks for it
                    place.port,
                    username=place.user,
                    tunnel=tunnel,
                    config=self._config,
                    client_factory=lambda: login,
                    client_keys=load,
                    ignore_encrypted=True,
                    known_hosts=ssh_login.trusted(match),
                    server_host_key_algs=() if by_config else ssh_login.algorithms(match),
                    encryption_algs=place.ciphers or (),
                    compression_algs=None,
                    gss_auth=False,
                    gss_kex=False,
                    x509_trusted_certs=None,
                    agent_forwarding=False,
                    login_timeout=0,
                    connect_timeout=None,
                    keepalive_interval=_KEEPALIVE_SECONDS,
                )
        except Exception as error:  # asyncssh hands on whatever breaks inside it
            problem = self._problem(error, way, place, known, login)
            if _was_dropped(error) and not login.asked:
                raise _DroppedError(problem) from error
            raise LinkFailed(problem) from error

    async def _gateway(self, jump: str, way: Way) -> asyncssh.SSHClientConnection:
        """The shared connection to the last of a chain of gateways."""
        if jump not in self._gateways:
            await self.gateways(way)  # in a circle, one would wait for oneself
        async with self._locks.setdefault(jump, asyncio.Lock()):
            known = self._gateways.get(jump)
            if known is not None and not known.is_closed():
                return known
            failed_at, failure = self._failures.get(jump, (0.0, None))
            if failure is not None and time.monotonic() - failed_at < _GATEWAY_FAILURE_SECONDS:
                raise _of_gateway(way, jump, failure)
            try:
                found = await self.connect(gateway_of(jump))
            except LinkFailed as error:
                self._failures[jump] = (time.monotonic(), error)
                raise _of_gateway(way, jump, error) from error
            self._gateways[jump] = found
            return found

    def _problem(
        self,
        error: Exception,
        way: Way,
        place: Place,
        known: KnownHosts,
        login: Login | None = None,
    ) -> Problem:
        return ssh_problems.of_login(
            error,
            node=way.node,
            at=(place.user, place.address, place.port),
            entry=(place.name, place.name_port),
            presented=login.presented if login else None,
            reached=login is None or login.reached,
            known=known,
        )


class _DroppedError(Exception):
    """The other side hung up before anybody said who one is: perhaps too many came at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.summary)
        self.problem = problem


def gateway_of(jump: str) -> Way:
    """The last gateway of a chain, and how it is reached itself.

    Raises:
        LinkFailed: It makes no sense (exit 2).
    """
    before, _, last = (part.strip() for part in jump.rpartition(","))
    user, _, place = last.removeprefix("ssh://").rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or "]" in port or (":" in address and not address.endswith("]")):
        address, port = place, ""  # no port, or an IPv6 address without brackets
    address = address.strip("[]")
    if not address or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        problem = Problem("ssh-setting", f"gateway {last}: it makes no sense", jump)
        raise LinkFailed(problem, Exit.USAGE)
    return Way(
        node=f"gateway {last}",
        address=address,
        port=int(port) if port else None,
        user=user or None,
        jump=before or None,
        about=last,
    )


def _was_dropped(error: Exception) -> bool:
    return isinstance(error, asyncssh.ConnectionLost | ConnectionResetError)


def _unusable(node: str, error: Exception) -> LinkFailed:
    text = str(error) or repr(error)
    problem = Problem("ssh-setting", f"{node}: ssh config cannot be used", text)
    return LinkFailed(problem, Exit.USAGE)


def _of_gateway(way: Way, jump: str, failure: LinkFailed) -> LinkFailed:
    problem = failure.problem
    summary = f"{way.node}: not reached, because of {problem.summary}"
    return LinkFailed(replace(problem, summary=summary), failure.exit_code)
