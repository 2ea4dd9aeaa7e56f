"""Makes connections: what ssh config says, gateways, host keys, and how many logins at once.

One connection a node; one shared connection a gateway. A login has a limit of time from its turn
in the queue on; nodes that drop a login because too many come at once are tried again.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh

from backends.domain.problem import Exit, Problem
from backends.transport import ssh_problems
from backends.transport.admission import Admission, pause_seconds
from backends.transport.introduction import Introduction
from backends.transport.known_hosts import HostKey, Judgement, KnownHosts, Match
from backends.transport.link import LinkFailed
from backends.transport.prompt import Secrets
from backends.transport.ssh_login import Login

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

_HOST_KEYS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-256", "rsa-sha2-512"),
}
"""Kinds of host keys, best first, and how each signs. SHA-1 signatures are not taken."""


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
    """What its host key is known by: the alias, else the address."""

    jump: str | None
    known_hosts: tuple[Path, ...]
    ciphers: tuple[str, ...] | None
    """None: as ssh config says."""

    host_keys_by_config: bool


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
        jump = way.jump or options.tunnel
        return Place(
            address=options.host,
            port=options.port,
            user=options.username,
            name=(options.host_key_alias or options.host).lower(),
            jump=str(jump) if jump and str(jump).lower() != "none" else None,
            known_hosts=self._files(options.known_hosts),
            ciphers=None if options.config.get("Ciphers") else _CIPHERS,
            host_keys_by_config=bool(options.config.get("HostKeyAlgorithms")),
        )

    async def connect(self, way: Way, *, hops: int = 0) -> asyncssh.SSHClientConnection:
        """A connection of its own, logged in.

        Raises:
            LinkFailed: Its problem has one of the codes that `Unreachable` knows.
        """
        place = await self.place(way)
        tunnel = await self._gateway(place.jump, way, hops) if place.jump else None
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
            LinkFailed: ssh config cannot be used (exit 2).
        """
        chain: list[Way] = []
        while len(chain) < _MAX_JUMPS:
            place = await self.place(way)
            if place.jump is None:
                break
            way = gateway_of(place.jump)
            chain.insert(0, way)
        return chain

    async def introduce(self, way: Way) -> Introduction:
        """The host key that a node shows, and what is known of it. Nobody logs in to it."""
        try:
            place = await self.place(way)
            tunnel = await self._gateway(place.jump, way, 0) if place.jump else None
        except LinkFailed as error:
            return Introduction(way.node, problem=error.problem)
        known = await self.known(place)
        try:
            async with self._admission.turn(place.jump), asyncio.timeout(self.seconds):
                key = await asyncssh.get_server_host_key(
                    place.address,
                    place.port,
                    tunnel=tunnel,
                    config=None,
                    server_host_key_algs=_algorithms(known.match(place.name, place.port)),
                )
        except (OSError, asyncssh.Error, ValueError) as error:
            return Introduction(
                way.node, place.name, place.port, problem=self._problem(error, way, place, known)
            )
        if key is None:
            problem = Problem("protocol-mismatch", f"{way.node}: it shows no host key")
            return Introduction(way.node, place.name, place.port, problem=problem)
        shown = ssh_problems.as_host_key(key)
        judgement = known.judge(place.name, place.port, shown.blob)
        problem = ssh_problems.of_host_key(way.node, place.name, place.port, shown, known)
        is_bad = judgement in (Judgement.CHANGED, Judgement.REVOKED)
        file = place.known_hosts[0] if place.known_hosts else None
        return Introduction(
            way.node,
            place.name,
            place.port,
            shown,
            judgement,
            file,
            problem if is_bad else None,
        )

    async def known(self, place: Place) -> KnownHosts:
        """The index of the host keys that count for a place; each file is read once."""
        if place.known_hosts not in self._indexes:
            found = await asyncio.to_thread(KnownHosts.read, place.known_hosts)
            self._indexes[place.known_hosts] = found
        index = self._indexes[place.known_hosts]
        # The first look for a name tries every hashed line: 6 ms for 5,000 of them.
        await asyncio.to_thread(index.match, place.name, place.port)
        return index

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
        match = known.match(place.name, place.port)
        limit = asyncio.timeout(self.seconds)
        login = Login(way.node, way.about or place.user, self._secrets, limit, self.seconds)
        try:
            async with limit:
                return await asyncssh.connect(
                    place.address,
                    place.port,
                    username=place.user,
                    tunnel=tunnel,
                    config=self._config,
                    client_factory=lambda: login,
                    known_hosts=_trusted(match),
                    server_host_key_algs=() if place.host_keys_by_config else _algorithms(match),
                    encryption_algs=place.ciphers or (),
                    compression_algs=None,
                    gss_auth=False,
                    gss_kex=False,
                    x509_trusted_certs=None,
                    agent_forwarding=False,
                    passphrase=login.passphrase if self._secrets else None,
                    login_timeout=0,
                    connect_timeout=None,
                    keepalive_interval=_KEEPALIVE_SECONDS,
                )
        except (OSError, asyncssh.Error, ValueError) as error:
            problem = self._problem(error, way, place, known, login)
            if _was_dropped(error) and not login.asked:
                raise _DroppedError(problem) from error
            raise LinkFailed(problem) from error

    async def _gateway(self, jump: str, way: Way, hops: int) -> asyncssh.SSHClientConnection:
        """The shared connection to the last of a chain of gateways."""
        if hops >= _MAX_JUMPS:
            problem = Problem("ssh-setting", f"{way.node}: more than {_MAX_JUMPS} gateways", jump)
            raise LinkFailed(problem, Exit.USAGE)
        async with self._locks.setdefault(jump, asyncio.Lock()):
            known = self._gateways.get(jump)
            if known is not None and not known.is_closed():
                return known
            failed_at, failure = self._failures.get(jump, (0.0, None))
            if failure is not None and time.monotonic() - failed_at < _GATEWAY_FAILURE_SECONDS:
                raise _of_gateway(way, jump, failure)
            try:
                found = await self.connect(gateway_of(jump), hops=hops + 1)
            except LinkFailed as error:
                self._failures[jump] = (time.monotonic(), error)
                raise _of_gateway(way, jump, error) from error
            self._gateways[jump] = found
            return found

    def _files(self, by_config: object) -> tuple[Path, ...]:
        """The files of host keys: the cluster's, else as ssh config says, else the usual ones."""
        if self._known_hosts is not None:
            return (self._known_hosts,)
        if by_config is None:
            return ()
        if isinstance(by_config, list) and by_config:
            return tuple(Path(str(each)).expanduser() for each in by_config)
        return (Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts"))

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
            user=place.user,
            name=place.name,
            port=place.port,
            presented=login.presented if login else None,
            known=known,
        )


