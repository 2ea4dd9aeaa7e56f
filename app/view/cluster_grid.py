"""The live grid: one row a node, every fact apart, state as letter and word."""

from app.state import Known, State
from app.view.words import (
    FAILING_TONES,
    NONE,
    PHASE_WORDS,
    SEVERITY,
    TONES,
    UNREAD,
    Moment,
    clock,
    fact,
    left_of,
    mark,
    span,
    state_of,
)
from backends.domain.drift import Drift
from backends.domain.facts import Fact, NodeFacts, NodeReading, ReadStatus, Unknown, is_value, same
from backends.domain.states import REACH_WORDS, HealthState, NodeState, ServiceState
from widgets.cells import Cell, Tone
from widgets.grid import Column, Row

COLUMNS = (
    Column("", least=1, most=1),
    Column("NODE", least=4, most=16),
    Column("ROLE", least=4, most=10, rank=3),
    Column("RUNS", least=4, most=14),
    Column("STAGED", least=6, most=14, rank=2),
    Column("FINAL", least=5, most=14),
    Column("PHASE", least=12, most=12),
    Column("HEALTH", least=7, most=22),
    Column("NOTE", least=14, grows=True, rank=1),
)

_OLD_SECONDS = 15.0
"""Only an age above this is worth a word: looks are 5 s apart, idle beats 10 s."""


