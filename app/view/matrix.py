"""Node by phase: how far every node of the run is, with honest progress and no per cent."""

from app.state import Run, Stage, State
from app.view.words import NONE, Moment, fact, left_of, part, size, span
from backends.domain.facts import NodeReading
from backends.domain.plan import NodePlan, Treatment
from backends.domain.states import HealthState, NodeState, Phase
from widgets.cells import Cell, Tone
from widgets.grid import Column, Row

COLUMNS = (
    Column("", least=1, most=1),
    Column("NODE", least=4, most=16),
    Column("ROLE", least=4, most=10, rank=2),
    Column("PREFLIGHT", least=10, most=12),
    Column("STAGE", least=14, most=14),
    Column("CHECK", least=6, most=12),
    Column("INSTALL", least=10, most=10),
    Column("MONITOR", least=12, grows=True),
)

_BEFORE_INSTALL = (Phase.PREFLIGHT, Phase.STAGE, Phase.CHECK)

_RECORDS = {
    "BEGIN": "locked",
    "HOOK": "locked",
    "INTENTS": "backing up",
    "BACKUPS": "backed up",
    "SVC": "service",
    "EFFECT": "switching",
    "TARGET": "in place",
}
"""What an install does after each record of the node's journal."""


def rows(state: State, run: Run, moment: Moment) -> list[Row]:
    """One row for each node of the plan, in the order of the plan."""
    if run.prepared is None:
        return []
    found = []
    for item in run.prepared.plan.nodes:
        known = state.known.get(item.node)
        reading = known.aged(moment.monotonic) if known else NodeReading(item.node)
        found.append(_row(run, item, reading))
    return found


def _row(run: Run, item: NodePlan, reading: NodeReading) -> Row:
    turn = Cell("›" if _has_its_turn(run, item.node) else " ", Tone.BUSY)
    name, role = Cell(item.node, Tone.STRONG), Cell(item.role or NONE, Tone.QUIET)
    match item.treatment:
        case Treatment.EXCLUDED:
            cells = [_quiet(NONE)] * 4 + [_quiet(f"left out: {item.reason}")]
        case Treatment.ALREADY | Treatment.ACCEPTED:
            cells = [_quiet(NONE)] * 3 + [_quiet("before"), _there(item, reading)]
        case _:
            cells = [_early(run, item, phase) for phase in _BEFORE_INSTALL]
            cells += [_install(run, item, reading), _monitor(run, item, reading)]
    return Row(item.node, (turn, name, role, *cells))


def _there(item: NodePlan, reading: NodeReading) -> Cell:
    """A node that was on the version before: what it says now, and not what was planned."""
    facts = reading.facts if reading.read else None
    if facts is None:
        return Cell("not read", Tone.WARN)
    if facts.has_drifted:
        return Cell("DRIFT", Tone.BAD)
    if item.treatment is Treatment.ACCEPTED and facts.state is NodeState.ACCEPTED:
        return Cell("accepted", Tone.OK)
    if facts.is_finalized and not facts.is_open:
        return Cell("final", Tone.OK)
    return Cell(facts.state.replace("_", " "), Tone.WARN)


def _has_its_turn(run: Run, node: str) -> bool:
    return run.is_under_way and run.upcoming is not None and node in run.upcoming.nodes


def _quiet(text: str) -> Cell:
    return Cell(text, Tone.QUIET)


def _early(run: Run, item: NodePlan, phase: Phase) -> Cell:
    """Preflight, stage and check: they touch nothing that runs."""
    done = run.progress.get((item.node, phase))
    if item.treatment is Treatment.RESUME and done is None:
        return _quiet("before")
    if done is None:
        waiting = run.upcoming is not None and run.upcoming.phase is phase
        return _quiet("next" if waiting and run.stage is Stage.WAITING else NONE)
    if done.problem:
        return Cell("REFUSED", Tone.BAD)
    if not done.is_ok:
        doing = part(done.sent, done.of) if done.of else "…"
        return Cell(doing, Tone.BUSY if run.is_under_way else Tone.QUIET)
    if phase is Phase.STAGE:
        return Cell(f"ok, {size(done.of) if done.of else 'had it all'}", Tone.OK)
    if done.warned:
        return Cell(f"ok, {done.warned} warn", Tone.WARN)
    return Cell("ok", Tone.OK)


def _install(run: Run, item: NodePlan, reading: NodeReading) -> Cell:
    done = run.progress.get((item.node, Phase.INSTALL))
    trial = run.progress.get((item.node, Phase.MONITOR))
    back = run.progress.get((item.node, Phase.ROLLBACK))
    if back is not None:
        return Cell("undone" if _is_back(reading) else "undoing", Tone.WARN)
    if trial is not None and trial.record:
        return Cell("ok", Tone.OK)
    if trial is not None and not reading.read:
        return Cell("not known", Tone.WARN)
    if done is not None and done.problem:
        return Cell("REFUSED", Tone.BAD)
    if done is not None:
        return Cell(_RECORDS.get(done.record, "begins"), Tone.BUSY)
    if run.upcoming is not None and run.upcoming.settling and _has_its_turn(run, item.node):
        return Cell("waits", Tone.BUSY)
    waiting = run.stage is Stage.WAITING and _has_its_turn(run, item.node)
    is_next = waiting and run.upcoming is not None and run.upcoming.phase is Phase.INSTALL
    return _quiet("next" if is_next else NONE)


def _monitor(run: Run, item: NodePlan, reading: NodeReading) -> Cell:
    trial = run.progress.get((item.node, Phase.MONITOR))
    back = run.progress.get((item.node, Phase.ROLLBACK))
    if trial is None and back is None:
        return _quiet(NONE)
    if not reading.read or reading.facts is None:
        return Cell("no contact: it goes on alone", Tone.BAD)
    state, left = reading.facts.state, left_of(reading)
    match state:
        case NodeState.ACCEPTED:
            return Cell("accepted", Tone.OK)
        case NodeState.MONITORING:
            window = f"{span(left)} left" if left is not None else "trial"
            healthy = reading.facts.transaction is not None and reading.facts.transaction.healthy
            if reading.facts.health is HealthState.FAILING:
                return Cell(f"FAILING, {window}", Tone.BAD)
            return Cell("healthy" if healthy else window, Tone.BUSY)
        case NodeState.ROLLING_BACK:
            return Cell("goes back", Tone.WARN)
        case NodeState.ROLLED_BACK:
            return Cell(f"is back on {fact(reading.facts.selected)}, proven", Tone.WARN)
        case NodeState.HELD:
            return Cell("held, waits for you", Tone.WARN)
        case NodeState.INCONSISTENT:
            return Cell("INCONSISTENT", Tone.BAD)
        case NodeState.INSTALLING:
            return _quiet(NONE)
        case _:
            final = reading.facts.is_finalized and reading.facts.final_version == item.to_version
            return Cell("final", Tone.OK) if final else _quiet(NONE)


def _is_back(reading: NodeReading) -> bool:
    return (
        reading.read and reading.facts is not None and reading.facts.state is NodeState.ROLLED_BACK
    )
