"""The only place that chooses how nodes are reached: over SSH, or on this machine."""

import getpass
import resource
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from backends.domain.policy import Limits
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.cluster import Cluster, Node
from backends.transport.admission import Admission
from backends.transport.link import Link
from backends.transport.local import LocalLink
from backends.transport.outfit import Outfit
from backends.transport.prompt import Nobody, Prompt, Secrets
from backends.transport.sudo import SudoLink
from backends.transport.way import Way

if TYPE_CHECKING:
    from backends.transport.ssh_dialer import Dialer

_MANY_FILES = 65536

Links = Callable[[str], Link]
"""By the name of a node."""


@dataclass(frozen=True, slots=True)
class BySsh:
    """What ssh config makes of the way to a node, with its own defaults."""

    user: str
    port: int
    jump: str | None


class Ways:
    """The ways to the nodes of one cluster; what they share is made when it is first needed."""

    def __init__(
        self, cluster: Cluster, limits: Limits, prompt: Prompt, links: Links | None = None
    ) -> None:
        """`links` are given for simulated nodes; the cluster file chooses all others."""
        self._links = links
        self._cluster = cluster
        self._limits = limits
        # Where nobody answers, no node is told that a password could come.
        self._secrets = None if isinstance(prompt, Nobody) else Secrets(prompt)
        self._dialer: Dialer | None = None

    def link(self, node: Node) -> Link:
        """A link to a node, with the privilege that the cluster file asks for.

        Raises:
            LiftlockError: The cluster's ssh config is missing (exit 2).
        """
        if self._links is not None:
            return self._links(node.name)
        if node.transport == "local":
            link: Link = LocalLink(node.name)
        else:
            from backends.transport.ssh import SshLink  # loads asyncssh

            link = SshLink(self.way(node), self.dialer())
        if node.become == "none":
            return link
        user = node.user or getpass.getuser()
        secrets = self._secrets or Secrets(Nobody()) if node.become == "sudo-password" else None
        return SudoLink(link, user, self._limits.connect_seconds, secrets)

    def way(self, node: Node) -> Way:
        """How a node is reached over SSH, as far as the cluster file says."""
        return Way(node.name, node.address, node.port, node.user, node.jump)

    def dialer(self) -> "Dialer":
        """What all SSH connections of the cluster share."""
        if self._dialer is None:
            from backends.transport.ssh_dialer import Dialer

            config = self._cluster.ssh_config
            if config is not None and not config.is_file():
                raise LiftlockError(
                    Problem(
                        "ssh-config-missing",
                        "The cluster's ssh config is not there.",
                        f"{self._cluster.source}: ssh_config = {config}",
                        "Write it, or remove the key: then ~/.ssh/config counts.",
                    ),
                    Exit.USAGE,
                )
            _allow_many_connections()
            limits = self._limits
            self._dialer = Dialer(
                seconds=limits.connect_seconds,
                admission=Admission(limits.handshakes, limits.handshakes_per_gateway),
                config=config,
                known_hosts=self._cluster.known_hosts,
                secrets=self._secrets,
            )
        return self._dialer

    def over_ssh(self, names: Collection[str]) -> list[Way]:
        """The ways to those of the named nodes that are reached over SSH and not left out."""
        return [
            self.way(node)
            for node in self._cluster.nodes
            if node.name in names and node.transport == "ssh" and node.excluded is None
        ]

    async def gateways(self, names: Collection[str]) -> list[Way]:
        """The gateways to the named nodes, each once, after those before it.

        Raises:
            LinkFailed: ssh config cannot be used (exit 2).
        """
        found: dict[Way, None] = {}
        for way in self.over_ssh(names):
            found |= dict.fromkeys(await self.dialer().gateways(way))
        return list(found)

    async def by_ssh_config(self, names: Collection[str]) -> dict[str, BySsh]:
        """What ssh config adds for those of the named nodes that are reached over SSH.

        Nobody is contacted for it.

        Raises:
            LinkFailed: ssh config cannot be used (exit 2).
        """
        found = {}
        for way in self.over_ssh(names):
            place = await self.dialer().place(way)
            found[way.node] = BySsh(place.user, place.port, place.jump)
        return found

    async def outfit(self, names: Collection[str]) -> Outfit:
        """What there is to reach the named nodes with; only looked at.

        Raises:
            LinkFailed: ssh config cannot be used (exit 2).
        """
        from backends.transport import ssh_outfit

        return await ssh_outfit.look([await self.dialer().place(w) for w in self.over_ssh(names)])

    async def close(self) -> None:
        """Give the gateways back; the links were closed before."""
        if self._dialer is not None:
            await self._dialer.close()


def _allow_many_connections() -> None:
    """Use as many open files as this user may: often 1,024 by default, one a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with suppress(ValueError):  # more than this system gives to anybody: then what it has
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def usual_outfit() -> Outfit:
    """What there is to reach nodes with where no cluster says anything of it; only looked at.

    Raises:
        LinkFailed: ssh config cannot be used (exit 2).
    """
    from backends.transport import ssh_outfit

    return await ssh_outfit.look([await ssh_outfit.usual_place()])


class Embedded(Protocol):
    """The demo's cluster, as far as this program has to do with it."""

    @property
    def cluster_file(self) -> Path: ...
    @property
    def directory(self) -> Path: ...
    @property
    def releases(self) -> Mapping[str, Path]:
        """Version -> tarball: a good one, then one that never becomes healthy."""
        ...

    @property
    def fresh(self) -> bool:
        """Whether what the nodes run is still to be adopted."""
        ...

    @property
    def notes(self) -> tuple[str, ...]: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def demo_in(directory: Path, nodes: int | None) -> Embedded:
    """The embedded cluster in a directory; nothing happens yet.

    Raises:
        LiftlockError: The directory or the number of nodes is not usable (exit 2).
    """
    from backends.demo.cluster import Demo  # loads asyncssh

    return Demo(directory, nodes)
