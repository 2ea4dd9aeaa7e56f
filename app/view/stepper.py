"""The six phases on one line: what is done, what is under way, what comes."""

from app.state import Run, Stage, State
from backends.domain.plan import Treatment
from backends.domain.problem import Exit
from backends.domain.states import Phase
from widgets.cells import Cell, Line, Tone, line

_PHASES = (
    Phase.PREFLIGHT,
    Phase.STAGE,
    Phase.CHECK,
    Phase.INSTALL,
    Phase.MONITOR,
    Phase.FINALIZE,
)


def stepper(state: State, run: Run) -> Line:
    """A mark, a word and a tone for each phase."""
    parts: list[Cell] = []
    for number, phase in enumerate(_PHASES):
        if number:
            parts.append(Cell(" ─ ", Tone.QUIET))
        parts.append(_phase(state, run, phase))
    return line(*parts)


def _phase(state: State, run: Run, phase: Phase) -> Cell:
    todo = {item.node for item in run.prepared.todo} if run.prepared else set()
    begun = [done for (node, each), done in run.progress.items() if each is phase and node in todo]
    if phase in (Phase.INSTALL, Phase.MONITOR):
        return _on_nodes(run, phase)
    if phase is Phase.FINALIZE:
        return _finalize(state)
    if _was_before(run, phase):
        return Cell(f"ok {phase}", Tone.QUIET)
    if any(done.problem for done in begun):
        return Cell(f"x {phase}", Tone.BAD)
    if begun and all(done.is_ok for done in begun):
        return Cell(f"ok {phase}", Tone.OK)
    if begun and run.is_under_way:
        return Cell(f"› {phase}", Tone.BUSY)
    if _waits_with(run, phase):
        return Cell(f"n {phase}", Tone.KEY)
    return Cell(str(phase), Tone.QUIET)


def _was_before(run: Run, phase: Phase) -> bool:
    """Whether an earlier try has done it on every node: what is resumed is past these phases."""
    todo = run.prepared.todo if run.prepared else ()
    resumed = all(item.treatment is Treatment.RESUME for item in todo)
    return bool(todo) and resumed and phase in (Phase.PREFLIGHT, Phase.STAGE, Phase.CHECK)


def _finalize(state: State) -> Cell:
    """A run of its own, after this one."""
    run = state.run
    if run is None or run.kind != "finalize":
        return Cell("finalize", Tone.QUIET)
    if run.is_under_way:
        return Cell("› finalize", Tone.BUSY)
    done = run.outcome is not None and run.outcome.exit is Exit.OK
    return Cell("ok finalize", Tone.OK) if done else Cell("x finalize", Tone.BAD)


def _on_nodes(run: Run, phase: Phase) -> Cell:
    """Install and monitor go node by node."""
    todo = [item.node for item in run.prepared.todo] if run.prepared else []
    there = [node for node in todo if (node, phase) in run.progress]
    count = f" {len(there)}/{len(todo)}" if phase is Phase.INSTALL else ""
    went_back = any((node, Phase.ROLLBACK) in run.progress for node in todo)
    if went_back:
        return Cell(f"x {phase}", Tone.BAD)
    if run.outcome is not None and run.outcome.exit is Exit.OK and there:
        return Cell(f"ok {phase}{count}", Tone.OK)
    if there and run.stage is Stage.OVER:
        return Cell(f"{phase}{count}", Tone.WARN)
    if there:
        return Cell(f"› {phase}{count}", Tone.BUSY)
    if phase is Phase.INSTALL and _waits_with(run, phase):
        return Cell(f"n {phase}", Tone.KEY)
    return Cell(str(phase), Tone.QUIET)


def _waits_with(run: Run, phase: Phase) -> bool:
    if run.stage is Stage.READY:
        return phase is Phase.PREFLIGHT
    return run.stage is Stage.WAITING and run.upcoming is not None and run.upcoming.phase is phase
