"""`upgrade` on the terminal: show the plan, ask, and tell what happens."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from app.headless import lines, plan_lines
from app.headless.ask import agreed, declined, refuse_silence
from app.headless.options import Meant, Options
from app.headless.say import UNTOUCHED, heard_or_not, keep_verdict, observer, show_outcome, talk
from app.headless.work import drive, open_cluster
from app.runs.keeping import locked
from app.runs.leaving import alone
from app.runs.looking import look
from app.runs.resuming import Begun, as_begun, begun_run, how_it_was_begun, release_of
from app.runs.reviewed import Reviewed
from app.runs.reviewed import read as read_plan
from app.runs.skipping import skipping
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
from backends.domain.gates import Gate
from backends.domain.policy import Pause
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import Phase
from backends.engine.refusals import problem_of_refusal
from backends.engine.results import Outcome
from backends.releases.read import Release
from backends.store.book import Book

_LAST_LOOK_SECONDS = 5.0


def upgrade(
    options: Options,
    release: Path,
    meant: Meant,
    *,
    until: Phase = Phase.INSTALL,
    fresh: bool = False,
    reviewed: Path | None = None,
) -> int:
    """Bring every selected node to a release: accepted, still reversible. Never finalizes.

    With `until` stage or check, the release is only brought there, and checked; `fresh` has every
    byte brought and verified anew. `reviewed` is a plan in a file, from which nothing may differ.
    """
    session = meant_by(open_cluster(options), meant)
    plan = _reviewed(reviewed, meant)
    if plan is not None:
        session = plan.paced(session)
    session = replace(session, staging=replace(session.staging, fresh=fresh))
    found = open_for(session, release)
    command = "upgrade" if until is Phase.INSTALL else until.value
    refuse_silence(options, command)
    return drive(session, _upgrade(session, options, found, until, command, plan))


def resume(options: Options, path: Path | None, meant: Meant) -> int:
    """Take up the run that is open on the nodes, or that waits before its first one.

    With the pace and the nodes that it was begun with, which its nodes know, too; what a person
    says now counts more.
    """
    session = open_cluster(options)
    refuse_silence(options, "resume")

    async def work() -> int:
        with open_book(session.state_dir) as book, locked(session, "resume"):
            readings, _ = await look(session)
            begun = begun_run(session, book, readings)
            where = ", ".join(begun.on) or "no node yet"
            talk([f"run {begun.run} of {begun.by} to {begun.version}, open on {where}"])
            release = open_for(session, path) if path else release_of(session, book, begun)
            if release.digest != begun.digest:
                raise _other_release(session, begun)
            known = await how_it_was_begun(session, book, begun)
            wanted = session if known is None else as_begun(session, begun, known)
            if known is None:
                talk(["nobody wrote down how it was begun: nodes and pace are the cluster file's"])
            wanted = _said_now(wanted, meant)
            return await _run(wanted, options, book, release, Phase.INSTALL, None, begun.run)

    return drive(session, work())


def _said_now(session: Session, meant: Meant) -> Session:
    """The session with what a person says now, over what the run was begun with."""
    session = _paced(session, meant.batch, meant.pause)
    return skipping(session, meant.skip) if meant.skip else session


def _other_release(session: Session, begun: Begun) -> LiftlockError:
    return LiftlockError(
        Problem(
            "other-run-open",
            f"Run {begun.run} of {begun.by} is open; it goes to {begun.version}, with other "
            "content than this release.",
            f"open on {', '.join(begun.on) or 'no node yet'}; content {begun.digest[:12]}",
            f"Name its release, or roll it back: liftlock rollback {session.name}.",
        ),
        Exit.REFUSED,
    )


def meant_by(session: Session, meant: Meant) -> Session:
    """The session with what a person says for this upgrade.

    Raises:
        LiftlockError: What is to be skipped may not be, or has no reason (exit 2).
    """
    session = meaning(session, downgrade=meant.downgrade, reinstall=meant.reinstall)
    return skipping(_paced(session, meant.batch, meant.pause), meant.skip)


def _reviewed(path: Path | None, meant: Meant) -> Reviewed | None:
    if path is None:
        return None
    if meant != Meant():
        raise LiftlockError(
            Problem(
                "plan-says-it",
                "The plan says the pace and what is meant; it cannot be said a second time.",
                advice="Leave --batch, --pause, --skip, --downgrade and --reinstall out, or make "
                "the plan anew with them.",
            ),
            Exit.USAGE,
        )
    return read_plan(path)


async def _upgrade(
    session: Session,
    options: Options,
    release: Release,
    until: Phase,
    command: str,
    reviewed: Reviewed | None,
) -> int:
    with open_book(session.state_dir) as book, locked(session, command):
        return await _run(session, options, book, release, until, reviewed)


async def _run(
    session: Session,
    options: Options,
    book: Book,
    release: Release,
    until: Phase,
    reviewed: Reviewed | None,
    its_run: str | None = None,
) -> int:
    try:
        its_run = reviewed.run if reviewed is not None else its_run
        prepared = await prepare(session, book, release, its_run, until)
        if reviewed is not None:
            reviewed.refuse_changes(prepared.plan, session.name)
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
    talk(
        [
            *plan_lines.plan(made, until, prepared.last_time),
            "",
            *(plan_lines.gate(gate) if gate else ()),
            "",
        ]
    )
    if gate is not None and not gate.is_open and not left:
        raise shut(gate)
    first = f"Bring {', '.join(left)} back to rest first, then upgrade" if left else "Upgrade"
    question = f"{first} {lines.count(todo)} of {made.cluster} to {made.release_version}?"
    if until is not Phase.INSTALL:
        todo = prepared.fresh
        doing = "Stage" if until is Phase.STAGE else "Stage and check"
        question = f"{doing} {made.release_version} on {lines.count(todo)} of {made.cluster}?"
    if (todo or left) and not await agreed(options, question):
        raise declined()


def shut(gate: Gate) -> LiftlockError:
    """What a gate forbids, each of its reasons named."""
    unread = any(condition.name == NODES_READ for condition in gate.blocking)
    why = [f"{c.name}: {c.text}; {c.then}".rstrip("; ") for c in gate.blocking]
    return LiftlockError(
        problem_of_refusal(gate.name, why), Exit.UNREACHABLE if unread else Exit.REFUSED
    )


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
