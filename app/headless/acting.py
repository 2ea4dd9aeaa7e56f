"""The single acts on the terminal: accept, roll back, finalize, adopt, verify, clean."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from app.headless import lines, shapes
from app.headless.ask import agreed, declined, one_of, refuse_silence, typed
from app.headless.options import Options
from app.headless.say import (
    UNTOUCHED,
    heard_or_not,
    keep_verdict,
    observer,
    out,
    show_previews,
    talk,
)
from app.headless.work import drive, open_cluster
from app.runs import acting
from app.runs.acting import Done, Interrupted, Scene, Work, act
from app.runs.keeping import fresh_run, locked
from app.runs.looking import look
from app.runs.upgrading import open_for
from app.session import Session, open_book
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.survey import unsigned
from backends.domain.verdict import Verdict, decide
from backends.engine.acts import Preview
from backends.engine.results import NodeResult, Result
from backends.store.book import Book


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
        async def begin(going: Sequence[NodeReading]) -> str | None:
            for reading in going:
                opened = reading.facts.transaction if reading.facts else None
                if opened is not None:
                    back = opened.from_version or "nothing: the product is removed"
                    if reading.facts and reading.facts.gets_other_configuration:
                        back += " as it was configured before"
                    talk([f"{reading.name}: {opened.to_version} -> {back}"])
            first, *others = (reading.name for reading in going)
            then = f" first, then ask about {', '.join(others)}" if others else ""
            data = await _data(options, going)
            if not await agreed(options, f"Roll back {first}{then}?"):
                raise declined()
            return data

        async def go_on(last: str, rest: tuple[str, ...], sick: Problem | None) -> bool:
            others = ", ".join(rest)
            if sick is None:
                return await agreed(options, f"{last} is back, proven. Go on with {others}?")
            # To agree in advance is not to agree to take down what still serves.
            talk([sick.summary, sick.evidence])
            return not options.yes and await agreed(options, f"Go on with {others} all the same?")

        return await acting.roll_back(scene, options.reason, begin, go_on)

    # Without the workstation's lock: it is the way back also while an upgrade of ours waits.
    return _act(options, "rollback", Result.ROLLED_BACK, work, locks=False)


async def _data(options: Options, going: Sequence[NodeReading]) -> str | None:
    """What becomes of data that was copied before the switch; asked where nobody said.

    Raises:
        LiftlockError: Nobody said, and there is nobody to ask (exit 2); nothing was changed.
    """
    copied = acting.with_data(going)
    if not copied or options.data is not None:
        return options.data
    since = min(each.data_since for each in copied)
    paths = ", ".join(dict.fromkeys(path for each in copied for path in each.data))
    if options.yes:
        raise LiftlockError(
            Problem(
                "data-undecided",
                "Data was copied before the switch, and it was not said what becomes of it.",
                f"{paths}, copied {since}",
                "Say --data keep (what was written since stays) or --data restore (it is set "
                "aside in conflicts).",
            ),
            Exit.USAGE,
        )
    talk([f"data: {paths}, copied {since}"])
    return await one_of(("keep", "restore"), "Keep what was written since, or restore the copy?")


def takeover(options: Options) -> int:
    """End the updater at work on the selected nodes, and have another one go on."""
    if not options.reason:
        raise LiftlockError(
            Problem(
                "reason-missing",
                "To take over is a named act: it needs a reason.",
                advice='Say --reason "..."; it is kept in the node\'s journal.',
            ),
            Exit.USAGE,
        )
    refuse_silence(options, "takeover")

    async def work(scene: Scene) -> list[NodeResult]:
        at_work = []
        for reading in scene.chosen:
            opened = reading.facts.transaction if reading.facts else None
            if opened is not None and opened.driver_alive:
                at_work.append(reading)
                talk(
                    [
                        f"{reading.name}: the updater at work on run {opened.run} of "
                        f"{opened.operator}, since {opened.since}, is ended; another one goes on"
                    ]
                )
        names = ", ".join(reading.name for reading in at_work)
        if not at_work:
            raise LiftlockError(
                Problem("nothing-to-take-over", "No updater is at work on the chosen nodes."),
                Exit.REFUSED,
            )
        if not await agreed(options, f"Take over {names}?"):
            raise declined()
        return [await scene.acts.take_over(reading, options.reason) for reading in at_work]

    # Without the workstation's lock: what hangs may be our own.
    return _act(options, "takeover", Result.DONE, work, locks=False)


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

        async def begin(wanted: str) -> None:
            verdict = decide(scene.readings, session.name)
            names = [reading.name for reading in scene.readings if reading.left_out is None]
            talk([f"finalize {wanted} on {', '.join(names)}"])
            talk(f"left out: {name}: {reason}" for name, reason in verdict.excluded)
            if not_signed := unsigned(scene.readings).get(wanted):
                talk([f"NOT SIGNED: {wanted} on {', '.join(not_signed)}"])
            talk(
                f"{reading.name}: configuration stays as it is, its new default lies beside it: "
                f"{', '.join(reading.facts.transaction.beside)} (liftlock conflicts "
                f"{session.name})"
                for reading in scene.readings
                if reading.facts is not None
                and reading.facts.transaction is not None
                and reading.facts.transaction.beside
            )
            talk([f"way back until now: {verdict.way_back}", "way back afterwards: none"])
            if not options.yes:
                await typed(session.cluster.name, "the cluster's name")
                if production:
                    await typed(wanted, "the version")

        return await acting.finalize(scene, version, begin)

    return _act(options, "finalize", Result.FINALIZED, work)


def adopt(options: Options, path: Path | None = None) -> int:
    """Record what runs, and its content, as finalized; it is shown first.

    With the release that it came from, what runs is held against that, and it is recorded as that.
    """
    refuse_silence(options, "adopt")

    session = open_cluster(options)
    release = open_for(session, path) if path is not None else None

    async def work(scene: Scene) -> list[NodeResult]:
        failed: dict[str, NodeResult] = {}
        shown = await scene.acts.preview("adopt")
        if release is not None:  # only where there is something to adopt
            others = [item for item in shown if isinstance(item, NodeResult)]
            without = [item.node for item in others]
            failed = await scene.acts.bring(
                release, scene.run, session.staging, session.limits.uploads, without
            )
            without += failed
            shown = await scene.acts.preview("adopt", without=without, released=True)
            shown += others
        released = release is not None
        previews = show_previews(shown)
        if previews and not await agreed(options, f"Record this on {lines.count(previews)}?"):
            raise declined()
        done = [
            await scene.acts.adopt(preview, scene.run, released=released) for preview in previews
        ]
        refused = [item for item in shown if isinstance(item, NodeResult)]
        return done + refused + [*failed.values()] + _left_out(scene)

    return _act(options, "adopt", Result.FINALIZED, work, session=session)


def verify(options: Options) -> int:
    """Hold what runs against what was recorded of it; nothing that runs is touched."""

    return _act(options, "verify", Result.DONE, acting.verify, locks=False, changes=False)


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


def _act(
    options: Options,
    kind: str,
    wanted: Result,
    work: Work,
    *,
    locks: bool = True,
    changes: bool = True,
    session: Session | None = None,
) -> int:
    """Run a single act over the chosen nodes: in the book, told, and with its exit code."""
    session = session or open_cluster(options)

    async def run() -> int:
        with (
            open_book(session.state_dir) as book,
            locked(session, kind) if locks else nullcontext(),
        ):
            return await _run(session, options, book, kind, wanted, work, changes=changes)

    return drive(session, run())


async def _run(
    session: Session,
    options: Options,
    book: Book,
    kind: str,
    wanted: Result,
    work: Work,
    *,
    changes: bool,
) -> int:
    note = options.note or options.reason
    run = fresh_run(book)
    try:
        see = observer(options)
        done = await act(session, book, run, kind, wanted, work, see, note, changes=changes)
    except LiftlockError as error:
        if options.json:
            said = shapes.refused(run, error.exit_code, error.problem)
            print(json.dumps(said, sort_keys=True))
        raise
    except Interrupted as error:
        talk(_interrupted(session, kind, error.begun))
        raise
    _, after = await look(session)
    keep_verdict(book, run, after)
    with heard_or_not():
        _show(options, done, after)
    return done.exit


def _show(options: Options, done: Done, after: Verdict) -> None:
    if options.json:
        found = shapes.outcome(done.run, done.exit, done.nodes, after, done.text)
        print(json.dumps(found, sort_keys=True))
        return
    out([*lines.results(done.nodes, ""), *lines.after(after)])
    for item in done.nodes:
        if item.problem is not None and item.result is not Result.EXCLUDED:
            talk(lines.problem(item.problem))


def _interrupted(session: Session, kind: str, begun: Sequence[str]) -> list[str]:
    if not begun:
        return ["", UNTOUCHED]
    return [
        "",
        f"Interrupted here. The {kind} was begun on: {', '.join(begun)}.",
        "What a node has begun it finishes by itself; no other one was touched:",
        f"  liftlock status {session.name}",
    ]


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
