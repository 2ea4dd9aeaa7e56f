"""Why a node cannot be reached, in words: each failure of a login becomes one Problem."""

import asyncio
import errno
import socket

import asyncssh

from backends.domain.clean import line
from backends.domain.problem import Problem
from backends.transport.introduction import called
from backends.transport.known_hosts import HostKey, Judgement, KnownHosts

_TCP = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.EHOSTUNREACH: "there is no way to it",
    errno.ENETUNREACH: "there is no way to its network",
    errno.ETIMEDOUT: "it does not answer",
    errno.ECONNRESET: "it closed the connection",
}

_TOO_MANY = "Too many authentication failures"
"""What OpenSSH says when it hangs up on wrong passwords, or on an agent with many keys."""


def of_login(
    error: Exception,
    *,
    node: str,
    at: tuple[str, str, int],
    entry: tuple[str, int],
    presented: asyncssh.SSHKey | None,
    reached: bool,
    known: KnownHosts,
    config: str = "",
) -> Problem:
    """The problem of a login that failed.

    `at` is user, address and port; `entry` the name and port that the node's key is known by;
    `presented` the key it showed, if it was not known; `reached` whether anybody was there;
    `config` the words that make ssh read the same config.
    """
    user, address, port = at
    place = f"{user}@{address}:{port}"
    match error:
        case asyncssh.HostKeyNotVerifiable():
            if presented is not None:
                return of_host_key(node, *entry, as_host_key(presented), known)
            return Problem(  # revoked, or a certificate that does not hold
                "host-key-changed",
                f"{node}: its host key is not to be trusted",
                f"{place}: {line(error.reason)}",
                "Do not go on. Ask whoever looks after the node.",
            )
        case asyncssh.DisconnectError() if _TOO_MANY in error.reason:
            return Problem(
                "login-refused",
                f"{node}: the login as {user} was refused after too many tries",
                f"{place}: {line(error.reason)}",
                "An agent with many keys? Name the one in ssh config: IdentityFile and "
                "IdentitiesOnly yes.",
            )
        case asyncssh.PermissionDenied():
            return Problem(
                "login-refused",
                f"{node}: the login as {user} was refused",
                f"{place}: {line(error.reason)}",
                f"Try it: ssh {config}-p {port} {user}@{address}; check user, key and agent.",
            )
        case asyncssh.KeyExchangeFailed():
            return Problem(
                "protocol-mismatch",
                f"{node}: no way to speak with it that both sides know",
                f"{place}: {line(error.reason)}",
                "Its SSH is very old, or its host key is of a kind that is no longer used.",
            )
        case asyncssh.ProtocolError() | asyncssh.ProtocolNotSupported():
            return _of_rubbish(node, place, error.reason)
        case asyncio.TimeoutError():
            return Problem("timeout", f"{node}: no login within the limit", place)
        case socket.gaierror():
            return Problem(
                "dns",
                f"{node}: its name cannot be resolved",
                f"{address}: {error.strerror}",
                "Check the address in the cluster file, and this machine's resolver.",
            )
        case asyncssh.ChannelOpenError():
            text = f"{place}: {line(error.reason)}"
            return Problem("tcp", f"{node}: its gateway cannot reach it", text)
        case asyncssh.DisconnectError():
            text = f"{place}: {line(error.reason)}"
            return Problem("tcp", f"{node}: it closed the connection", text)
        case OSError() if error.errno is not None or isinstance(error, ConnectionError):
            why = _TCP.get(error.errno or 0, "it cannot be reached")
            return Problem("tcp", f"{node}: {why}", f"{place}: {error.strerror or error}")
        case _ if reached:
            return _of_rubbish(node, place, str(error) or repr(error))
        case _:
            return Problem(
                "ssh-setting",
                f"{node}: an SSH setting here is unusable",
                line(str(error) or repr(error)),
                "Check ssh config and keys: ssh -v does the same as this program.",
            )


def _of_rubbish(node: str, place: str, why: str) -> Problem:
    return Problem(
        "protocol-mismatch",
        f"{node}: what answers there does not speak SSH as it should",
        f"{place}: {line(why)}",
        "Check address and port.",
    )


def of_host_key(node: str, name: str, port: int, shown: HostKey, known: KnownHosts) -> Problem:
    """What there is to say about a key that is not trusted."""
    entry = called(name, port)
    shows = f"{entry} shows {shown.algorithm} {shown.fingerprint}"
    match known.judge(name, port, shown.blob):
        case Judgement.CHANGED:
            file = _file_of(known, name, port)
            recorded = ", ".join(
                f"{key.algorithm} {key.fingerprint} ({key.where})"
                for key in known.match(name, port).keys
            )
            return Problem(
                "host-key-changed",
                f"{node}: its host key has CHANGED; somebody may be listening in",
                f"{shows}; known is {recorded}",
                f"Was it installed anew? ssh-keygen -R '{entry}' -f {file}; then liftlock trust",
            )
        case Judgement.REVOKED:
            return Problem(
                "host-key-changed",
                f"{node}: its host key is revoked",
                shows,
                "Do not go on. Ask whoever looks after the node.",
            )
        case _:
            return Problem(
                "host-key-unknown",
                f"{node}: its host key is not known here",
                shows,
                "Compare it with the node's own fingerprint, then record it: liftlock trust",
            )


def _file_of(known: KnownHosts, name: str, port: int) -> str:
    """The file that has the key which is known."""
    return known.match(name, port).keys[0].where.rpartition(":")[0]


def as_host_key(key: asyncssh.SSHKey) -> HostKey:
    """A key that was shown, as our index knows keys."""
    algorithm = key.algorithm.decode("ascii", "backslashreplace")
    return HostKey(algorithm=algorithm, blob=key.public_data, where="shown")
