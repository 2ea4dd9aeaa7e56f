"""What becomes final, before it does: `finalize --preview`, and before it is typed."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence

from app.headless import lines, shapes
from app.headless.options import Options
from app.headless.say import out, talk
from app.headless.work import drive, open_cluster
from app.runs.afterwards import open_steps
from app.runs.looking import look
from app.session import Session, open_book
from backends.domain.facts import NodeReading
from backends.domain.finality import Finality, IsFinal
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.accepted import refuse_unless_all_accepted
from backends.engine.finality import finality_of
from backends.settings.units import format_duration, format_size

Found = Mapping[str, Finality | IsFinal | Problem]

_PROCESS = {
    "same": "the process that was accepted still runs",
    "other": "another process runs than was accepted: it was started again since",
    "none": "NO process of it runs",
    "unknown": "whether its process is the one that was accepted is not known",
}
_WORDS = {"VERIFY": "verify", "RESTARTED": "restart"}


def preview(options: Options, version: str | None) -> int:
    """Say what finalize would do; exit 0 when it would not refuse. Nothing is changed."""
    session = open_cluster(options)
    steps = session.profile.finalize.after
    about = (session.cluster.name, session.profile.name)

    async def look_and_ask() -> tuple[Sequence[NodeReading], Found]:
        readings, _ = await look(session)
        return readings, await asked(session, readings)

    readings, found = drive(session, look_and_ask())
    refused: LiftlockError | None = None
    wanted: str | None = None
    try:
        wanted = refuse_unless_all_accepted(readings, version)
    except LiftlockError as error:
        refused = error
    with open_book(session.state_dir) as book:
        is_over = all(isinstance(each, IsFinal) for each in found.values())
        left = open_steps(steps, book, *about, readings) if is_over else steps
    if options.json:
        said = shapes.finality(session.cluster.name, time.time(), wanted, found, steps, left)
        said["problem"] = shapes.problem(refused.problem if refused else None)
        out([json.dumps(said, sort_keys=True)])
    else:
        is_done = wanted is not None and is_over
        will = f"{wanted} is final everywhere" if is_done else f"finalize {wanted}"
        out([will if wanted else "finalize would be refused"])
        out(lines_of(found, left))
    if refused is not None:
        talk(lines.problem(refused.problem))
        return refused.exit_code
    unread = any(isinstance(each, Problem) for each in found.values())
    return Exit.UNREACHABLE if unread else Exit.OK


async def asked(session: Session, readings: Sequence[NodeReading]) -> Found:
    """What each node that counts says of it, all asked at once."""
    names = [each.name for each in readings if each.left_out is None]
    found = await asyncio.gather(*(finality_of(session.contacts[name]) for name in names))
    return dict(zip(names, found, strict=True))


def lines_of(found: Found, steps: Sequence[str]) -> list[str]:
    """For a person: node by node, then what does not come back, then what is to be done after."""
    told: list[str] = []
    for node, each in found.items():
        for text in _node(each):
            told += lines.wrapped(f"{node}: {text}", "    ")
    told += [text for each in _irreversible(found) for text in lines.wrapped(each, "    ")]
    told += [text for step in steps for text in lines.wrapped(f"to do after it: {step}", "    ")]
    return told


def _node(found: Finality | IsFinal | Problem) -> list[str]:
    if isinstance(found, Problem):
        return [f"what finalize would do there is not known: {found.summary}"]
    if isinstance(found, IsFinal):
        return [f"{found.version} is final already (run {found.run})"]
    stays = f"; stays on the node: {', '.join(found.stays)}" if found.stays else ""
    parts = ", ".join(
        f"{what} {format_size(count)}"
        for what, count in (
            ("backups", found.frees_backups),
            ("staged", found.frees_staged),
            ("data copies", found.frees_data),
        )
    )
    freed = f"frees {format_size(found.frees)} ({parts}){stays}"
    told = [
        f"accepted {format_duration(found.age_seconds // 1)} ago, at {found.accepted}",
        freed,
        _health(found),
        _PROCESS[found.process],
    ]
    if found.aside_count:
        shown = ", ".join(found.aside[:5]) + (" ..." if found.aside_count > 5 else "")
        told.append(f"{found.aside_count} foreign or edited paths go to conflicts/: {shown}")
    return told


def _health(found: Finality) -> str:
    """The worst that is recorded since accept; what nobody recorded is not called well."""
    if found.since is None:
        return "health since accept: NOT KNOWN, the node's journal cannot be read"
    seen = "; ".join(
        f"{_WORDS.get(each.what, each.what)} {'ok' if each.ok else 'FAILED'} at {each.time}"
        for each in found.since
    )
    worst = found.worst
    trial = f"in the trial {found.trial_unhealthy} times unhealthy, "
    trial += f"{found.trial_restarts} restarts"
    if worst is not None:
        what = _WORDS.get(worst.what, worst.what)
        return f"worst since accept: {what} FAILED at {worst.time}: {worst.text} ({trial})"
    return f"health since accept: not watched{f', only: {seen}' if seen else ''} ({trial})"


def _irreversible(found: Found) -> list[str]:
    told: dict[str, list[str]] = {}
    for node, each in found.items():
        if not isinstance(each, Finality):
            continue
        texts = each.irreversible
        if texts is None:
            texts = ("what the release says about that was not written down by its upgrade",)
        for text in texts:
            told.setdefault(text, []).append(node)
    return [f"does not come back: {text} ({', '.join(nodes)})" for text, nodes in told.items()]
