"""The single acts: accept, roll back, finalize, adopt, clean."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from app.headless import lines, shapes
from app.headless.ask import agreed, declined, refuse_silence, typed
from app.headless.options import Options
from app.headless.say import UNTOUCHED, heard_or_not, observer, out, show_previews, talk
from app.headless.work import (
    about,
    chosen,
    drive,
    end_run,
    locked,
    look,
    open_cluster,
    today,
    unknown_nodes,
)
from app.session import Session, open_book
from backends.domain.facts import NodeReading
from backends.domain.plan import order_nodes
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import decide
from backends.engine.acts import Acts, Preview, is_reversible, refuse_unless_all_accepted
from backends.engine.planner import new_run
from backends.engine.results import NodeResult, Result, exit_of_act
from backends.engine.scribe import Scribe
from backends.store.book import Book


@dataclass(frozen=True, slots=True)
class Scene:
    """What an act has to work with."""

    session: Session
    run: str
    acts: Acts
    readings: Sequence[NodeReading]
    """Of the whole cluster."""

    chosen: Sequence[NodeReading]


Work = Callable[[Scene], Awaitable[list[NodeResult]]]


def accept(options: Options) -> int:
    """Stop the dead-man timer of the named nodes."""

    async def work(scene: Scene) -> list[NodeResult]:
        return [await scene.acts.accept(reading, options.reason) for reading in scene.chosen]

    # Beside a running upgrade, whose node it is about; and there is nothing to ask.
    return _act(options, "accept", Result.ACCEPTED, work, locks=False)


def rollback(options: Options) -> int:
    """Take every open upgrade of the selected nodes back."""
    refuse_silence(options, "rollback")

    async def work(scene: Scene) -> list[NodeResult]:
        todo = _last_first(scene)
        going = [reading for reading in todo if is_reversible(reading)]
        if not going:
            raise _nothing_to_roll_back(scene)
        for reading in going:
            opened = reading.facts.transaction if reading.facts else None
            if opened is not None:
                back = opened.from_version or "nothing: the product is removed"
                talk([f"{reading.name}: {opened.to_version} -> {back}"])
        first, *others = (reading.name for reading in going)
        then = f" first, then ask about {', '.join(others)}" if others else ""
        if not await agreed(options, f"Roll back {first}{then}?"):
            raise declined()

        async def go_on(first: NodeResult) -> bool:
            rest = ", ".join(reading.name for reading in going if reading.name != first.node)
            return await agreed(options, f"{first.node} is back, proven. Go on with {rest}?")

        return await scene.acts.roll_back(todo, options.reason or "asked for by a person", go_on)

    # Without the workstation's lock: it is the way back also while an upgrade of ours waits.
    return _act(options, "rollback", Result.ROLLED_BACK, work, locks=False)


def finalize(options: Options, version: str | None) -> int:
    """Make the accepted version final on every node; there is no way back by this tool then."""
    refuse_silence(options, "finalize")

    async def work(scene: Scene) -> list[NodeResult]:
        session = scene.session
        production = session.cluster.environment == "production"
        if options.yes and production and version is None:
            raise LiftlockError(
                Problem(
                    "version-not-typed",
                    "In production, finalize needs the version typed.",
                    advice=f"liftlock finalize {session.name} VERSION --yes",
                ),
                Exit.USAGE,
            )
        wanted = refuse_unless_all_accepted(scene.readings, version)
        verdict = decide(scene.readings, session.name)
        names = [reading.name for reading in scene.readings if reading.left_out is None]
        talk([f"finalize {wanted} on {', '.join(names)}"])
        talk(f"left out: {name}: {reason}" for name, reason in verdict.excluded)
        talk([f"way back until now: {verdict.way_back}", "way back afterwards: none"])
        if not options.yes:
            await typed(session.cluster.name, "the cluster's name")
            if production:
                await typed(wanted, "the version")
        return await scene.acts.finalize(scene.readings)

    return _act(options, "finalize", Result.FINALIZED, work)


def adopt(options: Options) -> int:
    """Record what runs, and its content, as finalized; it is shown first."""
    refuse_silence(options, "adopt")

    async def work(scene: Scene) -> list[NodeResult]:
        shown = await scene.acts.preview("adopt")
        previews = show_previews(shown)
        if previews and not await agreed(options, f"Record this on {lines.count(previews)}?"):
            raise declined()
        done = [await scene.acts.adopt(preview, scene.run) for preview in previews]
        return done + [item for item in shown if isinstance(item, NodeResult)] + _left_out(scene)

    return _act(options, "adopt", Result.FINALIZED, work)


def clean(options: Options, *, everything: bool) -> int:
    """Remove staged releases, or every trace of this program, from the nodes."""
    refuse_silence(options, "clean")

    async def work(scene: Scene) -> list[NodeResult]:
        shown = await scene.acts.preview("clean", everything=everything)
        previews = [item for item in show_previews(shown) if item.message["paths"]]
        if previews and not await agreed(options, f"Remove this from {lines.count(previews)}?"):
            raise declined()
        done = [await scene.acts.clean(preview, everything=everything) for preview in previews]
        idle = [
            NodeResult(item.node, Result.ALREADY)
            for item in shown
            if isinstance(item, Preview) and not item.message["paths"]
        ]
        refused = [item for item in shown if isinstance(item, NodeResult)]
        return done + idle + refused + _left_out(scene)

    return _act(options, "clean", Result.DONE, work)


def _act(options: Options, kind: str, wanted: Result, work: Work, *, locks: bool = True) -> int:
    """Run a single act over the chosen nodes: in the book, told, and with its exit code."""
    session = open_cluster(options)

    async def run() -> int:
        with (
            open_book(session.state_dir) as book,
            locked(session, kind) if locks else nullcontext(),
        ):
            return await _run(session, options, book, kind, wanted, work)

    return drive(session, run())


async def _run(
    session: Session, options: Options, book: Book, kind: str, wanted: Result, work: Work
) -> int:
    readings, _ = await look(session)
    run = new_run(today(), lambda taken: book.run(taken) is not None)
    book.begin(about(session, run, kind, options))
    scribe = Scribe(book, run, observer(options))
    acts = Acts(session.chosen_contacts, scribe)
    scene = Scene(session, run, acts, readings, chosen(session, readings))
    try:
        results = await work(scene) + unknown_nodes(session)
    except LiftlockError as error:
        end_run(book, run, error.exit_code, str(error), scribe)
        if options.json:
            said = shapes.refused(run, error.exit_code, error.problem)
            print(json.dumps(said, sort_keys=True))
        raise
    except asyncio.CancelledError:
        begun = sorted({entry.node for entry in book.entries(run) if entry.node})
        end_run(book, run, Exit.INTERRUPTED, "interrupted", scribe)
        if begun:
            talk(["", f"Interrupted here. The {kind} was begun on: {', '.join(begun)}."])
            talk(["What a node has begun it finishes by itself; no other one was touched:"])
            talk([f"  liftlock status {session.name}"])
        else:
            talk(["", UNTOUCHED])
        raise
    code = exit_of_act(results, wanted)
    text = f"{kind}: " + ", ".join(f"{item.node} {item.result}" for item in results)
    end_run(book, run, code, text, scribe)
    _, after = await look(session)
    with heard_or_not():
        if options.json:
            print(json.dumps(shapes.outcome(run, code, results, after, text), sort_keys=True))
        else:
            out([*lines.results(results, ""), *lines.after(after)])
            for item in results:
                if item.problem is not None and item.result is not Result.EXCLUDED:
                    talk(lines.problem(item.problem))
    return code


def _last_first(scene: Scene) -> list[NodeReading]:
    """The chosen nodes in the reverse of the order in which they are installed."""
    session = scene.session
    subjects = [session.subjects[reading.name] for reading in scene.chosen]
    order = order_nodes(
        [(subject.node, subject.role, subject.canary) for subject in subjects],
        session.profile.product.roles,
    )
    by_name = {reading.name: reading for reading in scene.chosen}
    return [by_name[name] for name in reversed(order)]


def _left_out(scene: Scene) -> list[NodeResult]:
    return [
        NodeResult(
            reading.name,
            Result.EXCLUDED,
            Problem("left-out", f"{reading.name} is left out: {reading.excluded}"),
        )
        for reading in scene.chosen
        if reading.excluded is not None
    ]


def _nothing_to_roll_back(scene: Scene) -> LiftlockError:
    unread = [
        reading.name for reading in scene.chosen if not reading.read and not reading.excluded
    ]
    verdict = decide(scene.readings, scene.session.name)
    if unread:
        return LiftlockError(
            Problem(
                "not-known-what-is-open",
                "It is not known whether an upgrade is open on the chosen nodes.",
                f"not read: {', '.join(unread)}; on the others none is open",
                verdict.next_action,
            ),
            Exit.UNREACHABLE,
        )
    return LiftlockError(
        Problem(
            "nothing-to-roll-back",
            "No upgrade is open on the chosen nodes.",
            verdict.headline(),
            f"way back: {verdict.way_back}",
        ),
        Exit.REFUSED,
    )
