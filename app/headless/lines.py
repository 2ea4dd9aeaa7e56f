"""What the command line prints for people: plain lines, at most 80 columns where that is possible.

State is a letter and a word, never a colour alone. All text from nodes was cleaned at the border.
"""

import json
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.history.exits import word_of
from backends.domain.clean import clean, line
from backends.domain.conflicts import Conflict
from backends.domain.drift import Drift
from backends.domain.facts import Fact, NodeFacts, NodeReading, Unknown, is_value
from backends.domain.problem import Problem
from backends.domain.states import LETTERS, REACH_WORDS, NodeState, Phase
from backends.domain.survey import unsigned
from backends.domain.verdict import Verdict
from backends.engine.events import Event, Kind
from backends.engine.reading import LAST_MOMENT
from backends.engine.results import NodeResult
from backends.settings.units import format_duration
from backends.store.book import Entry, Run

WIDTH = 79
_NONE = "-"
_HEAD = ("NODE", "ROLE", "STATE", "RUNS", "STAGED", "FINAL", "HEALTH")


def status(
    cluster: str,
    environment: str,
    product: str,
    readings: Sequence[NodeReading],
    verdict: Verdict,
) -> list[str]:
    """The whole answer of `status`."""
    head = f"{cluster}  {environment.upper()}  {product}    {verdict.headline()}"
    return [
        *wrapped(head, "    "),
        *([*wrapped(f"cause     {verdict.cause}", " " * 10)] if verdict.cause else []),
        *wrapped(f"next      {verdict.next_action}", " " * 10),
        *wrapped(f"way back  {verdict.way_back}", " " * 10),
        "",
        *_table([_HEAD, *(_row(reading) for reading in readings)]),
        *_remarks(readings, verdict),
    ]


def problem(found: Problem) -> list[str]:
    """A problem in four parts."""
    return [
        *wrapped(f"{found.summary} [{found.code}]", "  "),
        *_quoted("  ", found.evidence),
        *(wrapped(f"  -> {found.advice}", "     ") if found.advice else []),
    ]


def event(item: Event) -> list[str]:
    """One event of a run as it happens."""
    if item.kind in (Kind.PROGRESS, Kind.COMMAND):
        return []
    phase = item.phase.value if item.phase else ""
    head = f"{clock(item.time)}  {item.node:<8} {phase:<9} "
    first = " " * len(head)
    lines = wrapped(head + item.text, first)
    if item.kind is Kind.PROBLEM:
        lines += _quoted(first, str(item.data.get("evidence", "")))
        if item.data.get("advice"):
            lines += wrapped(f"{first}-> {item.data['advice']}", first + "   ")
    if item.data.get("log"):
        lines += _quoted(first, str(item.data["log"]))[-20:]
    return lines


def stages(readings: Sequence[NodeReading], now: float) -> list[str]:
    """What lies ready on each node, since when, and what came in part."""
    rows = [("NODE", "STAGED", "SINCE", "AGE", "CHECKED", "")]
    for reading in readings:
        facts = reading.facts if reading.read else None
        if facts is None or isinstance(facts.staged, Unknown):
            rows.append((reading.name, "?", "", "", "", ""))
            continue
        known = {each.version: each for each in facts.stages}
        for version in facts.staged:
            since = known[version].since if version in known else ""
            rows.append(
                (
                    reading.name,
                    version,
                    _local(since) if since else "?",
                    _age(now, since) if since else "?",
                    "yes" if version in known and known[version].checked else "no",
                    "NOT SIGNED" if version in facts.unsigned else "",
                )
            )
        if facts.partial_bytes:
            rows.append((reading.name, "in part", f"{facts.partial_bytes} bytes", "", "", ""))
        elif not facts.staged:
            rows.append((reading.name, _NONE, "", "", "", ""))
    return _table(rows)


def value(found: Mapping[str, object]) -> list[str]:
    """A named value of each node; `?` and the reason where it is not known."""
    rows = [("NODE", "VALUE", "")]
    for node, each in found.items():
        if isinstance(each, Unknown | Problem):
            rows.append((node, "?", each.summary if isinstance(each, Problem) else each.reason))
        elif isinstance(each, str):
            rows.append((node, each, ""))
        else:
            rows.append((node, json.dumps(each, sort_keys=True), ""))
    return _table(rows)


