"""One node in one run, from the lines of the book: its phases, its commands, what it took back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.history.unknown import unknown
from backends.domain.states import Phase
from backends.store.book import Entry

Shape = dict[str, Any]

_NO_END: Final = "no end of it was written down"
_ANSWERED: Final = frozenset({"ok", "refused", "failed", "undone", "unproven"})
_ASKED_FOR: Final = {
    "install": "BEGIN",
    "accept": "ACCEPT",
    "rollback": "ROLLBACK",
    "finalize": "FINALIZE",
}
"""What a node writes down when it does as it was told."""


def phases(entries: Sequence[Entry]) -> list[Shape]:
    """Each phase of a node with its begin, its last word and its outcome, in their order."""
    found: dict[str, Shape] = {}
    for entry in entries:
        if entry.phase is None:
            continue
        shape = found.setdefault(
            entry.phase,
            {
                "phase": entry.phase,
                "began": entry.time,
                "ended": entry.time,
                "outcome": unknown(_NO_END),
                "told": None,
            },
        )
        shape["began"] = min(shape["began"], entry.time)
        shape["ended"] = max(shape["ended"], entry.time)
        if entry.kind == "record" and entry.data.get("record") == "ROLLBACK":
            _end_what_was_under_way(found, entry.time)
        _judge(found, shape, entry)
    for shape in found.values():
        shape["seconds"] = round(shape["ended"] - shape["began"], 3)
    return list(found.values())


def _judge(found: Mapping[str, Shape], shape: Shape, entry: Entry) -> None:
    """What a line says about how its phase, or one before it, came out."""
    data = entry.data
    if entry.kind == "phase":
        shape["outcome"] = unknown(_NO_END)
    elif entry.kind == "result":
        shape["told"] = entry.text
        shape["outcome"] = data.get("outcome", shape["outcome"])
    elif entry.kind == "problem":
        shape["outcome"] = f"problem {data.get('code', '')}".strip()
    elif entry.kind == "record":
        _judge_record(found, shape, str(data.get("record")))


def _judge_record(found: Mapping[str, Shape], shape: Shape, record: str) -> None:
    if record == "TRIAL":
        _say(found, Phase.INSTALL, "ok")
    elif record in ("ACCEPT", "HELD"):
        _say(found, Phase.MONITOR, "ok" if record == "ACCEPT" else "held")
    elif record in ("RESTORED", "UNPROVEN"):
        shape["outcome"] = "undone" if record == "RESTORED" else "unproven"
    elif record == "END" and shape["phase"] == Phase.FINALIZE.value:
        shape["outcome"] = "ok"


def _end_what_was_under_way(found: Mapping[str, Shape], time: float) -> None:
    """The phase that a node leaves to go back: it has lasted until then."""
    for phase in (Phase.MONITOR.value, Phase.INSTALL.value):
        if phase in found:
            if found[phase]["outcome"] != "ok":
                found[phase]["outcome"] = "taken back"
                found[phase]["ended"] = max(found[phase]["ended"], time)
            return


def _say(found: Mapping[str, Shape], phase: Phase, outcome: str) -> None:
    if phase.value in found:
        found[phase.value]["outcome"] = outcome


def commands(entries: Iterable[Entry]) -> list[Shape]:
    """Every command that was given to a node; those that only look are counted together."""
    keys = ("request", "command", "outcome", "code", "began", "seconds", "times")
    return [
        {key: entry.data.get(key) for key in keys} for entry in entries if entry.kind == "command"
    ]


def said_nothing(entries: Sequence[Entry]) -> bool:
    """Whether not one answer of the node is among these lines."""
    return not any(
        entry.kind in ("row", "record")
        or (entry.kind == "command" and entry.data.get("outcome") in _ANSWERED)
        for entry in entries
    )


def rollback(entries: Sequence[Entry]) -> Shape | None:
    """What a node took back, step by step, with its proof; None: it did not go back."""
    lines = [
        entry
        for entry in entries
        if entry.kind == "record" and entry.phase == Phase.ROLLBACK.value
    ]
    if not lines:
        return None
    records = [str(entry.data.get("record")) for entry in lines]
    proven: Any = unknown("neither a proof nor the lack of one was followed to its end")
    for record in records:
        if record in ("RESTORED", "UNPROVEN"):
            proven = record == "RESTORED"
    return {
        "proven": proven,
        "steps": [
            {
                "time": entry.time,
                "record": record,
                "ok": entry.data.get("ok"),
                "text": entry.text,
            }
            for entry, record in zip(lines, records, strict=True)
        ],
    }


def findings(node: str, entries: Sequence[Entry]) -> list[str]:
    """Where the commands of this run and the node's own records do not tell the same."""
    records = [entry for entry in entries if entry.kind == "record"]
    if not records:
        return []
    given = {
        str(each["request"]): str(each["command"])
        for each in commands(entries)
        if each["outcome"] == "ok"
    }
    asked = {str(each["request"]) for each in commands(entries)}
    heard = {(str(e.data.get("record")), str(e.data.get("request", ""))) for e in records}
    found = [
        f"{node} answered {command} (request {request}) with ok, and no {_ASKED_FOR[command]} of "
        "it is among the records that were followed"
        for request, command in given.items()
        if command in _ASKED_FOR and (_ASKED_FOR[command], request) not in heard
    ]
    return found + [
        f"{node} recorded {record} for request {request}, which was not given in this run"
        for record, request in sorted(heard)
        if record in _ASKED_FOR.values() and request and request not in asked
    ]
