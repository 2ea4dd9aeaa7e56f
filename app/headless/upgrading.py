"""The upgrade: preflight, stage, check, then install, watch and accept. It never finalizes."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from app.headless import lines
from app.headless.ask import agreed, declined, refuse_silence
from app.headless.options import Options
from app.headless.say import observer, show_outcome, talk
from app.headless.work import (
    about,
    locked,
    look,
    open_cluster,
    plan_for,
    today,
    with_unknown,
)
from app.wiring import Session, open_book
from backends.domain.plan import Plan, Treatment
from backends.domain.policy import Pause
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import VerdictKind
from backends.engine.conductor import Conductor, recover_first
from backends.engine.planner import new_run
from backends.engine.scribe import Scribe
from backends.releases.read import Release, open_release, verify_tarball
from backends.store.book import Book


def upgrade(
    options: Options, release: Path, *, batch: int | None = None, pause: str | None = None
) -> int:
    """Bring every selected node to a release: accepted, still reversible. Never finalizes."""
    session = _paced(open_cluster(options), batch, pause)
    found = open_release(release)
    verify_tarball(found)
    _refuse_unsigned(session)
    refuse_silence(options, "upgrade")
    with open_book() as book, locked(session, "upgrade"):
        return asyncio.run(_upgrade(session, options, book, found))


async def _upgrade(session: Session, options: Options, book: Book, release: Release) -> int:
    fresh = new_run(today(), lambda run: book.run(run) is not None)
    made, verdict = await plan_for(session, release, fresh)
    if verdict.kind is VerdictKind.INCONSISTENT:
        book.begin(about(session, fresh, "recover", options, release))
        await recover_first(session.contacts, Scribe(book, fresh, observer(options)))
        book.end(fresh, time=time.time(), exit_code=0, outcome="nodes brought to rest")
        fresh = new_run(today(), lambda run: book.run(run) is not None)
        made, verdict = await plan_for(session, release, fresh)
    todo = [item for item in made.nodes if item.treatment in (Treatment.INSTALL, Treatment.RESUME)]
    if not options.yes:
        talk([*lines.plan(made), ""])
        way = f"to {made.release_version}"
        if todo and not agreed(options, f"Upgrade {len(todo)} nodes of {made.cluster} {way}?"):
            raise declined()
    book.begin(about(session, made.run, "upgrade", options, release, made))
    scribe = Scribe(book, made.run, observer(options))
    try:
        result = await Conductor(made, session.contacts, release, scribe, session.name).run()
    except (asyncio.CancelledError, LiftlockError) as error:
        code = error.exit_code if isinstance(error, LiftlockError) else Exit.INTERRUPTED
        book.end(made.run, time=time.time(), exit_code=code, outcome=str(error) or "interrupted")
        if isinstance(error, asyncio.CancelledError):
            talk(_interrupted(made, session.name))
        raise
    book.end(made.run, time=time.time(), exit_code=result.exit, outcome=result.text)
    _, verdict = await look(session)
    show_outcome(options, result, verdict)
    return with_unknown(session, result.exit)


def _paced(session: Session, batch: int | None, pause: str | None) -> Session:
    policy = session.policy
    if batch is not None:
        policy = replace(policy, batch=batch)
    if pause is not None:
        policy = replace(policy, pause=Pause(pause))
    return replace(session, policy=policy)


def _refuse_unsigned(session: Session) -> None:
    if session.cluster.signatures == "required":
        raise LiftlockError(
            Problem(
                "signature-not-verifiable",
                "This cluster requires signed releases, and this version cannot verify any.",
                f'{session.cluster.source}: signatures = "required"',
                'Set signatures = "optional" in [cluster] to use unsigned releases.',
            ),
            Exit.REFUSED,
        )


def _interrupted(made: Plan, called: str) -> list[str]:
    return [
        "",
        "Interrupted here. The nodes go on by themselves:",
        f"  a node in trial {made.policy.if_operator_vanishes} after "
        f"{made.limits.accept_window_seconds:g} s unless it is accepted;",
        "  accepted nodes stay, still reversible; the others were not started.",
        f"  liftlock status {called}; the same upgrade command goes on.",
    ]
