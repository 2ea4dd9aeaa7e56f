"""How a node is reached, as far as the cluster file says."""

from dataclasses import dataclass

from backends.domain.problem import Exit, Problem
from backends.transport.link import LinkFailed


@dataclass(frozen=True, slots=True)
class Way:
    """The way to one node; ssh config says the rest."""

    node: str
    address: str
    port: int | None = None
    user: str | None = None
    jump: str | None = None
    """`[user@]address[:port]`, several with commas between; "none": not even by ssh config."""

    is_gateway: bool = False


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
        is_gateway=True,
    )
