"""The gate before what comes next, with its conditions as they are now."""

from itertools import takewhile

from app.state import Run, Stage
from app.view.next_panel import gate_lines
from backends.domain.facts import NodeReading
from backends.domain.gates import Gate, before_turn, before_upgrade
from backends.domain.plan import Treatment
from backends.domain.policy import Pause
from backends.domain.states import Phase
from widgets.cells import Line


def gate_of(run: Run, readings: tuple[NodeReading, ...], called: str) -> Gate | None:
    """The gate before the next node, or before the upgrade; None when nothing comes any more."""
    if run.prepared is None or run.stage is Stage.OVER:
        return None
    target = run.prepared.target
    if run.upcoming is None or run.upcoming.phase is not Phase.INSTALL:
        return before_upgrade(readings, target, called) if run.prepared.todo else None
    node = next_node(run)
    return before_turn(node, readings, target, called, run.accepted) if node else None


def next_node(run: Run) -> str:
    """The node whose turn comes next: the one waited with, or the one after those changing."""
    if run.prepared is None or run.upcoming is None:
        return ""
    if run.stage is Stage.WAITING or run.upcoming.settling:
        return run.upcoming.nodes[0]
    order = [item.node for item in run.prepared.todo]
    last = run.upcoming.nodes[-1]
    following = order[order.index(last) + 1 :] if last in order else []
    return following[0] if following else ""


def followers(run: Run) -> tuple[str, ...]:
    """The nodes that follow the present ones by themselves, until a person is waited for."""
    if run.prepared is None or run.upcoming is None or run.held:
        return ()
    plan = run.prepared.plan
    todo = [item for item in run.prepared.todo if item.node not in run.upcoming.nodes]
    order = [item.node for item in run.prepared.todo]
    last = run.upcoming.nodes[-1]
    if last not in order:
        return ()
    at = order.index(last)
    rest = [item for item in todo if order.index(item.node) > at]
    match plan.policy.pause:
        case Pause.ALL:
            return ()
        case Pause.FIRST:
            before = any(item.treatment is Treatment.ACCEPTED for item in plan.nodes)
            is_first = order[0] in run.upcoming.nodes and not before
            return () if is_first else tuple(item.node for item in rest)
        case Pause.AFTER_ROLE:
            role = run.prepared.todo[at].role
            same = list(takewhile(lambda item: item.role == role, rest))
            return tuple(item.node for item in same)
        case _:
            return tuple(item.node for item in rest)


def lines_of(gate: Gate | None) -> list[Line]:
    """The conditions; the name is the title's."""
    return gate_lines(gate) if gate is not None else []


def title(gate: Gate | None) -> str:
    """What the panel is about."""
    if gate is None:
        return "gate"
    if gate.is_open:
        return f"gate {gate.name}: open"
    return f"gate {gate.name}: {'waits' if gate.waits else 'SHUT'}"
