"""What the operator has to log in with: keys, agents, files of host keys. Only looked at."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import asyncssh

from backends.domain.clean import line
from backends.domain.problem import LiftlockError
from backends.transport import ssh_keys, ssh_place
from backends.transport.known_hosts import KnownHosts
from backends.transport.outfit import Outfit
from backends.transport.ssh_place import Place
from backends.transport.way import Way

_AGENT_SECONDS = 5.0


async def usual_place() -> Place:
    """What ssh config says to somebody who asks for this machine.

    Raises:
        LinkFailed: It cannot be used (exit 2).
    """
    return await ssh_place.find(Way("here", "localhost"), (), None)


async def look(places: Iterable[Place]) -> Outfit:
    """Look at everything that these places would use."""
    found = list(places)
    files = dict.fromkeys(file for place in found for file in place.identities)
    sockets = dict.fromkeys(_socket(place) for place in found)
    agents = [await _agent(each) for each in sockets if each]
    known = list(dict.fromkeys(file for place in found for file in place.known_hosts))
    keys, unreadable = await asyncio.to_thread(_keys, tuple(files))
    readable, mistakes, broken = await asyncio.to_thread(_known, known)
    return Outfit(keys, unreadable, tuple(agents), readable, mistakes, broken)


def _socket(place: Place) -> str:
    said = place.options.config.get("IdentityAgent", "SSH_AUTH_SOCK")
    if said == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK", "")
    return "" if said is None or str(said).lower() == "none" else os.path.expanduser(str(said))


async def _agent(path: str) -> tuple[str, int | None, str]:
    try:
        async with asyncio.timeout(_AGENT_SECONDS):
            agent = await asyncssh.connect_agent(path)
            try:
                found = list(await agent.get_keys())
            finally:
                agent.close()
                await agent.wait_closed()
    except TimeoutError:
        return line(path), None, f"no answer within {_AGENT_SECONDS:g} s"
    except (OSError, ValueError, asyncssh.Error) as error:
        return line(path), None, line(str(error) or type(error).__name__)
    return line(path), len(found), ""


def _keys(files: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    locked = {each.file for each in ssh_keys.locked(files)}
    readable, unreadable = [], []
    for file in files or ssh_keys.USUAL:
        path = Path(file).expanduser()
        if os.access(path, os.R_OK):
            readable.append(line(f"{file} (needs a passphrase)" if file in locked else file))
        elif files or path.exists():
            unreadable.append(line(file))
    return tuple(readable), tuple(unreadable)


def _known(files: list[Path]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    readable, mistakes, broken = [], [], []
    for file in files:
        try:
            found = KnownHosts.read([file])
        except LiftlockError as error:
            broken.append(line(f"{file}: {error.problem.evidence}"))
            continue
        if file.exists():
            readable.append(line(str(file)))
        mistakes += [line(each) for each in found.notes]
    return tuple(readable), tuple(mistakes), tuple(broken)
