"""`trust`: record host keys that are not known yet, after showing them. Never a changed one."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.headless import lines
from app.headless.ask import agreed, refuse_silence
from app.headless.options import Options
from app.headless.say import out, talk
from app.headless.shapes import problem
from app.headless.work import drive, open_cluster
from app.runs.looking import unknown_nodes
from app.session import Session
from backends.domain.problem import Exit, Problem, worst
from backends.transport.introduction import Introduction, record
from backends.transport.known_hosts import Judgement

Result = Literal["known", "recorded", "declined", "refused"]
_EXITS = {"known": Exit.OK, "recorded": Exit.OK, "declined": Exit.REFUSED}


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one node's key."""

    node: str
    result: Result
    called: str = ""
    key: str = ""
    """Its kind and fingerprint."""

    problem: Problem | None = None


def trust(options: Options) -> int:
    """Show what gateways and nodes present; record what is unknown, if a person agrees.

    Exit 0: all are known now; 3: a node shows no key, or a changed one; 4: declined.
    """
    refuse_silence(options, "trust")
    session = open_cluster(options)
    rows = drive(session, _meet_all(session, options))
    code = worst([_EXITS.get(row.result, Exit.UNREACHABLE) for row in rows])
    rows += [Row(item.node, "refused", problem=item.problem) for item in unknown_nodes(session)]
    _show(options, rows)
    return Exit.USAGE if session.unknown and code is Exit.OK else code


async def _meet_all(session: Session, options: Options) -> list[Row]:
    """Gateways first, each after those before it: nobody sees past one that is not trusted."""
    rows: list[Row] = []
    nodes = session.ways.over_ssh(session.chosen)
    if not nodes:
        talk(["None of these nodes is reached over SSH: there is no key to record."])
        return rows
    dialer = session.ways.dialer()
    for gateway in await session.ways.gateways(session.chosen):
        rows += await _judge([await dialer.introduce(gateway)], session, options)
    met = await asyncio.gather(*(dialer.introduce(way) for way in nodes))
    return rows + await _judge(met, session, options)


async def _judge(met: Sequence[Introduction], session: Session, options: Options) -> list[Row]:
    """Record the unknown ones of those that were met, if a person agrees to what is shown."""
    unknown = [each for each in met if each.judgement is Judgement.UNKNOWN and each.file]
    agreed_to: set[str] = set()
    if unknown:
        talk(f"{each.node}: {each.called} shows\n  {_key(each)}" for each in unknown)
        talk(["Compare each with what ssh-keygen -l says about the key file on the node itself."])
        files = sorted({str(each.file) for each in unknown})
        these = "this key" if len(unknown) == 1 else f"these {len(unknown)} keys"
        question = f"Record {these} in {', '.join(files)}?"
        if await agreed(options, question):
            await asyncio.to_thread(record, unknown)
            session.ways.dialer().forget_known()
            agreed_to = {each.node for each in unknown}
    return [_row(each, agreed_to) for each in met]


def _row(met: Introduction, agreed_to: set[str]) -> Row:
    if met.key is None or met.problem is not None:
        return Row(met.node, "refused", met.called, _key(met), met.problem)
    if met.judgement is Judgement.KNOWN:
        return Row(met.node, "known", met.called, _key(met))
    if met.file is None:
        nowhere = Problem(
            "known-hosts-nowhere",
            f"{met.node}: there is no file to record its host key in",
            "ssh config says UserKnownHostsFile none",
            "Name a file in the cluster file: known_hosts = ...",
        )
        return Row(met.node, "refused", met.called, _key(met), nowhere)
    return Row(
        met.node, "recorded" if met.node in agreed_to else "declined", met.called, _key(met)
    )


def _key(met: Introduction) -> str:
    return f"{met.key.algorithm} {met.key.fingerprint}" if met.key else ""


def _show(options: Options, rows: Sequence[Row]) -> None:
    if options.json:
        for row in rows:
            found = {"node": row.node, "result": row.result, "name": row.called, "key": row.key}
            found["schema"] = "liftlock.trust/1"
            out([json.dumps({**found, "problem": problem(row.problem)}, sort_keys=True)])
        return
    width = max((len(row.node) for row in rows), default=0)
    out(f"{row.node:<{width}}  {row.result:<8}  {row.key}".rstrip() for row in rows)
    for row in rows:
        if row.problem is not None:
            talk(lines.problem(row.problem))
