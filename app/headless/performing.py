"""One act on the terminal: in the book, told while it is done, and with its exit code."""

import json
from collections.abc import Sequence
from contextlib import nullcontext

from app.headless import lines, shapes
from app.headless.options import Options
from app.headless.say import UNTOUCHED, heard_or_not, keep_verdict, observer, out, talk
from app.headless.work import drive, open_cluster
from app.runs.acting import Done, Interrupted, Work, act
from app.runs.keeping import fresh_run, locked
from app.runs.looking import look
from app.session import Session, open_book
from backends.domain.problem import LiftlockError
from backends.domain.verdict import Verdict
from backends.engine.results import Result
from backends.store.book import Book


def perform(
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
        error.run = run
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
