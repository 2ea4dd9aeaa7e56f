"""What every command needs: the cluster opened, its nodes read, the run in the book."""

import json
import time
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from app.headless import lines
from app.headless.ask import Terminal
from app.headless.foreground import run
from app.headless.options import Options
from app.headless.say import talk
from app.session import Session, open_session
from backends.domain.facts import NodeReading
from backends.domain.plan import Plan
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import Verdict, decide
from backends.engine import runlock
from backends.engine.contact import read_all
from backends.engine.events import Kind
from backends.engine.planner import make_plan, open_run, refuse_other_product
from backends.engine.results import NodeResult, Result
from backends.engine.scribe import Scribe
from backends.releases.read import Release, open_release, verify_tarball
from backends.settings.locations import ensure_private
from backends.store.book import Book, Start

T = TypeVar("T")


def open_cluster(options: Options) -> Session:
    """The cluster and the selected nodes; what is odd about the file is said."""
    session = open_session(
        options.cluster,
        selection=options.nodes,
        product=options.product,
        prompt=Terminal(),
    )
    talk(f"note: {note}" for note in session.cluster.notes)
    for result in unknown_nodes(session):
        if result.problem is not None:
            talk(lines.problem(result.problem))
    return session


def drive(session: Session, work: Coroutine[Any, Any, T]) -> T:
    """Have the engine do work on a cluster; all connections are given back at its end."""

    async def worked() -> T:
        try:
            return await work
        finally:
            await session.close()

    return run(worked())


async def look(session: Session) -> tuple[list[NodeReading], Verdict]:
    """Read every node of the cluster, also those that were not chosen; readings and verdict."""
    by_name = {reading.name: reading for reading in await read_all(session.contacts.values())}
    readings = [
        by_name.get(name)
        or NodeReading(
            name=name, role=subject.role, address=subject.address, excluded=subject.excluded
        )
        for name, subject in session.subjects.items()
    ]
    return readings, decide(readings, session.name)


def chosen(session: Session, readings: Sequence[NodeReading]) -> list[NodeReading]:
    """The readings of the nodes that were asked for."""
    return [reading for reading in readings if reading.name in session.chosen]


def plan_from(
    session: Session, release: Release, readings: Sequence[NodeReading], fresh_run: str
) -> Plan:
    """The plan for a release on the chosen nodes; an open run of the cluster is taken up again."""
    return make_plan(
        run=open_run(readings, release) or fresh_run,
        cluster=session.cluster.name,
        called=session.name,
        product=session.profile.name,
        roles=session.profile.product.roles,
        subjects={name: session.subjects[name] for name in session.chosen},
        readings=readings,
        release=release,
        updater=session.payload.sha256,
        policy=session.policy,
        limits=session.limits,
    )


def open_for(session: Session, path: Path) -> Release:
    """A release that is whole, and one of this cluster's product; nothing was contacted.

    Raises:
        LiftlockError: Missing (exit 2); damaged, of another product, or unsigned where signatures
            are required (exit 4).
    """
    release = open_release(path)
    verify_tarball(release)
    refuse_other_product(release, session.profile.name)
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
    return release


def locked(session: Session, kind: str) -> AbstractContextManager[None]:
    """Hold the workstation's lock on this cluster and product."""
    return runlock.hold(
        ensure_private(session.state_dir),
        session.cluster.name,
        session.profile.name,
        session.name,
        who=session.operator,
        what=kind,
        since=lines.when(time.time()),
    )


def about(
    session: Session,
    run: str,
    kind: str,
    options: Options,
    release: Release | None = None,
    made: Plan | None = None,
) -> Start:
    """What the book keeps about a run before it does anything."""
    return Start(
        id=run,
        cluster=session.cluster.name,
        product=session.profile.name,
        kind=kind,
        operator=session.operator,
        began=time.time(),
        version=release.manifest.version if release else None,
        digest=release.digest if release else None,
        plan=plain(made) if made else {},
        note=options.note or options.reason,
    )


def end_run(
    book: Book, run: str, exit_code: Exit, text: str, scribe: Scribe | None = None
) -> None:
    """Write down how a run ended; where that fails it is said, and the result counts."""
    try:
        if scribe is not None:
            scribe.say(Kind.RUN, f"ended here, exit {exit_code.value}: {text}")
            scribe.close()
        book.end(run, time=time.time(), exit_code=exit_code, outcome=text)
    except LiftlockError as error:
        talk(lines.problem(error.problem))


def unknown_nodes(session: Session) -> list[NodeResult]:
    """A result for every name that is no node: one error each, the rest goes on (Z15)."""
    return [
        NodeResult(name, Result.REFUSED, Problem("node-unknown", f"There is no node {name}."))
        for name in session.unknown
    ]


def plain(made: Plan) -> dict[str, object]:
    """The plan as JSON values."""
    found: dict[str, object] = json.loads(json.dumps(asdict(made)))
    return found


def today() -> date:
    """The day where the operator is."""
    return datetime.fromtimestamp(time.time(), UTC).astimezone().date()
