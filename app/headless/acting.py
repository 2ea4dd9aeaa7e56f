"""The single acts on the terminal: accept, roll back, finalize, restart, adopt, verify, clean."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from app.headless import finality, lines
from app.headless.ask import agreed, declined, one_of, refuse_silence, says_yes, typed
from app.headless.options import Options
from app.headless.performing import perform
from app.headless.say import show_previews, talk
from app.headless.work import open_cluster
from app.runs import acting
from app.runs.acting import Scene
from app.runs.afterwards import FINALIZE, Ticking, named
from app.runs.upgrading import open_for
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.survey import unsigned
from backends.domain.verdict import decide
from backends.engine.acts import Preview
from backends.engine.reading import in_words
from backends.engine.results import NodeResult, Result
from backends.settings.units import parse_duration


def accept(options: Options) -> int:
    """Stop the dead-man timer of the named nodes."""

    async def work(scene: Scene) -> list[NodeResult]:
        return [await scene.acts.accept(reading, options.reason) for reading in scene.chosen]

    # Beside a running upgrade, whose node it is about; and there is nothing to ask.
    return perform(options, "accept", Result.ACCEPTED, work, locks=False)


def extend(options: Options, duration: str) -> int:
    """Move the end of the accept window of the named nodes to a later time, from now.

    Raises:
        LiftlockError: The duration cannot be read (exit 2).
    """
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise LiftlockError(
            Problem(
                "duration-unreadable", f"--by {duration}: {error}", advice="As in 10m or 90s."
            ),
            Exit.USAGE,
        ) from error

    async def work(scene: Scene) -> list[NodeResult]:
        return [
            await scene.acts.extend(reading, seconds, options.reason) for reading in scene.chosen
        ]

    return perform(options, "extend", Result.DONE, work, locks=False)


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
    return perform(options, "rollback", Result.ROLLED_BACK, work, locks=False)


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
    return perform(options, "takeover", Result.DONE, work, locks=False)


def finalize(options: Options, version: str | None) -> int:
    """Make the accepted version final on every node; there is no way back by this tool then."""
    refuse_silence(options, "finalize")
    session = open_cluster(options)
    steps = session.profile.finalize.after
    done = named(steps, options.done, options.reason, session.name)
    ticking = Ticking(done, options.reason, _is_done)

    async def work(scene: Scene) -> list[NodeResult]:
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
            talk(finality.lines_of(await finality.asked(session, scene.readings), steps))
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

        results = await acting.finalize(scene, version, begin, ticking)
        talk(
            f"not ticked: {step}; when it is done: liftlock finalize {session.name} --done "
            f"{shlex.quote(step)} --reason ..."
            for step in scene.left
        )
        return results

    return perform(options, FINALIZE, Result.FINALIZED, work, session=session)


async def _is_done(step: str) -> bool:
    """Whether a person at the terminal ticks it; `--yes` is no tick."""
    return sys.stdin.isatty() and await says_yes(f"Done: {step}?")


def restart(options: Options) -> int:
    """Restart the service on the chosen nodes, one after the other."""
    if not options.reason:
        raise LiftlockError(
            Problem(
                "reason-missing",
                "To restart a service is a named act: it needs a reason.",
                advice='Say --reason "..."; it is kept in the node\'s journal.',
            ),
            Exit.USAGE,
        )
    refuse_silence(options, "restart")

    async def work(scene: Scene) -> list[NodeResult]:
        async def begin(going: Sequence[NodeReading]) -> None:
            for reading in going:
                facts = reading.facts
                serves = facts is not None and facts.serves
                runs = in_words(facts.running) if facts is not None else ""
                talk([f"{reading.name}: {runs}, {'serves' if serves else 'does not serve'}"])
            names = ", ".join(reading.name for reading in going)
            if not await agreed(options, f"Restart {names}, one after the other?"):
                raise declined()

        async def go_on(last: str, rest: tuple[str, ...], sick: Problem | None) -> bool:
            # To agree in advance is not to agree to take down what still serves.
            if sick is not None:
                talk([sick.summary, sick.evidence])
            return not options.yes and await agreed(options, f"Restart {rest[0]} all the same?")

        return await acting.restart(scene, options.reason, begin, go_on)

    return perform(options, "restart", Result.DONE, work)


def adopt(options: Options, path: Path | None = None) -> int:
    """Record what runs, and its content, as finalized; it is shown first.

    With the release that it came from, what runs is held against that, and it is recorded as that.
    """
    refuse_silence(options, "adopt")

    session = open_cluster(options)
    release = open_for(session, path) if path is not None else None

    async def agree(previews: tuple[Preview, ...]) -> bool:
        show_previews(previews)
        return await agreed(options, f"Record this on {lines.count(previews)}?")

    async def work(scene: Scene) -> list[NodeResult]:
        return await acting.adopt(scene, agree, release)

    return perform(options, "adopt", Result.FINALIZED, work, session=session)


def verify(options: Options) -> int:
    """Hold what runs against what was recorded of it; nothing that runs is touched."""

    return perform(options, "verify", Result.DONE, acting.verify, locks=False, changes=False)


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
        return done + idle + refused + acting.left_out(scene)

    return perform(options, "clean", Result.DONE, work)
