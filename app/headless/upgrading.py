"""`upgrade` on the terminal: show the plan, ask, and tell what happens."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from app.headless import lines, shapes
from app.headless.ask import agreed, declined, refuse_silence
from app.headless.options import Options
from app.headless.say import UNTOUCHED, heard_or_not, keep_verdict, observer, show_outcome, talk
from app.headless.work import drive, open_cluster
from app.runs.keeping import locked
from app.runs.leaving import alone
from app.runs.looking import look
from app.runs.upgrading import (
    Prepared,
    Upgrade,
    bring_to_rest,
    meaning,
    open_for,
    prepare,
)
from app.session import Session, open_book
from backends.domain.conditions import NODES_READ
from backends.domain.facts import NodeReading
from backends.domain.policy import Pause
from backends.domain.problem import Exit, LiftlockError
from backends.domain.states import Phase
from backends.engine.planner import problem_of_refusal
from backends.engine.results import Outcome
from backends.releases.read import Release
from backends.store.book import Book

_LAST_LOOK_SECONDS = 5.0


def upgrade(
    options: Options,
    release: Path,
    *,
    batch: int | None = None,
    pause: str | None = None,
    downgrade: str = "",
    reinstall: str = "",
    until: Phase = Phase.INSTALL,
    fresh: bool = False,
) -> int:
    """Bring every selected node to a release: accepted, still reversible. Never finalizes.

    With `until` stage or check, the release is only brought there, and checked; `fresh` has every
    byte brought and verified anew.
    """
    session = _paced(open_cluster(options), batch, pause)
    session = meaning(session, downgrade=downgrade, reinstall=reinstall)
    session = replace(session, staging=replace(session.staging, fresh=fresh))
    found = open_for(session, release)
    command = "upgrade" if until is Phase.INSTALL else until.value
    refuse_silence(options, command)
    try:
        return drive(session, _upgrade(session, options, found, until, command))
    except LiftlockError as error:
        if options.json:
            said = shapes.refused("", error.exit_code, error.problem)
            print(json.dumps(said, sort_keys=True))
        raise


async def _upgrade(
    session: Session, options: Options, release: Release, until: Phase, command: str
) -> int:
    with open_book(session.state_dir) as book, locked(session, command):
        return await _run(session, options, book, release, until)


async def _run(
    session: Session, options: Options, book: Book, release: Release, until: Phase
) -> int:
    try:
        prepared = await prepare(session, book, release, until=until)
        await _agree(options, prepared, until)
    except asyncio.CancelledError:
        talk(["", UNTOUCHED])
        raise
    note = options.note or options.reason
    if prepared.left and until is Phase.INSTALL:
        stopped = await bring_to_rest(session, book, release, note, observer(options))
        if stopped is not None:
            return await _told(session, options, book, stopped)
        prepared = await prepare(session, book, release)
    run = Upgrade(session, book, prepared, observer(options), note=note, until=until)
    try:
        result = await run.carry_out()
    except asyncio.CancelledError:
        talk(await _interrupted(session, prepared, run.begun))
        raise
    return await _told(session, options, book, result)


async def _told(session: Session, options: Options, book: Book, result: Outcome) -> int:
    _, verdict = await look(session)
    keep_verdict(book, result.run, verdict)
    with heard_or_not():
        show_outcome(options, result, verdict)
    return result.exit


async def _agree(options: Options, prepared: Prepared, until: Phase) -> None:
    """Show plan and gate and ask, before anything is done; `--yes` has agreed already.

    Nobody is asked about what the gate forbids, unless bringing nodes back to rest may open it.
    """
    if options.yes:
        return
    made, gate, left, todo = prepared.plan, prepared.gate, prepared.left, prepared.todo
    if until is not Phase.INSTALL:
        left = ()  # they are left alone
    if until is Phase.STAGE:
        gate = None
    talk([*lines.plan(made, until), "", *(lines.gate(gate) if gate else ()), ""])
    if gate is not None and not gate.is_open and not left:
        unread = any(condition.name == NODES_READ for condition in gate.blocking)
        why = [f"{c.name}: {c.text}; {c.then}".rstrip("; ") for c in gate.blocking]
        raise LiftlockError(
            problem_of_refusal(gate.name, why), Exit.UNREACHABLE if unread else Exit.REFUSED
        )
    first = f"Bring {', '.join(left)} back to rest first, then upgrade" if left else "Upgrade"
    question = f"{first} {lines.count(todo)} of {made.cluster} to {made.release_version}?"
    if until is not Phase.INSTALL:
        todo = prepared.fresh
        doing = "Stage" if until is Phase.STAGE else "Stage and check"
        question = f"{doing} {made.release_version} on {lines.count(todo)} of {made.cluster}?"
    if (todo or left) and not await agreed(options, question):
        raise declined()


def _paced(session: Session, batch: int | None, pause: str | None) -> Session:
    policy = session.policy
    if batch is not None:
        policy = replace(policy, batch=batch)
    if pause is not None:
        policy = replace(policy, pause=Pause(pause))
    return replace(session, policy=policy)


async def _interrupted(session: Session, prepared: Prepared, begun: Sequence[str]) -> list[str]:
    """What each node is in now, and what it does by itself; asked once more, but not for long."""
    if not begun:
        return ["", UNTOUCHED]
    readings: Sequence[NodeReading] = ()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_LOOK_SECONDS):
            readings, _ = await look(session)
    told = alone(readings, prepared.plan, begun).sentences()
    return [
        "",
        "Interrupted here.",
        *(part for text in told for part in lines.wrapped(f"  {text}", "    ")),
        f"  liftlock status {session.name} tells; the same upgrade command goes on.",
    ]
