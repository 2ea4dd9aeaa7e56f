"""The report of one run for a change ticket, `liftlock.report/1`: all that the book has of it.

It is made of the book alone, so that it can be made at any time and says the same again. Texts are
cleaned, and secrets taken out once more: a book of an earlier version may still have them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.headless.shapes import moment_or_unknown
from app.history import timeline
from app.history.exits import word_of
from app.history.unknown import is_unknown, unknown
from backends.domain.clean import clean
from backends.domain.redaction import Redaction
from backends.store.book import Entry, Run

Shape = dict[str, Any]

_OLD = "an earlier version of this program did not write it down"


def report(run: Run, plan: Mapping[str, Any], entries: Sequence[Entry], now: float) -> Shape:
    """Everything about a run; `plan` as `Book.plan` has it."""
    end = _end(run, entries)
    names = _names(plan, entries, end)
    of_node: dict[str, list[Entry]] = {name: [] for name in names}
    for entry in entries:
        if entry.node:
            of_node[entry.node].append(entry)
    nodes = [_node(name, plan, of_node[name], end) for name in names]
    found: Shape = {
        "schema": "liftlock.report/1",
        "time": moment_or_unknown(now),
        "run": _run(run),
        "who": {**_who(run.operator), "taken_up": _taken_up(entries)},
        "why": _why(run, plan),
        "what": _what(run, plan),
        "plan": _plan(plan),
        "orders": _orders(entries),
        "nodes": nodes,
        "silent": [node["name"] for node in nodes if node["silent"]],
        "conditions": _conditions(entries),
        "failures": _failures(entries, end),
        "findings": [
            finding for name in names for finding in timeline.findings(name, of_node[name])
        ],
        "verdict": _verdict(entries),
        "forgotten": [entry.text for entry in entries if "forgotten" in entry.data],
    }
    found["unknown"] = _unknowns(found)
    shape: Shape = Redaction().value(_shown(found))
    return shape


def _run(run: Run) -> Shape:
    seconds = None if run.ended is None else round(run.ended - run.began, 3)
    return {
        "id": run.id,
        "cluster": run.cluster,
        "product": run.product,
        "kind": run.kind,
        "state": "open" if run.ended is None else "ended",
        "began": moment_or_unknown(run.began),
        "ended": None if run.ended is None else moment_or_unknown(run.ended),
        "seconds": seconds,
        "exit": run.exit,
        "exit_word": None if run.exit is None else word_of(run.exit),
        "outcome": run.outcome,
    }


def _who(operator: str) -> Shape:
    user, at, machine = operator.rpartition("@")
    if not at:
        return {"user": operator or unknown("no user was written down"), "machine": unknown(_OLD)}
    return {"user": user, "machine": machine}


def _taken_up(entries: Iterable[Entry]) -> list[Shape]:
    """Who has taken the run up again, and when."""
    return [
        {**_who(str(entry.data["taken_up"])), "time": moment_or_unknown(entry.time)}
        for entry in entries
        if entry.kind == "run" and "taken_up" in entry.data
    ]


def _orders(entries: Iterable[Entry]) -> list[Shape]:
    """What the run was told while it was under way: by whom, why, and when."""
    return [
        {
            "order": str(entry.data["order"]),
            "pause": entry.data.get("pause") or None,
            "by": str(entry.data.get("by", "")),
            "reason": entry.data.get("reason") or None,
            "time": moment_or_unknown(entry.time),
        }
        for entry in entries
        if "order" in entry.data and not entry.node
    ]


def _why(run: Run, plan: Mapping[str, Any]) -> Shape:
    policy = _mapping(plan.get("policy"))
    return {
        "note": run.note or None,
        "downgrade": policy.get("downgrade") or None,
        "reinstall": policy.get("reinstall") or None,
    }


def _what(run: Run, plan: Mapping[str, Any]) -> Shape:
    origin = plan.get("provenance")
    before: dict[str, list[str]] = {}
    unread: list[str] = []
    for item in _list(plan.get("nodes")):
        version = item.get("from_version")
        if is_unknown(version):
            unread.append(str(item["node"]))
        else:
            before.setdefault(version or "", []).append(str(item["node"]))
    not_of_it = unknown(f"it is no part of what is written down about a run of kind {run.kind}")
    return {
        "version": run.version or not_of_it,
        "from": [{"version": version or None, "nodes": names} for version, names in before.items()]
        + [{"version": unknown("not read before the run"), "nodes": unread}] * bool(unread),
        "release_digest": run.digest or not_of_it,
        "signed": _signed(_mapping(origin)) if isinstance(origin, Mapping) else not_of_it,
        "plan": plan.get("id") or not_of_it,
        "updater_digest": plan.get("updater_digest") or unknown(_OLD),
    }


def _signed(origin: Mapping[str, Any]) -> Shape:
    return {
        "by": origin.get("signer") or None,
        "key": origin.get("key") or None,
        "imported": origin.get("imported") or None,
    }


def _plan(plan: Mapping[str, Any]) -> Shape:
    policy = _mapping(plan.get("policy"))
    keys = ("batch", "pause", "accept", "if_operator_vanishes", "on_failure")
    return {
        "policy": {key: policy[key] for key in keys if key in policy} or None,
        "notes": [str(note) for note in plan.get("notes") or ()],
        "nodes": [
            {
                "node": item.get("node"),
                "treatment": item.get("treatment") or None,
                "reason": item.get("reason") or None,
                "from": item.get("from_version"),
                "to": item.get("to_version"),
                "steps": [
                    {key: step.get(key) for key in ("phase", "title", "actions", "undo")}
                    for step in _list(item.get("steps"))
                ],
            }
            for item in _list(plan.get("nodes"))
        ],
    }


def _node(name: str, plan: Mapping[str, Any], entries: list[Entry], end: Shape) -> Shape:
    planned = any(item.get("node") == name for item in _list(plan.get("nodes")))
    known = end["nodes"].get(name)
    result: Any = str(known.get("result")) if known else unknown(end["why_no_result"])
    given = timeline.commands(entries)
    return {
        "name": name,
        "planned": planned,
        "result": result,
        "problem": _problem(known.get("problem")) if known else None,
        "silent": timeline.said_nothing(entries),
        "phases": [_moments(each, "began", "ended") for each in timeline.phases(entries)],
        "commands": [_moments(each, "began") for each in given]
        if given
        else unknown("no command to it is in the book"),
        "rollback": _rollback(entries),
    }


def _rollback(entries: list[Entry]) -> Shape | None:
    found = timeline.rollback(entries)
    if found is not None:
        found["steps"] = [_moments(each, "time") for each in found["steps"]]
    return found


def _end(run: Run, entries: Sequence[Entry]) -> Shape:
    """What the last end of the run says about its nodes and itself."""
    nothing: Shape = {"nodes": {}, "problem": None}
    if run.ended is None:
        return {**nothing, "why_no_result": "the run is open"}
    for entry in reversed(entries):
        if entry.kind == "run" and isinstance(entry.data.get("nodes"), list):
            nodes = {str(each.get("node")): each for each in _list(entry.data["nodes"])}
            why = "the run ended without a result of it"
            return {"nodes": nodes, "problem": entry.data.get("problem"), "why_no_result": why}
    return {**nothing, "why_no_result": _OLD}


def _names(plan: Mapping[str, Any], entries: Sequence[Entry], end: Shape) -> list[str]:
    """Every node that the run was about, as planned, then any other that is named."""
    planned = [str(item.get("node")) for item in _list(plan.get("nodes"))]
    named = [entry.node for entry in entries if entry.node]
    return list(dict.fromkeys([*planned, *end["nodes"], *named]))


def _conditions(entries: Iterable[Entry]) -> list[Shape]:
    """Conditions of gates and checks of nodes that were not simply met: they stay marked."""
    return [
        {
            "time": moment_or_unknown(entry.time),
            "node": entry.node or None,
            "gate": entry.data.get("gate"),
            "name": entry.data.get("name"),
            "result": entry.data.get("result"),
            "text": entry.data.get("evidence") or entry.text.strip(),
        }
        for entry in entries
        if entry.kind == "row" and entry.data.get("result") != "ok"
    ]


def _failures(entries: Iterable[Entry], end: Shape) -> list[Shape]:
    """Each problem once, with its evidence and its advice."""
    found = []
    for entry in entries:
        if entry.kind == "problem":
            code = entry.data.get("code") or entry.text.partition(":")[0]
            summary = entry.text.removeprefix(f"{code}: ")
            found.append(_failure(moment_or_unknown(entry.time), entry.node, entry.phase, {
                **entry.data, "code": code, "summary": summary,
            }))  # fmt: skip
    told = {(each["node"], each["code"]) for each in found}
    for node, known in end["nodes"].items():
        problem = _mapping(known.get("problem"))
        if problem and (node, problem.get("code")) not in told:
            found.append(_failure(None, node, None, problem))
    said = {(each["code"], each["summary"]) for each in found}
    whole = _mapping(end["problem"])  # often that of the first node that failed
    if whole and (whole.get("code"), whole.get("summary")) not in said:
        found.append(_failure(None, "", None, whole))
    return found


def _failure(at: Any, node: str, phase: str | None, problem: Mapping[str, Any]) -> Shape:
    return {"time": at, "node": node or None, "phase": phase, **(_problem(problem) or {})}


def _problem(value: Any) -> dict[str, str] | None:
    """A problem's four parts; None for what is none."""
    if not isinstance(value, Mapping) or not value:
        return None
    return {key: str(value.get(key) or "") for key in ("code", "summary", "evidence", "advice")}


