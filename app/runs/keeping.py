"""Every run is kept in the book, from before its first act to its end."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime

from app.session import Session
from backends.domain.facts import Fact, NodeReading, Unknown
from backends.domain.plan import Plan
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import Verdict
from backends.engine import runlock
from backends.engine.asked import telling
from backends.engine.events import Event, Kind, Observer
from backends.engine.planner import new_run
from backends.engine.results import NodeResult
from backends.engine.scribe import Scribe
from backends.products.secrets import secrets_of
from backends.releases.read import Release
from backends.settings.locations import ensure_private
from backends.store.book import Book, Start
from backends.store.orders import Orders
from backends.store.retention import Keep


@contextmanager
def locked(session: Session, kind: str) -> Iterator[None]:
    """Hold the workstation's lock on this cluster and product.

    Orders are only given to who holds it. One that lies there before was given to a program that
    died, and is none of this one's.
    """
    since = datetime.fromtimestamp(time.time(), UTC).astimezone()
    orders = orders_of(session)
    stale = orders.waiting()
    with runlock.hold(
        ensure_private(session.state_dir),
        session.cluster.name,
        session.profile.name,
        session.name,
        who=session.operator,
        what=kind,
        since=f"{since:%Y-%m-%d %H:%M:%S%z}",
    ):
        if stale is not None:
            orders.withdraw(stale.id)
        yield


def orders_of(session: Session) -> Orders:
    """Where orders to a run of this cluster and product lie."""
    folder = ensure_private(session.state_dir)
    return Orders(folder, session.cluster.name, session.profile.name)


def driven_by(session: Session) -> str | None:
    """Who works on this cluster and product from this workstation, in words; None: nobody."""
    return runlock.holder(
        ensure_private(session.state_dir), session.cluster.name, session.profile.name
    )


def fresh_run(book: Book) -> str:
    """A run id that this book does not have."""
    return new_run(today(), lambda run: book.run(run) is not None)


def about(
    session: Session,
    run: str,
    kind: str,
    note: str = "",
    release: Release | None = None,
    made: Plan | None = None,
    *,
    readings: Sequence[NodeReading] = (),
) -> Start:
    """What the book keeps about a run before it does anything.

    `readings` are of the nodes that an act without a plan is about.
    """
    return Start(
        id=run,
        cluster=session.cluster.name,
        product=session.profile.name,
        kind=kind,
        operator=session.operator,
        began=time.time(),
        version=release.manifest.version if release else None,
        digest=release.digest if release else None,
        plan=(plain(made) if made else _unplanned(session, readings)) | _file(release),
        note=note,
    )


def _file(release: Release | None) -> dict[str, object]:
    return {"tarball": str(release.tarball.absolute())} if release is not None else {}


def begin_run(book: Book, session: Session, start: Start) -> None:
    """Write a run down before it does anything; what is too old or too much is forgotten.

    Secrets of this cluster are known to the book from here on: they get into no line of it.

    Raises:
        LiftlockError: `book-unwritable`: nothing may begin.
    """
    for subject in session.subjects.values():
        book.redaction.learn(secrets_of(subject.document))
    history = session.cluster.history
    known = book.run(start.id)
    book.begin(start, Keep(history.keep, history.keep_bytes))
    if known is not None:
        text = f"taken up again by {start.operator}"
        data = {"taken_up": start.operator}
        book.record(
            start.id, time=start.began, node="", phase=None, kind="run", text=text, data=data
        )


def _unplanned(session: Session, readings: Sequence[NodeReading]) -> dict[str, object]:
    """What is known about an act that has no plan: its nodes, and what they were before."""
    return {
        "updater_digest": session.payload.sha256,
        "nodes": [
            {
                "node": reading.name,
                "from_version": _before(reading),
                "treatment": "excluded" if reading.excluded is not None else "",
                "reason": reading.excluded or "",
            }
            for reading in readings
        ],
    }


def _before(reading: NodeReading) -> object:
    facts = reading.facts if reading.read else None
    selected: Fact = facts.selected if facts is not None else Unknown("not read")
    return {"unknown": selected.reason} if isinstance(selected, Unknown) else selected


def end_run(
    book: Book,
    scribe: Scribe,
    exit_code: Exit,
    text: str,
    observe: Observer,
    nodes: Sequence[NodeResult] = (),
    problem: Problem | None = None,
) -> None:
    """Write down how a run ended, and each node; where that fails it is told, the result counts.

    Without `nodes` it has ended before it was known what became of them; `problem` is what
    concerns the whole run.
    """
    try:
        scribe.tell_looks()
        data = {
            "exit": exit_code.value,
            "nodes": [_plain_result(node) for node in nodes],
            "problem": asdict(problem) if problem else None,
        }
        scribe.say(Kind.RUN, f"ended here, exit {exit_code.value}: {text}", data=data)
        scribe.close()
        book.end(scribe.run, time=time.time(), exit_code=exit_code, outcome=text)
    except LiftlockError as error:
        found = error.problem
        said = {"code": found.code, "evidence": found.evidence, "advice": found.advice}
        text = f"{found.code}: {found.summary}"
        observe(Event(time.time(), scribe.run, "", None, Kind.PROBLEM, text, said))


@contextmanager
def always_ended(book: Book, scribe: Scribe, observe: Observer) -> Iterator[None]:
    """However the work in here breaks, its run has an end in the book; then it breaks.

    Every command that is given to a node in here is written down.
    """
    try:
        with telling(scribe.command):
            yield
    except asyncio.CancelledError:
        end_run(book, scribe, Exit.INTERRUPTED, "interrupted", observe)
        raise
    except LiftlockError as error:
        end_run(book, scribe, error.exit_code, str(error), observe, problem=error.problem)
        raise
    except Exception as error:
        end_run(book, scribe, Exit.ERROR, f"broke off: {type(error).__name__}", observe)
        raise


def write_verdict(book: Book, run: str, verdict: Verdict) -> None:
    """Write down what the cluster was after a run, as far as it was read.

    Raises:
        LiftlockError: `book-unwritable`.
    """
    book.record(
        run,
        time=time.time(),
        node="",
        phase=None,
        kind=Kind.RUN.value,
        text=f"afterwards: {verdict.headline()}",
        data={
            "verdict": verdict.kind.value,
            "cause": verdict.cause,
            "certain": verdict.certain,
            "nodes_read": verdict.nodes_read,
            "nodes_total": verdict.nodes_total,
            "next": verdict.next_action,
            "way_back": verdict.way_back,
        },
    )


def without_secrets(book: Book, nodes: Sequence[NodeResult]) -> list[NodeResult]:
    """Results as they are told: what a node quotes may have any of the product's secrets."""
    return [replace(node, problem=hidden(book, node.problem)) for node in nodes]


def hidden(book: Book, problem: Problem | None) -> Problem | None:
    """A problem without secrets."""
    if problem is None:
        return None
    text = book.redaction.text
    return Problem(
        problem.code, text(problem.summary), text(problem.evidence), text(problem.advice)
    )


def _plain_result(node: NodeResult) -> dict[str, object]:
    problem = node.problem
    return {
        "node": node.node,
        "result": node.result.value,
        "forward": node.forward,
        "problem": asdict(problem) if problem else None,
    }


def plain(made: Plan) -> dict[str, object]:
    """The plan as JSON values."""
    found: dict[str, object] = json.loads(json.dumps(asdict(made)))
    return found


def today() -> date:
    """The day where the operator is."""
    return datetime.fromtimestamp(time.time(), UTC).astimezone().date()