def conflicts(found: Mapping[str, Sequence[Conflict] | Problem]) -> list[str]:
    """Each configuration file beside which a new default lies, and what differs."""
    told: list[str] = []
    for node, each in found.items():
        if isinstance(each, Problem):
            told += [f"{node}:", *(f"  {text}" for text in problem(each))]
            continue
        for one in each:
            told += [f"{node}  {one.path}: stays as it is; the new default is {one.path}.new"]
            for title, lines in (
                ("you have changed", one.yours),
                ("the release has changed", one.theirs),
                ("from yours to the new default", one.both),
            ):
                told += [f"  {title}" + (": not known" if lines is None else "")]
                told += [f"    {text}" for text in (lines or ())[2:]]
            told.append("")
    return told or ["no new default lies beside an edited configuration file"]


def after(verdict: Verdict) -> list[str]:
    """What the cluster is after an act, and what is next."""
    return [
        *wrapped(f"now       {verdict.headline()}", " " * 10),
        *wrapped(f"next      {verdict.next_action}", " " * 10),
        *wrapped(f"way back  {verdict.way_back}", " " * 10),
    ]


def count(nodes: Sequence[object]) -> str:
    """So many nodes."""
    return f"{len(nodes)} node" + ("" if len(nodes) == 1 else "s")


def results(nodes: Sequence[NodeResult], text: str) -> list[str]:
    """How a run ended, one line a node."""
    rows = [("NODE", "RESULT"), *((node.node, node.result.replace("_", " ")) for node in nodes)]
    said = [node.problem.summary if node.problem else "" for node in nodes]
    table = _table(rows)
    indent = " " * (max(len(row) for row in table) + 2)
    told = [
        line
        for row, text in zip(table[1:], said, strict=True)
        for line in wrapped(f"{row:<{len(indent)}}{text}".rstrip(), indent)
    ]
    return ["", table[0], *told, "", *(wrapped(text, "  ") if text else [])]


def run(found: Run) -> list[str]:
    """The head of a run in the journal."""
    to = "" if found.kind in (Phase.STAGE, Phase.CHECK) else "to "
    what = f"{found.kind} {to}{found.version}" if found.version else found.kind
    end = (
        f"ended {when(found.ended)}, exit {found.exit}: {found.outcome}" if found.ended else "open"
    )
    note = f'  "{line(found.note)}"' if found.note else ""
    head = f"run {found.id}  {what} on {found.cluster} ({found.product}) by {found.operator}"
    return [clean(head) + note, *wrapped(clean(f"began {when(found.began)}, {end}"), "  "), ""]


def run_in_list(found: Run) -> list[str]:
    """A run among others."""
    to = "" if found.kind in (Phase.STAGE, Phase.CHECK) else "to "
    what = f"{found.product} {to}{found.version}" if found.version else found.product
    note = f', "{line(found.note)}"' if found.note else ""
    indent = " " * (len(found.id) + 2)
    head = f"{found.id}  {found.kind} {what} on {found.cluster}, by {found.operator}"
    told = wrapped(clean(head) + note, indent)
    ended = "open" if found.ended is None else f"ended {when(found.ended)}"
    told += wrapped(f"{indent}began {when(found.began)}, {ended}", indent)
    return told + (wrapped(indent + _how(found), indent) if found.ended is not None else [])


def end(found: Run) -> list[str]:
    """The last line of a run that was followed."""
    return ["", *wrapped(clean(f"run {found.id} has ended, {_how(found)}"), "  ")]


def _how(found: Run) -> str:
    code = "unknown" if found.exit is None else f"{found.exit} {word_of(found.exit)}"
    return f"exit {code}: {line(found.outcome or '')}"


def entry(item: Entry) -> list[str]:
    """One entry of a run's journal."""
    head = f"{clock(item.time)}  {line(item.node):<8} {line(item.phase or ''):<9} "
    indent = " " * len(head)
    text: str = line(item.text) if "\n" in item.text else clean(item.text)
    if item.kind == Kind.COMMAND and item.data.get("request"):
        text = f"{text}  [request {line(str(item.data['request']))}]"
    lines = wrapped(head + text, indent)
    for name in ("evidence", "log"):
        if item.kind != "row" and item.data.get(name):
            lines += _quoted(indent, clean(str(item.data[name])))
    return lines


def clock(seconds: float) -> str:
    """A time of day where the operator is; what no clock can show is `?`."""
    if not 0 <= seconds <= LAST_MOMENT:
        return "?"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%H:%M:%S")


