"""What every command needs: the cluster opened, its nodes read, the run in the book."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, date, datetime

from app.headless import lines
from app.headless.options import Options
from app.headless.say import talk
from app.wiring import Session, open_session
from backends.domain.facts import NodeReading
from backends.domain.plan import Plan
from backends.domain.problem import Exit, Problem, worst
from backends.domain.verdict import Verdict, decide
from backends.engine import runlock
from backends.engine.planner import make_plan, open_run
from backends.releases.read import Release
from backends.settings.locations import ensure_private, state_dir
from backends.store.book import Start


def open_cluster(options: Options) -> Session:
    """The cluster and the selected nodes; what is odd about the file is said."""
    session = open_session(options.cluster, selection=options.nodes, product=options.product)
    talk(f"note: {note}" for note in session.cluster.notes)
    for name in session.unknown:
        talk(lines.problem(Problem("node-unknown", f"There is no node {name}.")))
    return session


async def look(session: Session) -> tuple[list[NodeReading], Verdict]:
    """Read every selected node; readings and verdict."""
    contacts = session.contacts.values()
    read = await asyncio.gather(*(contact.read() for contact in contacts))
    readings = _with_excluded(session, read)
    return readings, decide(readings, session.name)


async def plan_for(session: Session, release: Release, fresh_run: str) -> tuple[Plan, Verdict]:
    """The plan for a release, from readings of this moment; an open run is taken up again."""
    readings, verdict = await look(session)
    made = make_plan(
        run=open_run(readings, release.digest) or fresh_run,
        cluster=session.cluster.name,
        product=session.profile.name,
        roles=session.profile.product.roles,
        subjects=session.subjects,
        readings=readings,
        release=release,
        updater=session.payload.sha256,
        policy=session.policy,
        limits=session.limits,
    )
    return made, verdict


def locked(session: Session, kind: str) -> AbstractContextManager[None]:
    """Hold the workstation's lock on this cluster and product."""
    folder = ensure_private(state_dir())
    return runlock.hold(
        folder,
        session.cluster.name,
        session.profile.name,
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


def _with_excluded(session: Session, read: Sequence[NodeReading]) -> list[NodeReading]:
    by_name = {reading.name: reading for reading in read}
    return [
        by_name.get(name)
        or NodeReading(
            name=name, role=subject.role, address=subject.address, excluded=subject.excluded
        )
        for name, subject in session.subjects.items()
    ]


def with_unknown(session: Session, code: int) -> int:
    """An unknown name is one error; the rest went on."""
    return worst([Exit(code), Exit.USAGE]) if session.unknown and code == Exit.OK else code


def plain(made: Plan) -> dict[str, object]:
    """The plan as JSON values."""
    found: dict[str, object] = json.loads(json.dumps(asdict(made)))
    return found


def today() -> date:
    """The day where the operator is."""
    return datetime.fromtimestamp(time.time(), UTC).astimezone().date()
