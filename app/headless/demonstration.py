"""`demo`: an embedded cluster to try everything on, from the first look to the last undo."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.headless import lines
from app.headless.say import out, talk
from app.runs.acting import Scene, act
from app.runs.keeping import fresh_run
from app.runs.looking import look
from app.session import Session, open_book, open_session
from app.wiring import Embedded, demo_in
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import VerdictKind
from backends.engine.acts import Preview
from backends.engine.results import NodeResult, Result

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(nodes: int | None, directory: Path | None, *, serve: bool) -> int:
    """Serve the demo's nodes until a signal comes; the directory stays only if it was named.

    With `serve`, standard output is one line of JSON, said when everything is ready.
    """
    with _place(directory) as place:
        return asyncio.run(_run(place, nodes, serve=serve))


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    place = Path(tempfile.mkdtemp(prefix="liftlock-demo-"))
    try:
        yield place / "demo"
    finally:
        shutil.rmtree(place)


async def _run(place: Path, nodes: int | None, *, serve: bool) -> int:
    """The nodes' servers live on this loop; a signal ends them, in whatever they are."""
    main = asyncio.current_task()
    is_ending = False

    def end() -> None:
        nonlocal is_ending
        if main is not None and not is_ending:
            is_ending = True
            main.cancel()

    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, end)
    cluster = demo_in(place, nodes)
    try:
        await cluster.start()
        await _settle(cluster)
        talk(f"note: {note}" for note in cluster.notes)
        _announce(cluster, serve=serve)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not is_ending:
            raise
    finally:
        await cluster.stop()
    return Exit.OK


async def _settle(cluster: Embedded) -> None:
    """Adopt what the nodes run, as an operator does with nodes that were never managed."""
    if not cluster.fresh:
        return
    session = open_session(str(cluster.cluster_file))
    try:
        with open_book(session.state_dir) as book:
            run = fresh_run(book)
            await act(session, book, run, "adopt", Result.FINALIZED, _adopt, lambda event: None)
            await _refuse_unless_settled(session)
    finally:
        await session.close()


async def _adopt(scene: Scene) -> list[NodeResult]:
    shown = await scene.acts.preview("adopt")
    return [
        await scene.acts.adopt(item, scene.run) if isinstance(item, Preview) else item
        for item in shown
    ]


async def _refuse_unless_settled(session: Session) -> None:
    _, verdict = await look(session)
    if verdict.kind is not VerdictKind.SETTLED:
        raise LiftlockError(
            Problem("demo-not-settled", "The demo's nodes did not settle.", verdict.headline()),
            Exit.NEEDS_PERSON,
        )


def _announce(cluster: Embedded, *, serve: bool) -> None:
    releases = {version: str(path) for version, path in cluster.releases.items()}
    if serve:
        found = {
            "cluster": str(cluster.cluster_file),
            "releases": releases,
            "dir": str(cluster.directory),
            "pid": os.getpid(),
        }
        print(json.dumps(found), flush=True)
        return
    out(lines.demonstration(str(cluster.cluster_file), releases))