class _DroppedError(Exception):
    """The other side hung up before anybody said who one is: perhaps too many came at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.summary)
        self.problem = problem


def gateway_of(jump: str) -> Way:
    """The last gateway of a chain, and how it is reached itself."""
    before, _, last = jump.rpartition(",")
    user, _, place = last.rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or "]" in port or (":" in address and not address.endswith("]")):
        address, port = place, ""  # no port, or an IPv6 address without brackets
    return Way(
        node=f"gateway {last}",
        address=address.strip("[]"),
        port=int(port) if port else None,
        user=user or None,
        jump=before or None,
        about=last,
    )


def _trusted(match: Match) -> tuple[list[asyncssh.SSHKey], ...]:
    """What asyncssh is told about a node's keys: trusted, authorities, revoked."""
    return tuple(_readable(keys) for keys in (match.keys, match.authorities, match.revoked))


def _readable(keys: Iterable[HostKey]) -> list[asyncssh.SSHKey]:
    """The keys of kinds that asyncssh knows; it can meet no other."""
    found = []
    for key in keys:
        with suppress(asyncssh.KeyImportError):
            found.append(asyncssh.import_public_key(key.text))
    return found


def _algorithms(match: Match) -> list[str]:
    """What is offered: certificates where an authority is known, then known keys' kinds first.

    All kinds are offered, so that a changed key is seen as one, whatever its kind.
    """
    known = [key.algorithm for key in match.keys]
    kinds = sorted(_HOST_KEYS, key=lambda kind: kind not in known)
    signing = [name for kind in kinds for name in _HOST_KEYS[kind]]
    if not match.authorities:
        return signing
    return [f"{name}-cert-v01@openssh.com" for name in signing] + signing


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
