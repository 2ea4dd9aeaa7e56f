"""Makes connections: what ssh config says, gateways, host keys, and how many logins at once.

One connection a node; one shared connection a gateway. A login has a limit of time from its turn
in the queue on; nodes that drop a login because too many come at once are tried again.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.transport import ssh_host_keys, ssh_keys, ssh_place, ssh_problems
from backends.transport.admission import Admission, pause_seconds
from backends.transport.introduction import Introduction
from backends.transport.known_hosts import Judgement, KnownHosts, Match
from backends.transport.link import LinkFailed
from backends.transport.prompt import Secrets
from backends.transport.ssh_keys import LockedKey
from backends.transport.ssh_login import Login
from backends.transport.ssh_place import Place
from backends.transport.way import Way, gateway_of

CALM = (60, 3)
"""Seconds and count of keepalives while nobody waits: liveness is the heart beat, and this only
keeps address translators from forgetting us."""

_GATEWAY = (5, 3)
"""A gateway has no heart beat of its own, and one that is dead holds up all nodes behind it."""

_TRIES = 6
"""An sshd at MaxStartups refuses at random, or all that come: it takes some patience."""

_GATEWAY_FAILURE_SECONDS = 5.0
"""For so long, a gateway that failed is not tried again for the next node behind it."""

_MAX_JUMPS = 8


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
        return await ssh_place.find(way, self._config, self._known_hosts)

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
        """The host key that a node shows, and what is known of it. No key of ours is shown to it.

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
        match = known.match(name, port)
        vouched = False
        try:
            async with self._admission.turn(place.jump), asyncio.timeout(self.seconds):
                if match.authorities:
                    vouched = await self._is_vouched_for(way, place, tunnel, match)
                key = await asyncssh.get_server_host_key(
                    way.address,
                    place.port,
                    tunnel=tunnel,
                    config=None,
                    options=place.options,
                    server_host_key_algs=ssh_host_keys.algorithms(replace(match, authorities=())),
                )
        except Exception as error:  # asyncssh hands on whatever breaks inside it
            problem = self._problem(error, way, place, known)
            return Introduction(way.node, name, port, problem=problem)
        if key is None:
            problem = Problem("protocol-mismatch", f"{way.node}: it shows no host key")
            return Introduction(way.node, name, port, problem=problem)
        shown = ssh_problems.as_host_key(key)
        judgement = Judgement.KNOWN if vouched else known.judge(name, port, shown.blob)
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
                self._locked[files] = await asyncio.to_thread(ssh_keys.locked, files)
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
            ssh_keys.to_load, place.identities, only=place.only_identities
        )
        # As ssh does: where a certificate does not hold, the plain key may still be known.
        tries = [match, replace(match, authorities=())] if match.authorities else [match]
        while True:
            limit = asyncio.timeout(self.seconds)
            at = f"{place.user}@{place.address}:{place.port}"
            about = at if way.is_gateway else place.user
            login = Login(way.node, about, self._secrets, locked, limit, self.seconds)
            trusted = tries.pop(0)
            try:
                async with limit:
                    return await asyncssh.connect(
                        way.address,  # and not the place's: ssh config has blocks for it
                        place.port,
                        username=place.user,
                        tunnel=tunnel,
                        client_factory=lambda login=login: login,
                        client_keys=load,
                        ignore_encrypted=True,
                        known_hosts=ssh_host_keys.trusted(trusted),
                        server_host_key_algs=_asked_for(place, trusted),
                        **self._settings(way, place),
                    )
            except Exception as error:  # asyncssh hands on whatever breaks inside it
                if tries and ssh_host_keys.is_bad_certificate(error, login.presented):
                    continue
                problem = self._problem(error, way, place, known, login)
                if _was_dropped(error) and not login.asked:
                    raise _DroppedError(problem) from error
                if isinstance(error, asyncssh.PermissionDenied):
                    login.was_refused()
                raise LinkFailed(problem) from error

    async def _is_vouched_for(
        self, way: Way, place: Place, tunnel: asyncssh.SSHClientConnection | None, match: Match
    ) -> bool:
        """Whether a known authority certifies the node's key. No key of ours is shown for it.

        Raises whatever asyncssh does when the node is not reached.
        """
        only = replace(match, keys=())
        try:
            connection = await asyncssh.connect(
                way.address,
                place.port,
                username=place.user,
                tunnel=tunnel,
                client_keys=None,
                preferred_auth="none",
                known_hosts=ssh_host_keys.trusted(only),
                server_host_key_algs=_asked_for(place, only),
                **self._settings(way, place),
            )
        except asyncssh.PermissionDenied:
            return True  # its key held; we have shown none
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
            return False
        connection.abort()
        return True

    def _settings(self, way: Way, place: Place) -> dict[str, Any]:
        """How all connections are alike."""
        seconds, count = _GATEWAY if way.is_gateway else CALM
        return {
            "config": self._config,
            "encryption_algs": place.ciphers or (),
            "compression_algs": None,
            "gss_auth": False,
            "gss_kex": False,
            "x509_trusted_certs": None,
            "agent_forwarding": False,
            "login_timeout": 0,
            "connect_timeout": None,
            "keepalive_interval": seconds,
            "keepalive_count_max": count,
        }

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
            config=f"-F {self._config[0]} " if self._config else "",
        )


class _DroppedError(Exception):
    """The other side hung up before anybody said who one is: perhaps too many came at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.summary)
        self.problem = problem


def _asked_for(place: Place, match: Match) -> Sequence[str]:
    return () if place.host_keys_by_config else ssh_host_keys.algorithms(match)


def _was_dropped(error: Exception) -> bool:
    return isinstance(error, asyncssh.ConnectionLost | ConnectionResetError)


def _of_gateway(way: Way, jump: str, failure: LinkFailed) -> LinkFailed:
    problem = failure.problem
    summary = f"{way.node}: not reached, because of {problem.summary}"
    return LinkFailed(replace(problem, summary=summary), failure.exit_code)
