"""Where the command line's words go: stdout is data, stderr is talk."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from app.headless import lines, shapes
from app.headless.options import Options
from app.runs.keeping import write_verdict
from app.session import Session
from backends.domain.facts import NodeReading
from backends.domain.problem import LiftlockError
from backends.domain.verdict import Verdict
from backends.engine.acts import Preview
from backends.engine.events import Event
from backends.engine.results import NodeResult, Outcome
from backends.store.book import Book

UNTOUCHED = "Interrupted here, before any node was changed."


def out(text: Iterable[str]) -> None:
    """Data, to standard output."""
    for line in text:
        print(line)


def talk(text: Iterable[str]) -> None:
    """Talk, to standard error."""
    for line in text:
        print(line, file=sys.stderr, flush=True)


@contextmanager
def heard_or_not() -> Iterator[None]:
    """For what is said after an act: its exit code counts, also when nobody reads any more."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = sys.stderr  # so that no flush at the end complains


def observer(options: Options) -> Callable[[Event], None]:
    """Tells events as they happen: JSON to stdout, lines to stderr.

    Whoever stopped reading us must not end a run: then nothing more is told.
    """
    deaf = False

    def see(event: Event) -> None:
        nonlocal deaf
        if deaf:
            return
        try:
            if options.json:
                print(json.dumps(shapes.event(event), sort_keys=True), flush=True)
            else:
                talk(lines.event(event))
        except OSError:
            deaf = True

    return see


def show_status(
    session: Session, options: Options, readings: Sequence[NodeReading], verdict: Verdict
) -> None:
    """The whole status, in lines or as JSON."""
    cluster, product = session.cluster, session.profile.name
    if options.json:
        found = shapes.status(cluster.name, product, time.time(), readings, verdict)
        print(json.dumps(found, sort_keys=True), flush=True)
    else:
        out(lines.status(cluster.name, cluster.environment, product, readings, verdict))


def show_outcome(options: Options, result: Outcome, verdict: Verdict) -> None:
    """How an upgrade ended, and what is next."""
    if options.json:
        print(json.dumps(shapes.of_run(result, verdict), sort_keys=True))
        return
    out(lines.results(result.nodes, result.text))
    out(lines.after(verdict))
    if result.problem is not None:
        talk(lines.problem(result.problem))


def refused(error: LiftlockError) -> None:
    """The last line of `--json` where a problem ended what was asked for."""
    said = shapes.refused(error.run, error.exit_code, error.problem)
    with heard_or_not():
        print(json.dumps(said, sort_keys=True))


def keep_verdict(book: Book, run: str, verdict: Verdict) -> None:
    """Write down what the cluster was after a run; where that fails it is told, nothing more."""
    try:
        write_verdict(book, run, verdict)
    except LiftlockError as error:
        talk(lines.problem(error.problem))


def show_previews(shown: Sequence[Preview | NodeResult]) -> list[Preview]:
    """Tell what an act would do; the nodes on which it can be done."""
    previews = [item for item in shown if isinstance(item, Preview)]
    for item in previews:
        talk([f"{item.node}:", *(f"  {line}" for line in item.lines or ("nothing to do",))])
    return previews
