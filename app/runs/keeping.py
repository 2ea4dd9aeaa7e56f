"""Every run is kept in the book, from before its first act to its end."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime

from app.session import Session
from backends.domain.plan import Plan
from backends.domain.problem import Exit, LiftlockError
from backends.engine import runlock
from backends.engine.events import Event, Kind, Observer
from backends.engine.planner import new_run
from backends.engine.scribe import Scribe
from backends.releases.read import Release
from backends.settings.locations import ensure_private
from backends.store.book import Book, Start
from backends.store.orders import Orders


def locked(session: Session, kind: str) -> AbstractContextManager[None]:
    """Hold the workstation's lock on this cluster and product."""
    since = datetime.fromtimestamp(time.time(), UTC).astimezone()
    return runlock.hold(
        ensure_private(session.state_dir),
        session.cluster.name,
        session.profile.name,
        session.name,
        who=session.operator,
        what=kind,
        since=f"{since:%Y-%m-%d %H:%M:%S%z}",
    )


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
        plan=(plain(made) if made else {}) | _file(release),
        note=note,
    )


def _file(release: Release | None) -> dict[str, object]:
    return {"tarball": str(release.tarball.absolute())} if release is not None else {}


def end_run(book: Book, scribe: Scribe, exit_code: Exit, text: str, observe: Observer) -> None:
    """Write down how a run ended; where that fails it is told, and the result counts."""
    try:
        scribe.say(Kind.RUN, f"ended here, exit {exit_code.value}: {text}")
        scribe.close()
        book.end(scribe.run, time=time.time(), exit_code=exit_code, outcome=text)
    except LiftlockError as error:
        found = error.problem
        said = {"code": found.code, "evidence": found.evidence, "advice": found.advice}
        text = f"{found.code}: {found.summary}"
        observe(Event(time.time(), scribe.run, "", None, Kind.PROBLEM, text, said))


@contextmanager
def always_ended(book: Book, scribe: Scribe, observe: Observer) -> Iterator[None]:
    """However the work in here breaks, its run has an end in the book; then it breaks."""
    try:
        yield
    except asyncio.CancelledError:
        end_run(book, scribe, Exit.INTERRUPTED, "interrupted", observe)
        raise
    except LiftlockError as error:
        end_run(book, scribe, error.exit_code, str(error), observe)
        raise
    except Exception as error:
        end_run(book, scribe, Exit.ERROR, f"broke off: {type(error).__name__}", observe)
        raise


def plain(made: Plan) -> dict[str, object]:
    """The plan as JSON values."""
    found: dict[str, object] = json.loads(json.dumps(asdict(made)))
    return found


def today() -> date:
    """The day where the operator is."""
    return datetime.fromtimestamp(time.time(), UTC).astimezone().date()
