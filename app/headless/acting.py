"""The single acts: accept, roll back, finalize, adopt, clean."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext

from app.headless import lines, shapes
from app.headless.ask import agreed, declined, refuse_silence, typed
from app.headless.options import Options
from app.headless.say import observer, out, show_previews, talk
from app.headless.work import about, locked, look, open_cluster, today, with_unknown
from app.wiring import open_book
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem, worst
from backends.domain.verdict import decide
from backends.engine.acts import Acts, Preview, is_reversible, refuse_unless_all_accepted
from backends.engine.planner import new_run
from backends.engine.results import NodeResult, Result, exit_of
from backends.engine.scribe import Scribe
from backends.store.book import Book

Work = Callable[[Acts, Sequence[NodeReading], str], Awaitable[list[NodeResult]]]
"""What an act does with the nodes, in a run of this id."""


def accept(options: Options) -> int:
    """Stop the dead-man timer of the named nodes."""

    async def work(acts: Acts, readings: Sequence[NodeReading], run: str) -> list[NodeResult]:
        return [await acts.accept(reading, options.reason) for reading in readings]

    return _act(options, "accept", work, beside=True)


def rollback(options: Options) -> int:
    """Take every open upgrade of the selected nodes back."""

    async def work(acts: Acts, readings: Sequence[NodeReading], run: str) -> list[NodeResult]:
        todo = [reading for reading in readings if is_reversible(reading.facts)]
        for reading in todo:
            opened = reading.facts.transaction if reading.facts else None
            if opened is not None:
                back = opened.from_version or "nothing: the product is removed"
                talk([f"{reading.name}: {opened.to_version} -> {back}"])
        if todo and not agreed(options, f"Roll back {len(todo)} of {len(readings)} nodes?"):
            raise declined()

        async def go_on(first: NodeResult) -> bool:
            return agreed(options, f"{first.node} is back, proven. Go on with the others?")

        return await acts.roll_back(readings, options.reason or "asked for by a person", go_on)

    return _act(options, "rollback", work)


def finalize(options: Options, version: str | None) -> int:
    """Make the accepted version final on every node; there is no way back by this tool then."""
    session = open_cluster(options)
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

    async def work(acts: Acts, readings: Sequence[NodeReading], run: str) -> list[NodeResult]:
        wanted = refuse_unless_all_accepted(readings, version)
        verdict = decide(readings, session.name)
        talk([f"finalize {wanted} on {', '.join(_counted(readings))}"])
        talk([f"way back until now: {verdict.way_back}", "way back afterwards: none"])
        if not options.yes:
            typed(session.cluster.name, "the cluster's name")
            if production:
                typed(wanted, "the version")
        return await acts.finalize(readings)

    return _act(options, "finalize", work)


def adopt(options: Options) -> int:
    """Record what runs, and its content, as finalized; it is shown first."""

    async def work(acts: Acts, readings: Sequence[NodeReading], run: str) -> list[NodeResult]:
        shown = await acts.preview("adopt")
        previews = show_previews(shown)
        if previews and not agreed(options, f"Record this on {len(previews)} nodes?"):
            raise declined()
        done = [await acts.adopt(preview, run) for preview in previews]
        return done + [item for item in shown if isinstance(item, NodeResult)]

    return _act(options, "adopt", work)


def clean(options: Options, *, everything: bool) -> int:
    """Remove staged releases, or every trace of this program, from the nodes."""

    async def work(acts: Acts, readings: Sequence[NodeReading], run: str) -> list[NodeResult]:
        shown = await acts.preview("clean", everything=everything)
        previews = [item for item in show_previews(shown) if item.message["paths"]]
        if previews and not agreed(options, f"Remove this from {len(previews)} nodes?"):
            raise declined()
        done = [await acts.clean(preview, everything=everything) for preview in previews]
        idle = [
            NodeResult(item.node, Result.ALREADY)
            for item in shown
            if isinstance(item, Preview) and not item.message["paths"]
        ]
        return done + idle + [item for item in shown if isinstance(item, NodeResult)]

    return _act(options, "clean", work)


def _act(
    options: Options,
    kind: str,
    work: Work,
    *,
    beside: bool = False,
) -> int:
    """Run a single act over the selected nodes, in the book and under the lock.

    One that may come `beside` a running upgrade takes no lock and asks nothing.
    """
    session = open_cluster(options)
    if not beside:
        refuse_silence(options, kind)

    async def go(book: Book) -> int:
        readings, _ = await look(session)
        name = new_run(today(), lambda taken: book.run(taken) is not None)
        book.begin(about(session, name, kind, options))
        acts = Acts(session.contacts, Scribe(book, name, observer(options)))
        try:
            results = await work(acts, readings, name)
        except LiftlockError as error:
            book.end(name, time=time.time(), exit_code=error.exit_code, outcome=str(error))
            raise
        code = _exit_of_act(kind, results)
        text = f"{kind}: " + ", ".join(f"{item.node} {item.result}" for item in results)
        book.end(name, time=time.time(), exit_code=code, outcome=text)
        _, after = await look(session)
        if options.json:
            print(json.dumps(shapes.outcome(name, code, results, after, text), sort_keys=True))
        else:
            out(lines.results(results, f"now: {after.headline()}"))
            for item in results:
                if item.problem is not None:
                    talk(lines.problem(item.problem))
        return with_unknown(session, code)

    with open_book() as book, nullcontext() if beside else locked(session, kind):
        return asyncio.run(go(book))


def _exit_of_act(kind: str, results: Sequence[NodeResult]) -> Exit:
    """A roll back that was asked for and is proven is what was wanted: 0."""
    if kind == "rollback":
        results = [item for item in results if item.result is not Result.ROLLED_BACK]
        undone = any(item.result is Result.NOT_STARTED for item in results)
        return worst([exit_of(results), *([Exit.WAITING] if undone else [])])
    return exit_of([item for item in results if item.result is not Result.ACCEPTED])


def _counted(readings: Sequence[NodeReading]) -> list[str]:
    return [reading.name for reading in readings if reading.left_out is None]
