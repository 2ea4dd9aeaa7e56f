"""Host keys as asyncssh wants them: what it is told to trust, and which kinds are asked for."""

from collections.abc import Iterable
from contextlib import suppress

import asyncssh

from backends.transport.known_hosts import HostKey, Match

_HOST_KEYS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-256", "rsa-sha2-512"),
}
"""Kinds of host keys, best first, and how each signs. SHA-1 signatures are not taken."""


def trusted(match: Match) -> tuple[list[asyncssh.SSHKey], ...]:
    """What asyncssh is told about a node's keys: trusted, authorities, revoked."""
    return tuple(_readable(keys) for keys in (match.keys, match.authorities, match.revoked))


def algorithms(match: Match) -> list[str]:
    """What is offered: certificates where an authority is known, then known keys' kinds first.

    All kinds are offered, so that a changed key is seen as one, whatever its kind.
    """
    known = [key.algorithm for key in match.keys]
    kinds = sorted(_HOST_KEYS, key=lambda kind: kind not in known)
    signing = [name for kind in kinds for name in _HOST_KEYS[kind]]
    if not match.authorities:
        return signing
    return [f"{name}-cert-v01@openssh.com" for name in signing] + signing


def is_bad_certificate(error: Exception, presented: asyncssh.SSHKey | None) -> bool:
    """Whether a login failed because of a certificate: expired, for others, or by a stranger.

    A plain key that is not known has been `presented`; one that is revoked is not to be tried.
    """
    return (
        isinstance(error, asyncssh.HostKeyNotVerifiable)
        and presented is None
        and "revoked" not in error.reason
    )


def _readable(keys: Iterable[HostKey]) -> list[asyncssh.SSHKey]:
    """The keys of kinds that asyncssh knows; it can meet no other."""
    found = []
    for key in keys:
        with suppress(asyncssh.KeyImportError):
            found.append(asyncssh.import_public_key(key.text))
    return found