def _verdict(entries: Sequence[Entry]) -> Shape:
    keys = ("verdict", "cause", "certain", "nodes_read", "nodes_total", "next", "way_back")
    for entry in reversed(entries):
        if entry.kind == "run" and "verdict" in entry.data:
            words = entry.text.removeprefix("afterwards: ")
            found = {key: entry.data.get(key) for key in keys}
            return {"time": moment_or_unknown(entry.time), "words": words, **found}
    return unknown("what the cluster was after the run was not written down")


def _unknowns(found: Shape) -> list[str]:
    """Everything that is not known, in one list: nobody has to look for what is missing."""
    said: list[str] = []

    def look(value: Any, path: str) -> None:
        if is_unknown(value):
            said.append(f"{path}: {value['unknown']}")
        elif isinstance(value, dict):
            for key, each in value.items():
                look(each, f"{path} {key}".strip())
        elif isinstance(value, list):
            for number, each in enumerate(value, 1):
                name = each.get("name") or each.get("node") if isinstance(each, dict) else None
                look(each, f"{path} {name or number}")

    look(found, "")
    return said


def _moments(shape: Shape, *keys: str) -> Shape:
    """The shape with its times as everywhere in JSON."""
    times = {key: shape[key] for key in keys if isinstance(shape.get(key), int | float)}
    return {**shape, **{key: moment_or_unknown(value) for key, value in times.items()}}


def _shown(value: Any) -> Any:
    """Every text of a value, cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    """A list of objects as it was written down; what is none of both counts as nothing."""
    found = value if isinstance(value, list | tuple) else []
    return [each for each in found if isinstance(each, Mapping)]
