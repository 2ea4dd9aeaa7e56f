"""A command of the operator's own, told when a run pauses or ends (notes on peers, row N6).

It is told afterwards: whatever becomes of it changes nothing about the run.
"""

import json
from collections.abc import Sequence

from app.session import Session
from backends.domain.clean import line
from backends.domain.problem import Exit, Problem
from backends.engine.here import run_here
from backends.engine.results import NodeResult
from backends.engine.scribe import Scribe


async def notify(
    session: Session,
    scribe: Scribe,
    kind: str,
    exit_code: Exit,
    text: str,
    results: Sequence[NodeResult],
) -> None:
    """Run the command, if the cluster file names one; what goes wrong is told and kept."""
    wanted = session.cluster.notify
    if wanted is None:
        return
    state = "paused" if exit_code is Exit.WAITING else "ended"
    about = {
        "LIFTLOCK_CLUSTER": session.cluster.name,
        "LIFTLOCK_PRODUCT": session.profile.name,
        "LIFTLOCK_RUN": scribe.run,
        "LIFTLOCK_KIND": kind,
        "LIFTLOCK_STATE": state,
        "LIFTLOCK_EXIT": str(exit_code.value),
        "LIFTLOCK_TEXT": line(text),
    }
    content = {
        "schema": "liftlock.notice/1",
        **{key.removeprefix("LIFTLOCK_").lower(): value for key, value in about.items()},
        "exit": exit_code.value,
        "nodes": {each.node: each.result.value for each in results},
    }
    told = f"{json.dumps(content)}\n".encode()
    ran = await run_here(wanted.command, about, wanted.timeout, told)
    if ran.code != 0:
        scribe.problem(
            Problem(
                "not-notified",
                "The notification command did not do its work; the run is as it says.",
                f"exit {ran.code}: {ran.said}" if ran.code is not None else ran.said,
                "See [notify] in the cluster file.",
            )
        )
