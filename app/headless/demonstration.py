"""`demo`: an embedded cluster to try everything on, from the first look to the last undo."""

import asyncio
import json
import os
import queue
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.headless import lines
from app.headless.say import out, talk
from app.opening import has_terminal, open_screen
from app.runs.acting import Scene, act
from app.runs.keeping import fresh_run
from app.runs.looking import look
from app.session import Session, open_book, open_session
from app.wiring import Embedded, demo_in
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import VerdictKind
from backends.engine.acts import Preview
from backends.engine.core import Core
from backends.engine.results import NodeResult, Result

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(nodes: int | None, directory: Path | None, *, serve: bool) -> int:
    """Open the screen on a cluster of the demo's own; the directory stays only if it was named.

    With `serve`, or without a terminal, the nodes are served until a signal comes; standard output
    is then one line of JSON with `serve`, and otherwise says what to type.
    """
    with _place(directory) as place:
        if serve or not has_terminal():
            return asyncio.run(_run(place, nodes, serve=serve))
        return _on_screen(place, nodes)


def _on_screen(place: Path, nodes: int | None) -> int:
    """The nodes' servers live in a thread of their own, for as long as the screen is there."""
    ready: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
    with Core() as servers:
        serving = servers.submit(_served(place, nodes, ready.put))
        serving.when_done(lambda: ready.put(None))
        try:
            cluster_file = ready.get()
            return open_screen(str(cluster_file)) if cluster_file is not None else Exit.ERROR
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                serving.result()


async def _served(place: Path, nodes: int | None, ready: Callable[[Path], None]) -> None:
    cluster = demo_in(place, nodes)
    try:
        await cluster.start()
        await _settle(cluster)
        talk(f"note: {note}" for note in cluster.notes)
        ready(cluster.cluster_file)
        await asyncio.Event().wait()
    finally:
        await cluster.stop()


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