class Rows:
    """Makes the rows; one in which nothing can have changed is the same row as before."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Known, float, Row]] = {}
        """By node: what it was made of, when by the monotonic clock, and the row."""

    def rows(self, state: State, moment: Moment, *, worst_first: bool = False) -> list[Row]:
        """The rows, in the order of the cluster file or with the worst first."""
        known = list(state.known.values())
        if worst_first:
            known.sort(key=lambda each: SEVERITY.index(state_of(each.reading)))
        return [self._row(each, moment) for each in known]

    def _row(self, known: Known, moment: Moment) -> Row:
        made = self._made.get(known.reading.name)
        if made is not None and _lasts(made[0], made[1], known, moment.monotonic):
            row = made[2]
        else:
            row = _row(known, moment)
        self._made[known.reading.name] = (known, moment.monotonic, row)
        return row


def _lasts(before: Known, made: float, known: Known, now: float) -> bool:
    """Whether a row that was made of the one is that of the other now, too.

    What counts down, has an age worth a word, or cannot be read has words about time in it.
    """
    reading = known.reading
    if not reading.read or reading.facts is not before.reading.facts:
        return False
    opened = reading.facts.transaction if reading.facts is not None else None
    age = (reading.age_seconds or 0.0) + now - known.at
    was = (before.reading.age_seconds or 0.0) + made - before.at
    counts_down = opened is not None and opened.decides_at_seconds is not None
    return not counts_down and max(age, was) <= _OLD_SECONDS


def rows(state: State, moment: Moment, *, worst_first: bool = False) -> list[Row]:
    """The rows, all made anew."""
    return Rows().rows(state, moment, worst_first=worst_first)


def _row(known: Known, moment: Moment) -> Row:
    reading = known.aged(moment.monotonic)
    state = state_of(reading)
    name = Cell(reading.name, Tone.STRONG)
    role = Cell(reading.role or NONE, Tone.QUIET)
    if not reading.read or reading.facts is None or reading.excluded is not None:
        unread = Cell(UNREAD, Tone.QUIET)
        note = _note_of_unread(known, reading, moment)
        phase = Cell(PHASE_WORDS[state], TONES[state])
        if reading.excluded is None and reading.status is ReadStatus.DETERMINING:
            phase = Cell("asking …", Tone.BUSY)
        why = REACH_WORDS[reading.unreachable] if reading.unreachable else ""
        health = Cell(why or NONE, Tone.WARN if why else Tone.QUIET)
        cells = (mark(state), name, role, unread, unread, unread, phase, health, note)
        return Row(reading.name, cells)
    facts = reading.facts
    return Row(
        reading.name,
        (
            mark(state),
            name,
            role,
            _runs(facts),
            _staged(facts),
            _final(facts),
            Cell(PHASE_WORDS[state], TONES[state]),
            _health(facts),
            _note(reading, facts),
        ),
    )


def _runs(facts: NodeFacts) -> Cell:
    if facts.nothing_runs and facts.selected is not None:
        return Cell("down" if not facts.is_open else "stopped", Tone.BAD)
    return _cell(facts.running)


def _final(facts: NodeFacts) -> Cell:
    final = facts.final_version
    differs = is_value(final) and not same(final, facts.version)
    return Cell(fact(final), Tone.WARN if differs or isinstance(final, Unknown) else Tone.PLAIN)


def _cell(value: Fact) -> Cell:
    return Cell(fact(value), Tone.WARN if isinstance(value, Unknown) else Tone.PLAIN)


def _staged(facts: NodeFacts) -> Cell:
    if isinstance(facts.staged, Unknown):
        return Cell(UNREAD, Tone.WARN)
    return Cell(", ".join(facts.staged) or NONE, Tone.PLAIN if facts.staged else Tone.QUIET)


def _health(facts: NodeFacts) -> Cell:
    if facts.is_absent:
        return Cell(NONE, Tone.QUIET)
    if facts.service is ServiceState.STOPPED:
        return Cell("service stopped", Tone.BUSY if facts.is_open else Tone.BAD)
    service = "" if facts.service is ServiceState.STARTED else "service unknown"
    words = {
        HealthState.HEALTHY: Cell("healthy", Tone.OK),
        HealthState.SOFT_FAILING: Cell("soft fails", Tone.WARN),
        HealthState.FAILING: Cell("FAILING", Tone.BAD),
        HealthState.NONE: Cell("no checks", Tone.QUIET),
        HealthState.UNKNOWN: Cell("unknown", Tone.WARN),
    }
    return Cell(service, Tone.WARN) if service else words[facts.health]


def _note(reading: NodeReading, facts: NodeFacts) -> Cell:
    said: list[str] = []
    tone = Tone.PLAIN
    left = left_of(reading)
    if left is not None and facts.transaction is not None:
        said.append(f"{facts.transaction.then} in {span(left)}")
    if facts.problem is not None:
        said.append(facts.problem.summary)
        tone = Tone.BAD
    if facts.note:
        said.append(facts.note)
    if facts.unsigned:
        said.append(f"{', '.join(facts.unsigned)} NOT SIGNED")
        tone = Tone.WARN if tone is Tone.PLAIN else tone
    if isinstance(facts.drift, Drift) and facts.has_drifted:
        said.append(f"DRIFT: {facts.drift.in_words()}")
        tone = Tone.BAD
    if isinstance(facts.drift, Unknown) and is_value(facts.final_version):
        said.append(f"files unknown: {facts.drift.reason}")
        tone = Tone.WARN if tone is Tone.PLAIN else tone
    failing = FAILING_TONES.get(facts.health)
    if failing is not None and facts.health_text:
        said.append(facts.health_text)
        tone = failing
    selects_other = is_value(facts.selected) and not same(facts.selected, facts.running)
    if selects_other and not facts.nothing_runs:
        said.append(f"next start {fact(facts.selected)}")
    if reading.age_seconds is not None and reading.age_seconds > _OLD_SECONDS:
        said.append(f"read {span(reading.age_seconds)} ago")
    return Cell("; ".join(said), tone)


def _note_of_unread(known: Known, reading: NodeReading, moment: Moment) -> Cell:
    if reading.excluded is not None:
        return Cell(reading.excluded, Tone.QUIET)
    said = []
    if reading.unreachable is not None:
        said.append(f"since {clock(moment.wall - (moment.monotonic - known.since))}")
    if known.last is not None:
        said.append(_what_it_was(known.last, moment))
    elif reading.problem is not None:
        said.append(reading.problem.summary)
    return Cell("; ".join(filter(None, said)), Tone.WARN)


def _what_it_was(last: Known, moment: Moment) -> str:
    """What a node that is silent now was in, and what it decides by itself."""
    facts = last.reading.facts
    if facts is None:
        return ""
    opened = facts.transaction
    left = left_of(last.aged(moment.monotonic))
    if opened is not None and left is not None and left > 0:
        at = clock(moment.wall + left)
        return f"in trial when last read: {opened.then} by itself at {at}"
    if facts.state is NodeState.ACCEPTED and opened is not None:
        return f"accepted on {opened.to_version} when last read: it stays"
    return f"{PHASE_WORDS[facts.state]} when last read".removeprefix(f"{NONE} ")
