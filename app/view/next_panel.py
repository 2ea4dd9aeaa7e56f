"""What `n` will do: on which nodes, with which commands, and how each of it is undone."""

from collections.abc import Sequence

from app.runs.upgrading import Prepared
from app.state import Run, Stage
from app.view.words import count
from backends.domain.gates import ConditionState, Gate
from backends.domain.pace import Upcoming
from backends.domain.plan import NodePlan, Plan, Step
from backends.domain.states import Phase
from backends.domain.survey import listed
from widgets.cells import Cell, Line, Tone, line

_STATES = {
    ConditionState.OK: Cell("ok      ", Tone.OK),
    ConditionState.WAIT: Cell("wait    ", Tone.BUSY),
    ConditionState.WARN: Cell("warn    ", Tone.WARN),
    ConditionState.REFUSED: Cell("refused ", Tone.BAD),
}


def title(run: Run) -> str:
    """What the panel is about."""
    if run.stage is Stage.READY:
        return "the plan"
    if run.stage is Stage.WAITING and run.upcoming is not None:
        waits = f"; {run.upcoming.waits}" if run.upcoming.waits else ""
        return f"n: {run.upcoming.phase} {listed(run.upcoming.nodes)}{waits}"
    if run.upcoming is not None:
        when = "when the others serve" if run.upcoming.settling else "now"
        return f"{when}: {run.upcoming.phase} {listed(run.upcoming.nodes)}"
    return f"{run.kind} {run.id} has ended" if run.stage is Stage.OVER else run.kind


def lines_of(run: Run) -> list[Line]:
    """The panel."""
    if run.stage is Stage.OVER:
        return _ended(run)
    if run.prepared is None:
        return []
    made = run.prepared.plan
    if run.stage is Stage.READY:
        again = [line((run.again, Tone.WARN)), ()] if run.again else []
        return [*again, *_overview(run.prepared)]
    if run.upcoming is None:
        return []
    return [*_upcoming(made, run.upcoming), *_warnings(run)]


def gate_lines(gate: Gate) -> list[Line]:
    """Every condition of a gate: none is silent."""
    found = []
    for condition in gate.conditions:
        then = f" -> {condition.then}" if condition.then else ""
        until = f", {condition.until}" if condition.until else ""
        if condition.skipped:
            until, then = f", SKIPPED: {condition.skipped}", ""
        text = f"{condition.name}: {condition.text}{until}{then}"
        found.append(line(_STATES[condition.state], text))
    return found


def _overview(prepared: Prepared) -> list[Line]:
    made, gate, last = prepared.plan, prepared.gate, prepared.last_time
    todo = [item for item in made.nodes if item.steps]
    found = [
        line(
            (f"{made.product} {made.release_version}", Tone.STRONG),
            f" on {_names(todo) or 'no node'}",
        ),
        line((str(made.provenance), Tone.PLAIN if made.provenance.is_signed else Tone.WARN)),
        *(
            line(f"{item.node}: {item.treatment}{f', {item.reason}' if item.reason else ''}")
            for item in made.nodes
            if not item.steps or item.reason
        ),
        line(f"batch {made.policy.batch}, pause {made.policy.pause}, accept {made.policy.accept}"),
        line(f"nobody there in a trial: {made.policy.if_operator_vanishes}"),
        *([line((f"earlier  {last.words()}", Tone.QUIET))] if last else ()),
        *(line((note, Tone.WARN)) for note in made.notes),
        (),
        line(("1 preflight", Tone.STRONG), "  looks at every node; nothing is changed"),
    ]
    for number, step in enumerate(_steps(todo), 2):
        found += _step(step, number)
    if gate is not None:
        found += [(), line((f"gate {gate.name}", Tone.STRONG)), *gate_lines(gate)]
    return found


def _steps(todo: Sequence[NodePlan]) -> tuple[Step, ...]:
    """The steps of the first node stand for those of the others: only names and paths differ."""
    return todo[0].steps if todo else ()


def _step(step: Step, number: int) -> list[Line]:
    return [
        line((f"{number} {step.phase}", Tone.STRONG), f"  {step.title}"),
        *(line(f"    {act}") for act in step.actions),
        *([line(("    undo", Tone.STRONG))] if step.undo else []),
        *(line(f"    {act}") for act in step.undo),
    ]


def _upcoming(made: Plan, upcoming: Upcoming) -> list[Line]:
    nodes = [item for item in made.nodes if item.node in upcoming.nodes]
    if upcoming.phase is Phase.PREFLIGHT:
        return [
            line(f"looks at {count(len(nodes), 'node')}; nothing is changed"),
            line("python, disk, privilege, clock, lock, baseline"),
        ]
    wanted = (
        (Phase.INSTALL, Phase.MONITOR) if upcoming.phase is Phase.INSTALL else (upcoming.phase,)
    )
    first = nodes[0] if nodes else None
    steps = [step for step in (first.steps if first else ()) if step.phase in wanted]
    acts = [act for step in steps for act in step.actions]
    undo = [act for step in steps for act in step.undo]
    found: list[Line] = []
    if first is not None and len(nodes) > 1:
        found.append(line(f"on {_names(nodes)}; as on {first.node}:"))
    found += [line(f"{step.phase}: {step.title}") for step in steps]
    found += [line((f"{number:>2}  ", Tone.QUIET), act) for number, act in enumerate(acts, 1)]
    if undo:
        found.append(line(("undo, in this order", Tone.STRONG)))
        found += [line((f"{number:>2}  ", Tone.QUIET), act) for number, act in enumerate(undo, 1)]
    return found


def _warnings(run: Run) -> list[Line]:
    """What checks have warned about, once for all nodes that have it."""
    found: dict[str, list[str]] = {}
    for (node, _), done in run.progress.items():
        for text in done.warnings:
            found.setdefault(text, []).append(node)
    return [
        line(("warn  ", Tone.WARN), f"{text} ({listed(nodes)})") for text, nodes in found.items()
    ]


def _ended(run: Run) -> list[Line]:
    if run.outcome is None:
        return [line("It was not begun, or broke here; the journal says what was done.")]
    bad = run.failed
    found = [line((run.outcome.text, Tone.BAD if bad else Tone.OK)), ()]
    for result in run.outcome.nodes:
        said = f": {result.problem.summary}" if result.problem else ""
        found.append(
            line(f"{result.node}  ", (result.result.replace("_", " "), Tone.STRONG), said)
        )
    if bad:
        found += [(), line(("R", Tone.KEY), "  what failed, what the node did, what can be done")]
    return found


def _names(nodes: Sequence[NodePlan]) -> str:
    return listed([item.node for item in nodes])
