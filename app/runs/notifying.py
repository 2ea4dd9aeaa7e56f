"""A command of the operator's own, told when a run pauses or ends (notes on peers, row N6).

It is told afterwards: whatever becomes of it changes nothing about the run.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence

from app.session import Session
from backends.domain.clean import line
from backends.domain.problem import Exit, Problem
from backends.engine.results import NodeResult
from backends.engine.scribe import Scribe

_SAID = 300


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
    said = await _run(wanted.command, about, json.dumps(content) + "\n", wanted.timeout)
    if said:
        scribe.problem(
            Problem(
                "not-notified",
                "The notification command did not do its work; the run is as it says.",
                said,
                "See [notify] in the cluster file.",
            )
        )


async def _run(
    command: tuple[str, ...], about: Mapping[str, str], content: str, seconds: float
) -> str:
    """What went wrong, or ""."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **about},
            start_new_session=True,
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(seconds):
            _, err = await process.communicate(content.encode())
    except TimeoutError:
        return f"{command[0]}: no end within {seconds:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ""
    return (
        f"{command[0]}: exit {process.returncode}: {line(err.decode(errors='replace'))[-_SAID:]}"
    )
