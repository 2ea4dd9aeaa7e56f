"""The upgrade: preflight, stage, check, then install, watch and accept. It never finalizes."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from app.headless import lines, shapes
from app.headless.ask import agreed, declined, refuse_silence
from app.headless.options import Options
from app.headless.say import UNTOUCHED, heard_or_not, observer, show_outcome, talk
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
from backends.domain.conditions import NODES_READ
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.gates import Gate, before_upgrade
from backends.domain.plan import Plan, Treatment
from backends.domain.policy import Pause, Vanished
from backends.domain.problem import Exit, LiftlockError
from backends.domain.states import CHANGING, NodeState
from backends.engine.conductor import Conductor, target_of
from backends.engine.planner import new_run, problem_of_refusal
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

_LAST_LOOK_SECONDS = 5.0


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
    try:
        readings, _ = await look(session)
        made = plan_from(session, release, readings, _fresh(book))
        left = _left_in_the_middle(session, readings)
        await _agree(options, session, made, left, _gate(session, release, made, readings))
    except asyncio.CancelledError:
        talk(["", UNTOUCHED])
        raise
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
        talk(await _interrupted(session, made, conductor.begun))
        end_run(book, made.run, Exit.INTERRUPTED, "interrupted", scribe)
        raise
    result = _with_unknown(session, result)
    end_run(book, made.run, result.exit, result.text, scribe)
    _, verdict = await look(session)
    with heard_or_not():
        show_outcome(options, result, verdict)
    return result.exit


def _gate(
    session: Session, release: Release, made: Plan, readings: Sequence[NodeReading]
) -> Gate | None:
    """The gate before the first node, where there is one to install."""
    if not any(item.treatment is Treatment.INSTALL for item in made.nodes):
        return None
    return before_upgrade(readings, target_of(made, release), session.name)


async def _agree(
    options: Options, session: Session, made: Plan, left: Sequence[str], gate: Gate | None
) -> None:
    """Show plan and gate and ask, before anything is done; `--yes` has agreed already.

    Nobody is asked about what the gate forbids, unless bringing nodes back to rest may open it.
    """
    if options.yes:
        return
    acting = (Treatment.INSTALL, Treatment.RESUME)
    todo = [item for item in made.nodes if item.treatment in acting]
    talk([*lines.plan(made), "", *(lines.gate(gate) if gate else ()), ""])
    if gate is not None and not gate.is_open and not left:
        unread = any(condition.name == NODES_READ for condition in gate.blocking)
        why = [f"{c.name}: {c.text}; {c.then}".rstrip("; ") for c in gate.blocking]
        raise LiftlockError(
            problem_of_refusal(gate.name, why), Exit.UNREACHABLE if unread else Exit.REFUSED
        )
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


async def _interrupted(session: Session, made: Plan, begun: Sequence[str]) -> list[str]:
    """What each node is in now, and what it does by itself; asked once more, but not for long."""
    if not begun:
        return ["", UNTOUCHED]
    readings: Sequence[NodeReading] = ()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_LOOK_SECONDS):
            readings, _ = await look(session)
    facts = {reading.name: reading.facts for reading in readings if reading.read}
    told = [_alone(node, facts.get(node), made) for node in sorted(begun)]
    kept = [
        item.node
        for item in made.nodes
        if item.node not in begun and _is_accepted(facts.get(item.node))
    ]
    rest = [item.node for item in made.nodes if item.node not in begun and item.node not in kept]
    return [
        "",
        "Interrupted here.",
        *(part for text in told for part in lines.wrapped(f"  {text}", "    ")),
        *([f"  Accepted before: {', '.join(kept)}."] if kept else []),
        *([f"  Not started: {', '.join(rest)}."] if rest else []),
        f"  liftlock status {session.name} tells; the same upgrade command goes on.",
    ]


def _alone(node: str, facts: NodeFacts | None, made: Plan) -> str:
    """What one node does without us."""
    policy = _ALONE[made.policy.if_operator_vanishes]
    window = f"{made.limits.accept_window_seconds:g} s"
    if facts is None:
        return (
            f"{node} could not be read any more. What is accepted stays, still reversible; in "
            f"trial it {policy} when its accept window of {window} ends, unless it is accepted."
        )
    if _is_accepted(facts):
        return f"{node} is accepted on {made.release_version}: it stays, still reversible."
    if facts.state is NodeState.ROLLED_BACK:
        return f"{node} is back on {facts.selected or 'nothing'}, proven."
    opened = facts.transaction
    if opened is None or opened.decides_at_seconds is None:
        doing = "goes on without you" if facts.state in CHANGING else "is"
        state = facts.state.replace("_", " ")
        return f"{node} {doing} ({state}). After {window} in trial it {policy}, unless accepted."
    at = lines.clock(time.time() + opened.decides_at_seconds)
    return f"{node} is in trial: at {at} at the latest it {policy}, unless it is accepted."


def _is_accepted(facts: NodeFacts | None) -> bool:
    return facts is not None and facts.state is NodeState.ACCEPTED
