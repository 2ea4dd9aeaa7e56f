"""Where a way leads: everything that ssh config adds to what the cluster file says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from backends.domain.problem import Exit, Problem
from backends.transport import ssh_keys
from backends.transport.introduction import USUAL_PORT
from backends.transport.link import LinkFailed
from backends.transport.way import Way

_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
"""AES-GCM first: half the cost of what asyncssh picks by itself."""


_OWN = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
_EVERYBODYS = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
"""The files of host keys that ssh config means by saying nothing."""


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


async def find(way: Way, config: Sequence[str], known_hosts: Path | None) -> Place:
    """What ssh config makes of a way; `known_hosts` counts instead of the files it names.

    Raises:
        LinkFailed: ssh config cannot be used (exit 2).
    """
    try:
        options = await asyncssh.SSHClientConnectionOptions.construct(
            host=way.address,
            port=way.port or (),
            username=way.user or (),
            config=config,
            client_keys=None,
            x509_trusted_certs=None,
        )
    except (ValueError, OSError) as error:
        raise _unusable(way.node, error) from error
    said = options.config
    alias = options.host_key_alias
    jump = way.jump or options.tunnel
    files, record_in = _known_hosts(said)
    if known_hosts is not None:
        files, record_in = (known_hosts,), known_hosts
    return Place(
        address=options.host,
        port=options.port,
        user=options.username,
        name=(alias or options.host).lower(),
        name_port=USUAL_PORT if alias else options.port,
        jump=str(jump) if jump and str(jump).lower() != "none" else None,
        known_hosts=files,
        record_in=record_in,
        identities=ssh_keys.named(said),
        only_identities=bool(said.get("IdentitiesOnly")),
        ciphers=None if said.get("Ciphers") else _CIPHERS,
        host_keys_by_config=bool(said.get("HostKeyAlgorithms")),
        options=options,
    )


def _known_hosts(config: asyncssh.config.SSHConfig) -> tuple[tuple[Path, ...], Path | None]:
    """The files of host keys by ssh config, and which of them is for new ones."""
    own, everybodys = (
        tuple(Path(str(each)).expanduser() for each in files) if isinstance(files, list) else ()
        for files in (
            config.get("UserKnownHostsFile", _OWN),
            config.get("GlobalKnownHostsFile", _EVERYBODYS),
        )
    )
    return own + everybodys, own[0] if own else None


def _unusable(node: str, error: Exception) -> LinkFailed:
    text = str(error) or repr(error)
    problem = Problem("ssh-setting", f"{node}: ssh config cannot be used", text)
    return LinkFailed(problem, Exit.USAGE)
