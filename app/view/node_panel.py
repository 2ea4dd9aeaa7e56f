"""One node: its facts apart, each with what could not be read; and what it would do alone."""

from datetime import datetime

from app.state import Known
from app.view.words import (
    FAILING_TONES,
    NONE,
    Moment,
    clock,
    fact,
    left_of,
    local_time,
    mark,
    size,
    span,
    state_of,
)
from backends.domain.facts import Fact, NodeFacts, Stage, Unknown, VersionRef
from backends.domain.problem import Problem
from backends.domain.states import REACH_WORDS, WORDS
from widgets.cells import Line, Tone, line

_SHORT = 12


def lines_of(known: Known, moment: Moment) -> list[Line]:
    """All that is known of a node."""
    reading = known.aged(moment.monotonic)
    state = state_of(reading)
    found = [line(mark(state), " ", (state.replace("_", " "), Tone.STRONG), f": {WORDS[state]}")]
    place = " · ".join(filter(None, (reading.address, reading.role)))
    if place:
        found.append(line((place, Tone.QUIET)))
    if reading.excluded is not None:
        found.append(line(f"left out: {reading.excluded}"))
    if reading.unreachable is not None:
        since = clock(moment.wall - (moment.monotonic - known.since))
        found.append(line((f"{REACH_WORDS[reading.unreachable]} since {since}", Tone.BAD)))
    if reading.problem is not None:
        found += problem(reading.problem)
    if reading.read and reading.facts is not None:
        found += _facts(reading.facts, moment.wall)
        left = left_of(reading)
        if left is not None and reading.facts.transaction is not None:
            then, at = reading.facts.transaction.then, clock(moment.wall + left)
            found.append(line((f"{then} by itself at {at}, in {span(left)}", Tone.WARN)))
        if reading.facts.problem is not None:
            found += problem(reading.facts.problem)
        if reading.facts.note:
            found.append(line((reading.facts.note, Tone.WARN)))
    elif known.last is not None and known.last.reading.facts is not None:
        ago = span(moment.monotonic - known.last.at)
        found += [line((f"when it was last read, {ago} ago:", Tone.QUIET))]
        found += _facts(known.last.reading.facts, moment.wall)
    return found


def problem(found: Problem) -> list[Line]:
    """A problem in four parts."""
    return [
        line((found.summary, Tone.BAD), (f" [{found.code}]", Tone.QUIET)),
        *(line("| ", (text, Tone.QUIET)) for text in found.evidence.splitlines()),
        *([line("-> ", found.advice)] if found.advice else []),
    ]


def _facts(facts: NodeFacts, now: float) -> list[Line]:
    pid = f"   pid {facts.pid}" if facts.pid is not None else ""
    found = [
        _fact("runs", facts.running, pid),
        _fact("next start", facts.selected),
        _staged(facts, now),
        *([_in_part(facts.partial_bytes)] if facts.partial_bytes else []),
        *(line(("not signed ", Tone.QUIET), (each, Tone.WARN)) for each in facts.unsigned),
        _previous(facts),
        _final(facts),
        _drift(facts, now),
        line(("service    ", Tone.QUIET), facts.service.value),
        _health(facts),
    ]
    opened = facts.transaction
    if opened is not None:
        found += [
            line(("run        ", Tone.QUIET), f"{opened.run} by {opened.operator}"),
            line(("since      ", Tone.QUIET), local_time(opened.since)),
            *(
                line(("config     ", Tone.QUIET), (f"{path}: new default beside it", Tone.WARN))
                for path in opened.beside
            ),
        ]
    return found


def _fact(name: str, value: Fact, rest: str = "") -> Line:
    label = (f"{name:<10} ", Tone.QUIET)
    if isinstance(value, Unknown):
        return line(label, ("unknown", Tone.WARN), f": {value.reason}")
    return line(label, (fact(value), Tone.STRONG), rest)


def _in_part(count: int) -> Line:
    return line(("in part    ", Tone.QUIET), f"{size(count)} of a release that is not staged yet")


def _staged(facts: NodeFacts, now: float) -> Line:
    if isinstance(facts.staged, Unknown):
        return _fact("staged", facts.staged)
    since = {each.version: each for each in facts.stages}
    told = [_told(version, since.get(version), now) for version in facts.staged]
    return _fact("staged", ", ".join(told) or None)


def _told(version: str, stage: Stage | None, now: float) -> str:
    """A staged version, how old it is, and whether it was checked."""
    if stage is None or not stage.since:
        return version
    age = span(now - datetime.fromisoformat(stage.since).timestamp())
    return f"{version} ({age} ago{', checked' if stage.checked else ''})"


def _previous(facts: NodeFacts) -> Line:
    back = facts.previous
    digest = f"   {back.digest[:_SHORT]}" if isinstance(back, VersionRef) else ""
    return _fact("previous", facts.previous_version, digest)


def _final(facts: NodeFacts) -> Line:
    final = facts.finalized
    run = "" if final is None or isinstance(final, Unknown) else f"   run {final.run}"
    return _fact("finalized", facts.final_version, run)


def _drift(facts: NodeFacts, now: float) -> Line:
    """Whether what lies in place is as recorded, and when every byte was read last."""
    found = facts.drift
    label = ("files      ", Tone.QUIET)
    if found is None:
        return line(label, (NONE, Tone.QUIET), " not looked at yet")
    if isinstance(found, Unknown):
        return line(label, ("unknown", Tone.WARN), f": {found.reason}")
    if found.count:
        words = f": {found.count} of {found.files}, {found.in_words()}"
        return line(label, ("DRIFT", Tone.BAD), words)
    ago = span(now - datetime.fromisoformat(found.read).timestamp())
    return line(label, f"{found.files} as recorded, {ago} ago")


def _health(facts: NodeFacts) -> Line:
    text = f": {facts.health_text}" if facts.health_text else ""
    word = NONE if facts.is_absent else facts.health.replace("_", " ")
    tone = FAILING_TONES.get(facts.health, Tone.PLAIN)
    return line(("health     ", Tone.QUIET), (word, tone), text)
