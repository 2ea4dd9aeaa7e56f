"""`doctor`: whether this program, this workstation and these nodes are fit for an upgrade."""

import asyncio
import json
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import app
import backends
import widgets
from app.headless.options import Options
from app.headless.say import out
from app.headless.work import drive, open_cluster
from app.session import Session, open_book, operator_state
from backends.domain.clean import line
from backends.domain.problem import Exit, LiftlockError, worst
from backends.domain.states import Outcome
from backends.engine.contact import Contact
from backends.transport.payload import pack

Row = tuple[str, str, str, str]
"""Where, what, result (`ok | warn | refused | unknown`), evidence."""


def doctor(options: Options) -> int:
    """Check this workstation and, if a cluster is named, every selected node; nothing changes."""
    session = open_cluster(options) if options.cluster is not None else None
    rows = _here(operator_state(session.cluster if session else None))
    exits = [Exit.USAGE for row in rows if row[2] == "refused"]
    if session is not None:
        found = drive(session, _nodes(session))
        rows += [row for each, _ in found for row in each]
        exits += [code for _, code in found]
    if options.json:
        names = ("where", "what", "result", "evidence")
        out(json.dumps(dict(zip(names, row, strict=True)), sort_keys=True) for row in rows)
    else:
        width = max(len(row[0]) for row in rows)
        what = max(len(row[1]) for row in rows)
        out(f"{row[2]:<7}  {row[0]:<{width}}  {row[1]:<{what}}  {row[3]}".rstrip() for row in rows)
    code = worst(exits)
    return Exit.USAGE if session is not None and session.unknown and code is Exit.OK else code


def _here(history: Path) -> list[Row]:
    folders = {Path(module.__path__[0]).parent for module in (app, widgets, backends)}
    siblings = "ok" if len(folders) == 1 else "refused"
    rows: list[Row] = [
        ("here", "python", "ok", ".".join(map(str, sys.version_info[:3]))),
        ("here", "program", siblings, ", ".join(sorted(str(folder) for folder in folders))),
        ("here", "version", "ok", program_version()),
        ("here", "updater", "ok", f"sha256 {pack().sha256}, {len(pack().content)} bytes"),
    ]
    try:
        with open_book(history) as book:
            rows.append(("here", "run history", "ok", str(book.path)))
    except LiftlockError as error:
        text = f"{error.problem.summary} {error.problem.evidence}"
        rows.append(("here", "run history", "refused", text))
    return rows


async def _nodes(session: Session) -> list[tuple[list[Row], Exit]]:
    layer = session.policy.second_layer.value
    contacts = session.chosen_contacts.values()
    found = list(await asyncio.gather(*(_node(contact, layer) for contact in contacts)))
    for name in session.chosen:
        reason = session.subjects[name].excluded
        if reason is not None:
            found.append(([(name, "excluded", "warn", reason)], Exit.OK))
    return found


async def _node(contact: Contact, second_layer: str) -> tuple[list[Row], Exit]:
    rows: list[Row] = []

    def see(message: Mapping[str, Any]) -> None:
        texts = (line(str(message[name])) for name in ("name", "result", "evidence"))
        name, result, evidence = texts
        rows.append((contact.node, name, result, evidence))

    if (problem := await contact.prepare()) is not None:
        told = " ".join(filter(None, (problem.summary, problem.evidence, problem.advice)))
        return [(contact.node, "reach", "refused", line(told))], Exit.UNREACHABLE
    answer = await contact.rows("preflight", see, bytes=0, files=0, second_layer=second_layer)
    if answer.outcome in (Outcome.UNREACHABLE, Outcome.TIMED_OUT) and answer.problem:
        rows.append((contact.node, "reach", "refused", answer.problem.summary))
        return rows, Exit.UNREACHABLE
    return rows, Exit.OK if answer.is_ok else Exit.REFUSED


def program_version() -> str:
    """The installed version, or that it runs from a source tree."""
    try:
        return version("liftlock")
    except PackageNotFoundError:
        return "not installed, runs from a source tree"
