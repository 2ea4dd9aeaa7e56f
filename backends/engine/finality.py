"""What a node says of its finalize before it: asked, and turned into cleaned values."""

from collections.abc import Mapping
from typing import Any

from backends.domain.clean import line
from backends.domain.finality import Finality, IsFinal, Since
from backends.domain.problem import Problem
from backends.engine import reading
from backends.engine.contact import Contact

_LONGEST_SECONDS = 1e10
_MOST = float(2**53)
_PROCESS = ("same", "other", "none", "unknown")


async def finality_of(contact: Contact) -> Finality | IsFinal | Problem:
    """What would become final on one node, or why that is not known; nothing is changed."""
    answer = await contact.ask("finalize", preview=True)
    if not answer.is_ok:
        return answer.problem or Problem("no-end", f"{contact.node}: the answer broke off")
    try:
        for message in answer.messages:
            if message["t"] == "already":
                version, run = line(message["version"]), line(message["run"] or "")
                return IsFinal(contact.node, version, run)
            if message["t"] == "finality":
                return _finality(contact.node, message)
    except reading.NO_SENSE as error:
        why = line(f"{type(error).__name__}: {error}")
        return Problem("bad-answer", f"{contact.node}: what it says of finalize is no sense", why)
    return Problem("bad-answer", f"{contact.node}: it said nothing of what becomes final")


def _finality(node: str, message: Mapping[str, Any]) -> Finality:
    frees, trial = message["frees"], message["trial"]
    said, events = message["irreversible"], message["events"]
    if message["process"] not in _PROCESS:
        raise ValueError(f"no word for a process: {str(message['process'])[:80]!r}")
    return Finality(
        node=node,
        version=line(message["version"]),
        run=line(message["run"]),
        accepted=reading.utc(message["since"]),
        age_seconds=reading.number(message["seconds"], 0, _LONGEST_SECONDS),
        frees_backups=_count(frees["backups_bytes"]),
        frees_staged=_count(frees["staged_bytes"]),
        frees_data=_count(frees["data_bytes"]),
        aside=tuple(line(str(path)) for path in message["aside"]),
        aside_count=_count(message["count"]),
        stays=tuple(line(str(version)) for version in message["stays"]),
        irreversible=None if said is None else tuple(line(str(text)) for text in said),
        process=str(message["process"]),
        trial_unhealthy=_count(trial["unhealthy"]),
        trial_restarts=_count(trial["restarts"]),
        since=None if events is None else tuple(_since(each) for each in events),
    )


def _since(message: Mapping[str, Any]) -> Since:
    return Since(
        what=line(message["t"]),
        time=reading.utc(message["time"]),
        ok=message["ok"] is True,
        text=line(message["text"]),
    )


def _count(value: object) -> int:
    return int(reading.number(value, 0, _MOST))
