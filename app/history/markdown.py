"""A report as Markdown that no text in it can break.

Whatever comes from outside stands in a code span or a fenced block: no table, link, picture or
HTML can be made of it. A `|` in a span is shown as `¦`; the JSON of the report has it as it is.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from app.headless.lines import when
from app.history.unknown import is_unknown
from backends.domain.clean import clean, line

Shape = dict[str, Any]

_NONE = "–"


def markdown(report: Shape) -> list[str]:
    """The whole report, line by line."""
    run = report["run"]
    return [
        f"# Run {_span(run['id'])}: {_span(run['kind'])} on {_span(run['cluster'])}",
        "",
        *_head(report),
        "",
        "## Results",
        "",
        *_results(report),
        "",
        "## Verdict at the end",
        "",
        *_verdict(report["verdict"]),
        "",
        "## Orders while it was under way",
        "",
        *_orders(report["orders"]),
        "",
        "## Failures",
        "",
        *_failures(report["failures"]),
        "",
        "## Conditions and checks that were not simply met",
        "",
        *_conditions(report["conditions"]),
        "",
        "## The plan as it was carried out",
        "",
        *_plan(report["plan"]),
        "",
        "## Node by node",
        "",
        *(text for node in report["nodes"] for text in _node(node)),
        "## Operator's and nodes' journals",
        "",
        *_bullets(map(_span, report["findings"]), "No difference was found in what was followed."),
        *_bullets(map(_span, report["forgotten"]), ""),
        "",
        "## Not known",
        "",
        *_bullets(map(_span, report["unknown"]), "Nothing that belongs here is missing."),
    ]


def _head(report: Shape) -> list[str]:
    run, why, what, who = (report[key] for key in ("run", "why", "what", "who"))
    came = "; ".join(
        f"{_version(each['version'])} on {', '.join(map(_span, each['nodes']))}"
        for each in what["from"]
    )
    ended = _when(run["ended"]) if run["state"] == "ended" else "open"
    code = _NONE if run["exit"] is None else f"{run['exit']} ({_span(run['exit_word'])})"
    rows = [
        ("State", ended if run["state"] == "open" else "ended"),
        ("Exit", code),
        ("Outcome", _span(run["outcome"])),
        ("Who", _span(who["user"])),
        ("From where", _span(who["machine"])),
        *(
            (
                "Taken up again",
                f"{_span(each['user'])}, {_span(each['machine'])}, {_when(each['time'])}",
            )
            for each in who["taken_up"]
        ),
        ("Note", _span(why["note"])),
        ("Why an older version", _span(why["downgrade"])),
        ("Why the same again", _span(why["reinstall"])),
        ("Product", _span(run["product"])),
        ("From version", came or _span(None)),
        ("To version", _span(what["version"])),
        ("Release", _span(what["release_digest"])),
        ("Signed", _signed(what["signed"])),
        ("Plan", _span(what["plan"])),
        ("Updater", _span(what["updater_digest"])),
        ("Began", _when(run["began"])),
        ("Ended", ended),
        ("Took", _took(run["seconds"])),
        ("Report made", _when(report["time"])),
    ]
    return _table(("What", "As it was written down"), rows)


def _results(report: Shape) -> list[str]:
    rows = [
        (
            _span(node["name"]),
            _span(_word(node["result"])),
            _span(node["problem"]["summary"] if node["problem"] else None),
        )
        for node in report["nodes"]
    ]
    silent = ", ".join(map(_span, report["silent"]))
    told = [f"Silent, not one answer of it is in the book: {silent}."] if silent else []
    if not rows:
        return ["No node is named in what was written down about this run."]
    return [*_table(("Node", "Result", "Why"), rows), "", *told]


def _verdict(verdict: Shape) -> list[str]:
    if is_unknown(verdict):
        return [_span(verdict)]
    read = f"{verdict['nodes_read']} of {verdict['nodes_total']}"
    rows = [
        ("Verdict", _span(verdict["words"])),
        ("Cause", _span(verdict["cause"])),
        ("Nodes read", _span(read)),
        ("Next", _span(verdict["next"])),
        ("Way back", _span(verdict["way_back"])),
        ("When", _when(verdict["time"])),
    ]
    return _table(("What", "As it was written down"), rows)


def _orders(orders: Sequence[Shape]) -> list[str]:
    rows = [
        (
            _when(each["time"]),
            _span(each["order"] + (f" {each['pause']}" if each["pause"] else "")),
            _span(each["by"]),
            _span(each["reason"]),
        )
        for each in orders
    ]
    return _table(("When", "What", "Who", "Why"), rows) if rows else ["None."]


def _failures(failures: Sequence[Shape]) -> list[str]:
    found: list[str] = []
    for each in failures:
        where = f"{_span(each['node'])}, {_span(each['phase'])}" if each["node"] else "the run"
        found += [
            f"- {_span(each['code'])} ({where}, {_when(each['time'])}): {_span(each['summary'])}"
        ]
        found += _block(each["evidence"], "  ")
        found += [f"  What to do: {_span(each['advice'])}"] if each["advice"] else []
    return found or ["None was written down."]


def _conditions(conditions: Sequence[Shape]) -> list[str]:
    rows = [
        (
            _when(each["time"]),
            _span(each["node"] or each["gate"]),
            _span(each["result"]),
            _span(each["name"]),
            _span(each["text"]),
        )
        for each in conditions
    ]
    head = ("When", "Node or gate", "Result", "What", "Why")
    return _table(head, rows) if rows else ["None was written down."]


def _plan(plan: Shape) -> list[str]:
    policy = ", ".join(f"{key} {value}" for key, value in (plan["policy"] or {}).items())
    found = [f"Pace: {_span(policy or None)}", *(f"- {_span(note)}" for note in plan["notes"]), ""]
    for item in plan["nodes"]:
        way = f"{_version(item['from'])} to {_version(item['to'])}"
        found += [f"### {_span(item['node'])}: {_span(item['treatment'])}, {way}", ""]
        found += [f"Why: {_span(item['reason'])}", ""] if item["reason"] else []
        for step in item["steps"]:
            found.append(f"- {_span(step['phase'])} {_span(step['title'])}")
            found += [f"  - {_span(act)}" for act in step["actions"] or ()]
            found += [f"  - undo: {_span(act)}" for act in step["undo"] or ()]
        found += [""] if item["steps"] else []
    return found


def _node(node: Shape) -> list[str]:
    phases = [
        (
            _span(each["phase"]),
            _when(each["began"]),
            _when(each["ended"]),
            _took(each["seconds"]),
            _span(_word(each["outcome"])),
            _span(each["told"]),
        )
        for each in node["phases"]
    ]
    head = ("Phase", "Began", "Last word", "Took", "Outcome", "Told")
    return [
        f"### {_span(node['name'])}: {_span(_word(node['result']))}",
        "",
        *([] if node["planned"] else ["It is no part of the plan that was written down.", ""]),
        *(_table(head, phases) if phases else ["No phase of it was written down."]),
        "",
        *_commands(node["commands"]),
        "",
        *_rollback(node["rollback"]),
    ]


def _commands(commands: Any) -> list[str]:
    if is_unknown(commands):
        return [f"Commands: {_span(commands)}"]
    rows = [
        (
            _when(each["began"]),
            _span(each["command"]),
            _span(each["request"]),
            _span(each["outcome"]),
            _span(each["code"]),
            _took(each["seconds"]),
            _span(each["times"]),
        )
        for each in commands
    ]
    return _table(("Given", "Command", "Request", "Outcome", "Problem", "Took", "Times"), rows)


def _rollback(rollback: Shape | None) -> list[str]:
    if rollback is None:
        return []
    proven = rollback["proven"]
    word = _span(proven) if is_unknown(proven) else "proven" if proven else "**NOT PROVEN**"
    rows = [
        (_when(each["time"]), _span(each["record"]), _span(_ok(each["ok"])), _span(each["text"]))
        for each in rollback["steps"]
    ]
    return [f"Went back: {word}", "", *_table(("When", "Record", "Well", "What"), rows), ""]


def _ok(value: Any) -> str | None:
    return None if value is None else "yes" if value else "NO"


def _signed(signed: Shape) -> str:
    if is_unknown(signed):
        return _span(signed)
    by = f"{_span(signed['by'])}, {_span(signed['key'])}" if signed["by"] else "**NOT SIGNED**"
    return f"{by}; imported from {_span(signed['imported'])}" if signed["imported"] else by


def _version(version: Any) -> str:
    return "nothing" if version is None else _span(version)


def _word(value: Any) -> Any:
    return value.replace("_", " ") if isinstance(value, str) else value


def _when(value: Any) -> str:
    """A time of the shape where the reader of the terminal is, with its zone."""
    if not isinstance(value, str):
        return _span(value)
    try:
        return when(datetime.fromisoformat(value).timestamp())
    except ValueError:
        return _span(value)


def _took(seconds: Any) -> str:
    return f"{seconds:.1f} s" if isinstance(seconds, int | float) else _span(seconds)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = " | ".join("---" for _ in head)
    return [f"| {' | '.join(head)} |", f"| {rule} |", *(f"| {' | '.join(row)} |" for row in rows)]


def _bullets(texts: Iterable[str], none: str) -> list[str]:
    found = [f"- {text}" for text in texts]
    return found or ([none] if none else [])


def _span(value: Any) -> str:
    """A text from outside on one line, inert: a code span that nothing in it can end."""
    if is_unknown(value):
        return f"*unknown:* {_span(value['unknown'])}"
    text = "" if value is None else line(str(value)).replace("|", "¦")
    if not text.strip():
        return _NONE
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{space}{text}{space}{fence}"


def _block(text: str, indent: str) -> list[str]:
    """What was said elsewhere, whole: a fenced block that nothing in it can end."""
    if not text:
        return []
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    said = clean(text).splitlines()
    return ["", *(f"{indent}{each}" for each in (f"{fence}text", *said, fence)), ""]
