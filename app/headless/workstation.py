"""What `doctor` looks at here: the program, its places, and what one logs in with."""

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import app
import backends
import widgets
from app.headless.advice import Row, advised
from app.session import Session, operator_state
from app.wiring import usual_outfit
from backends.domain.clean import line
from backends.domain.problem import Exit, LiftlockError
from backends.releases.signature_signers import read_revoked, read_signers
from backends.settings.cluster import Cluster
from backends.store.book import why_unusable
from backends.transport.outfit import Outfit
from backends.transport.payload import pack

_ROOM_BYTES = 64 << 20
_ROOM_FILES = 100


def alone() -> list[tuple[list[Row], Exit]]:
    """This workstation, where no cluster is named."""
    found = [*_program(), *_places(operator_state(None)), *asyncio.run(_usual())]
    return [(found, code_of(found))]


async def rows(session: Session) -> list[Row]:
    """This workstation, as far as this cluster needs it."""
    found = [*_program(), *_places(session.state_dir)]
    if session.ways.over_ssh(session.chosen):
        try:
            found += _outfit(await session.ways.outfit(session.chosen))
        except LiftlockError as error:
            found.append(_refused("ssh config", error))
    return [*found, *_signing(session.cluster)]


def code_of(found: Sequence[Row]) -> Exit:
    """Whether one of them would refuse an upgrade; what is unknown is no yes."""
    bad = any(row.result in ("refused", "unknown") for row in found)
    return Exit.REFUSED if bad else Exit.OK


def program_version() -> str:
    """The installed version, or that it runs from a source tree."""
    try:
        return version("liftlock")
    except PackageNotFoundError:
        return "not installed, runs from a source tree"


async def _usual() -> list[Row]:
    try:
        return [*_outfit(await usual_outfit()), _ssh_keygen()]
    except LiftlockError as error:
        return [_refused("ssh config", error)]


def _program() -> list[Row]:
    folders = {Path(module.__path__[0]).parent for module in (app, widgets, backends)}
    siblings = "ok" if len(folders) == 1 else "refused"
    return [
        advised("here", "python", "ok", ".".join(map(str, sys.version_info[:3]))),
        advised("here", "program", siblings, ", ".join(sorted(map(str, folders)))),
        advised("here", "version", "ok", program_version()),
        advised("here", "updater", "ok", f"sha256 {pack().sha256}, {len(pack().content)} bytes"),
    ]


def _places(history: Path) -> list[Row]:
    """Where runs are written down, and whether there is room for it; nothing is made here."""
    path = history / "history.sqlite3"
    why_not = why_unusable(path)
    found = [advised("here", "run history", "refused" if why_not else "ok", why_not or str(path))]
    here = next((each for each in (path, *path.parents) if each.exists()), Path("/"))
    room = os.statvfs(here)
    free = room.f_bavail * room.f_frsize
    few = free < _ROOM_BYTES or (room.f_files > 0 and room.f_favail < _ROOM_FILES)
    text = f"{here}: {free} bytes free, {room.f_favail} inodes"
    return [*found, advised("here", "room", "warn" if few else "ok", line(text))]


def _outfit(found: Outfit) -> list[Row]:
    agents = [_agent(*each) for each in found.agents] or [
        advised("here", "agent", "ok", "none is named")
    ]
    has_agent_keys = any(count for _, count, _ in found.agents)
    keys = ", ".join(found.keys)
    if found.unreadable:
        text = "; ".join(filter(None, (keys, f"not readable: {', '.join(found.unreadable)}")))
        own = advised("here", "client keys", "warn", text)
    elif not keys and not has_agent_keys:
        own = advised(
            "here", "client keys", "warn", "none: no key file, and no agent that has one"
        )
    else:
        own = advised("here", "client keys", "ok", keys or "the agent's")
    return [advised("here", "ssh config", "ok", "it can be read"), own, *agents, _known(found)]


def _agent(path: str, count: int | None, why: str) -> Row:
    if count is None:
        return advised("here", "agent", "warn", f"{path}: {why}")
    return advised("here", "agent", "ok", f"{path}: {count} keys")


def _known(found: Outfit) -> Row:
    if found.known_unreadable:
        return advised("here", "known_hosts", "refused", "; ".join(found.known_unreadable))
    if found.known_mistakes:
        text = "; ".join(found.known_mistakes[:3])
        more = len(found.known_mistakes) - 3
        text += f" (and {more} more)" if more > 0 else ""
        return advised("here", "known_hosts", "warn", f"passed over: {text}")
    if not found.known:
        return advised("here", "known_hosts", "ok", "there is none yet; liftlock trust makes it")
    return advised("here", "known_hosts", "ok", ", ".join(found.known))


def _signing(cluster: Cluster) -> list[Row]:
    found = [_ssh_keygen()]
    files = (cluster.allowed_signers, cluster.revoked_keys)
    if cluster.signatures == "required" and cluster.allowed_signers is None:
        text = "signatures are required, and allowed_signers names no file"
        return [*found, advised("here", "signers", "refused", text)]
    try:
        count = len(read_signers(files[0])) if files[0] is not None else None
        revoked = len(read_revoked(files[1])) if files[1] is not None else 0
    except LiftlockError as error:
        return [*found, _refused("signers", error)]
    text = "signatures are optional, and nobody is named" if count is None else f"{count} may sign"
    return [*found, advised("here", "signers", "ok", f"{text}; {revoked} keys are revoked")]


def _ssh_keygen() -> Row:
    path = shutil.which("ssh-keygen")
    if path is None:
        text = "not on PATH: no release can be signed here; verifying needs none"
        return advised("here", "ssh-keygen", "warn", text)
    return advised("here", "ssh-keygen", "ok", line(path))


def _refused(what: str, error: LiftlockError) -> Row:
    problem = error.problem
    text = line(" ".join(filter(None, (problem.summary, problem.evidence))))
    return Row("here", what, "refused", text, line(problem.advice))
