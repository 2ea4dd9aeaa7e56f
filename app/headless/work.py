"""What every command needs of the terminal's side: the cluster opened, the engine driven."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from app.headless import lines
from app.headless.ask import Terminal
from app.headless.foreground import run
from app.headless.options import Options
from app.headless.say import talk
from app.runs.looking import unknown_nodes
from app.session import Session, open_session

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