def when(seconds: float) -> str:
    """A date and time where the operator is, with its zone; what no clock can show is `?`."""
    if not 0 <= seconds <= LAST_MOMENT:
        return "?"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def _local(text: str) -> str:
    """A node's time (ISO 8601, UTC), where the operator is; as it came when it is none."""
    try:
        return when(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return text


def _age(now: float, since: str) -> str:
    """How long ago a node's time was, to the minute."""
    minutes = (now - datetime.fromisoformat(since).timestamp()) // 60
    return format_duration(max(0.0, minutes * 60))


def _row(reading: NodeReading) -> tuple[str, ...]:
    facts = reading.facts
    if not reading.read or facts is None:
        state = NodeState.EXCLUDED if reading.excluded else NodeState.UNKNOWN
        why = REACH_WORDS[reading.unreachable] if reading.unreachable else ""
        health = "" if reading.excluded else why
        return (_name(reading, state), reading.role or _NONE, state.value, "?", "?", "?", health)
    runs = _fact(facts.running)
    if isinstance(facts.selected, str) and facts.selected != facts.running:
        runs = f"{runs} (next {facts.selected})"
    staged = "?" if isinstance(facts.staged, Unknown) else ", ".join(facts.staged) or _NONE
    return (
        _name(reading, facts.state),
        reading.role or _NONE,
        facts.state.replace("_", " "),
        runs,
        staged,
        _fact(facts.final_version),
        _health(facts),
    )


def _name(reading: NodeReading, state: NodeState) -> str:
    return f"{LETTERS[state]} {reading.name}"


def _health(facts: NodeFacts) -> str:
    service = "" if facts.service == "started" else f"service {facts.service}"
    health = "" if facts.health == "none" else facts.health.replace("_", " ")
    if facts.is_absent:
        return _NONE
    return ", ".join(word for word in (health, service) if word) or _NONE


def _fact(value: Fact) -> str:
    if isinstance(value, Unknown):
        return "?"
    return _NONE if value is None else value


def _remarks(readings: Sequence[NodeReading], verdict: Verdict) -> list[str]:
    lines: list[str] = []
    for version, names in unsigned(readings).items():
        lines += wrapped(f"NOT SIGNED: {version} ({', '.join(names)})", "  ")
    for reading in readings:
        facts = reading.facts if reading.read else None
        if facts is not None and facts.note:
            lines += wrapped(f"{reading.name}: {facts.note}", "  ")
        if facts is not None and facts.transaction is not None:
            opened = facts.transaction
            left = opened.decides_at_seconds
            at = "" if left is None else clock(time.time() + left)
            ends = "" if left is None else f"; {opened.then} by itself at {at} at the latest"
            lines += wrapped(
                f"{reading.name}: run {opened.run} to {opened.to_version} by {opened.operator} "
                f"since {_local(opened.since)}{ends}",
                "  ",
            )
        for found in (reading.problem, facts.problem if facts else None):
            if found is not None:
                lines += [f"{reading.name}:", *(f"  {line}" for line in problem(found))]
        if facts is not None and isinstance(facts.drift, Drift) and facts.has_drifted:
            lines += wrapped(f"{reading.name}: drifted: {facts.drift.in_words()}", "  ")
        if (
            facts is not None
            and isinstance(facts.drift, Unknown)
            and is_value(facts.final_version)
        ):
            lines += wrapped(f"{reading.name}: files unknown: {facts.drift.reason}", "  ")
        unknown = facts.missing if facts else ()
        lines += [f"{reading.name}: {name} unknown: {reason}" for name, reason in unknown]
    lines += [f"{name} is left out: {reason}" for name, reason in verdict.excluded]
    return ["", *lines] if lines else []


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _quoted(indent: str, text: str) -> list[str]:
    """What was said elsewhere, marked as such."""
    mark = f"{indent}| "
    return [part for each in text.splitlines() for part in wrapped(mark + each, mark + "  ")]


def wrapped(text: str, indent: str) -> list[str]:
    """Lines of at most `WIDTH`; what must be copied or compared is never broken."""
    return textwrap.wrap(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,  # paths and fingerprints are copied and compared
        drop_whitespace=True,
        replace_whitespace=False,
    ) or [""]


def demonstration(cluster: str, releases: Mapping[str, str]) -> list[str]:
    """What to type in another terminal while the demo is there."""
    good, sick = releases.values()
    return [
        "The demo is ready. In another terminal:",
        f"  liftlock status {cluster}",
        f"  liftlock upgrade {cluster} {good}",
        f"  liftlock finalize {cluster}",
        f"  liftlock upgrade {cluster} {sick}   (never becomes healthy: see it undone)",
        f"  liftlock journal {cluster}",
        "Ctrl-C ends it, and everything that belongs to it.",
    ]
