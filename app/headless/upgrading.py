"""The upgrade: preflight, stage, check, then install, watch and accept. It never finalizes."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.headless import lines, shapes
from app.headless.ask import agreed, declined, refuse_silence
from app.headless.options import Options
from app.headless.say import heard_or_not, observer, show_outcome, talk
from app.headless.work import (
    about,
    drive,
    end_run,
    locked,
    look,
    open_cluster,
    open_for,
    plan_from,
    today,
    unknown_nodes,
)
from app.session import Session, open_book
from backends.domain.facts import NodeReading
from backends.domain.plan import Plan, Treatment
from backends.domain.policy import Pause, Vanished
from backends.domain.problem import Exit, LiftlockError
from backends.domain.states import NodeState
from backends.engine.conductor import Conductor
from backends.engine.planner import new_run
from backends.engine.recovery import recover_first
from backends.engine.results import Outcome, exit_of_upgrade
from backends.engine.scribe import Scribe
from backends.releases.read import Release
from backends.store.book import Book

_ALONE = {
    Vanished.ROLLBACK: "goes back by itself",
    Vanished.HOLD: "stays as it is and waits for a person",
    Vanished.KEEP_IF_HEALTHY: "keeps the new version if it is healthy, else goes back",
}


def upgrade(
    options: Options, release: Path, *, batch: int | None = None, pause: str | None = None
) -> int:
    """Bring every selected node to a release: accepted, still reversible. Never finalizes."""
    session = _paced(open_cluster(options), batch, pause)
    found = open_for(session, release)
    refuse_silence(options, "upgrade")
    try:
        return drive(session, _upgrade(session, options, found))
    except LiftlockError as error:
        if options.json:
            said = shapes.refused("", error.exit_code, error.problem)
            print(json.dumps(said, sort_keys=True))
        raise


async def _upgrade(session: Session, options: Options, release: Release) -> int:
    with open_book(session.state_dir) as book, locked(session, "upgrade"):
        return await _run(session, options, book, release)


async def _run(session: Session, options: Options, book: Book, release: Release) -> int:
    readings, _ = await look(session)
    made = plan_from(session, release, readings, _fresh(book))
    left = _left_in_the_middle(session, readings)
    await _agree(options, session, made, left)
    if left:
        stopped = await _bring_to_rest(session, options, book, release)
        if stopped is not None:
            return stopped
        readings, _ = await look(session)
        made = plan_from(session, release, readings, _fresh(book))
    book.begin(about(session, made.run, "upgrade", options, release, made))
    scribe = Scribe(book, made.run, observer(options))
    conductor = Conductor(made, session.contacts, release, scribe, session.name)
    try:
        result = await conductor.run()
    except asyncio.CancelledError:
        end_run(book, made.run, Exit.INTERRUPTED, "interrupted", scribe)
        talk(_interrupted(made, conductor.begun, session.name))
        raise
    result = _with_unknown(session, result)
    end_run(book, made.run, result.exit, result.text, scribe)
    _, verdict = await look(session)
    with heard_or_not():
        show_outcome(options, result, verdict)
    return result.exit


async def _agree(options: Options, session: Session, made: Plan, left: Sequence[str]) -> None:
    """Show the plan and ask, before anything is done; `--yes` has agreed already."""
    if options.yes:
        return
    acting = (Treatment.INSTALL, Treatment.RESUME)
    todo = [item for item in made.nodes if item.treatment in acting]
    talk([*lines.plan(made), ""])
    first = f"Bring {', '.join(left)} back to rest first, then upgrade" if left else "Upgrade"
    question = f"{first} {lines.count(todo)} of {made.cluster} to {made.release_version}?"
    if (todo or left) and not await agreed(options, question):
        raise declined()


async def _bring_to_rest(
    session: Session, options: Options, book: Book, release: Release
) -> int | None:
    """Recover nodes whose updater died; the exit code when one did not come to rest."""
    run = _fresh(book)
    book.begin(about(session, run, "recover", options, release))
    bad = await recover_first(session.chosen_contacts, Scribe(book, run, observer(options)))
    code = exit_of_upgrade(bad)
    text = ", ".join(f"{item.node} {item.result}" for item in bad) or "nodes brought to rest"
    end_run(book, run, code, text)
    if not bad:
        return None
    _, verdict = await look(session)
    problem = bad[0].problem
    show_outcome(options, Outcome(run, code, tuple(bad), f"stopped: {text}", problem), verdict)
    return code


def _left_in_the_middle(session: Session, readings: Sequence[NodeReading]) -> list[str]:
    return [
        reading.name
        for reading in readings
        if reading.name in session.chosen
        and reading.facts is not None
        and reading.facts.state is NodeState.INCONSISTENT
    ]


def _with_unknown(session: Session, result: Outcome) -> Outcome:
    """Names that are no node are part of the outcome, and of its exit code."""
    unknown = unknown_nodes(session)
    if not unknown:
        return result
    nodes = (*result.nodes, *unknown)
    code = exit_of_upgrade(nodes, stopped=result.exit)
    return replace(result, nodes=nodes, exit=code)


def _paced(session: Session, batch: int | None, pause: str | None) -> Session:
    policy = session.policy
    if batch is not None:
        policy = replace(policy, batch=batch)
    if pause is not None:
        policy = replace(policy, pause=Pause(pause))
    return replace(session, policy=policy)


def _fresh(book: Book) -> str:
    return new_run(today(), lambda run: book.run(run) is not None)


def _interrupted(made: Plan, begun: Sequence[str], called: str) -> list[str]:
    if not begun:
        return ["", "Interrupted here, before any node was changed."]
    window = f"{made.limits.accept_window_seconds:g} s"
    others = [item.node for item in made.nodes if item.node not in begun]
    return [
        "",
        f"Interrupted here. {', '.join(begun)} goes on without you:",
        "  what is accepted stays, still reversible;",
        f"  what is in trial {_ALONE[made.policy.if_operator_vanishes]}",
        f"  when its accept window of {window} ends, unless it is accepted.",
        *([f"  Not started: {', '.join(others)}."] if others else []),
        f"  liftlock status {called} tells; the same upgrade command goes on.",
    ]
