"""`value`: a named value, as JSON from each node. Nothing is changed."""

import asyncio
import json
import time

from app.headless import lines, shapes
from app.headless.options import Options
from app.headless.say import out
from app.headless.work import drive, open_cluster
from app.session import Session
from backends.domain.facts import Unknown
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.problem import worst as worst_of
from backends.domain.values import BUILT_IN, built_in
from backends.engine.contact import Contact
from backends.engine.valuing import value_of
from backends.settings.toml_keys import nearest


def value(options: Options, name: str | None) -> int:
    """Read it on the chosen nodes; without a name say which there are."""
    session = open_cluster(options)
    if name is None:
        _show_names(session, options)
        return Exit.OK
    _refuse_unknown(session, name)

    async def ask() -> dict[str, object]:
        contacts = session.chosen_contacts
        found = await asyncio.gather(*(_read(session, each, name) for each in contacts.values()))
        return dict(zip(contacts, found, strict=True))

    found = drive(session, ask())
    if options.json:
        said = shapes.value(session.cluster.name, time.time(), name, found)
        out([json.dumps(said, sort_keys=True)])
    else:
        out(lines.value(found))
    exits = []
    if any(isinstance(each, Problem) for each in found.values()):
        exits.append(Exit.UNREACHABLE)
    if any(isinstance(each, Unknown) for each in found.values()):
        exits.append(Exit.NEEDS_PERSON)
    return worst_of(exits) if exits else Exit.USAGE if session.unknown else Exit.OK


async def _read(session: Session, contact: Contact, name: str) -> object:
    if name in session.profile.values:
        return await value_of(contact, name)
    reading = await contact.read()
    if reading.facts is None or not reading.read:
        return reading.problem or Problem("not-read", f"{contact.node} was not read")
    return built_in(name, reading.facts)


def _show_names(session: Session, options: Options) -> None:
    names = _names(session)
    if options.json:
        about = {"cluster": session.cluster.name, "product": session.profile.name}
        out([json.dumps({"schema": "liftlock.values/1", **about, "names": names})])
    else:
        out(names)


def _names(session: Session) -> list[str]:
    """Those of the profile first."""
    return [*sorted(session.profile.values), *sorted(BUILT_IN)]


def _refuse_unknown(session: Session, name: str) -> None:
    known = _names(session)
    if name in known:
        return
    near = nearest(name, known)
    raise LiftlockError(
        Problem(
            "value-unknown",
            f"{session.profile.name} has no value {name}.",
            f"It has {', '.join(known)}.",
            f"Did you mean {near}?" if near else "Name it in [values] of the profile.",
        ),
        Exit.USAGE,
    )
