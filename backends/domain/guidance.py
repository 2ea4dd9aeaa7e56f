"""What a verdict says to a person: the cause, the next safe action and the way back.

Each function words one row of the table in `verdict`. Commands are those of design.md, section 9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backends.domain import deviations
from backends.domain.drift import Drift
from backends.domain.facts import Fact, NodeFacts, Unknown, is_value, same
from backends.domain.states import (
    REACH_WORDS,
    NodeState,
    Unreachable,
)
from backends.domain.survey import Survey, are, behind, course, listed, names
from backends.domain.undoing import returns, way_back


@dataclass(frozen=True, slots=True)
class Finding:
    """The words of a verdict."""

    cause: str
    next_action: str
    way_back: str
    because: tuple[str, ...] = ()
    from_version: Fact = None
    to_version: Fact = None
    reconfigures: bool = False
    """Whether both are the same version, with other configuration."""


def determining(seen: Survey) -> Finding:
    """Some nodes have not answered yet."""
    return Finding(
        cause=f"{are(seen.awaited, 'has', 'have')} not answered yet",
        next_action=f"wait for {listed(seen.awaited)}",
        way_back="not known until every node has answered",
        because=seen.awaited,
    )


def unknown(seen: Survey) -> Finding:
    """Not enough could be read to say anything else."""
    if not seen.counted:
        return _nothing_counts(seen)
    nodes = tuple(reading.name for reading in seen.unreadable) or tuple(
        facts.node for facts in seen.read if facts.missing
    )
    gaps = [
        f"{facts.node}: {fact} could not be read ({reason})"
        for facts in seen.read
        for fact, reason in facts.missing
    ]
    known = [f"{version} as far as read" for version in seen.versions]
    return Finding(
        cause="; ".join([*_why_unreadable(seen), *gaps[:3], *known]),
        next_action=_reach(seen) or f"liftlock doctor {seen.cluster} -n {','.join(nodes)}",
        way_back=f"not known while {are(nodes)} not read",
        because=nodes,
    )


def inconsistent(seen: Survey) -> Finding:
    """A node is neither on the old nor provably on the new version."""
    nodes = seen.in_state(NodeState.INCONSISTENT)
    idle = [facts for facts in nodes if facts.transaction and not facts.transaction.driver_alive]
    chosen = seen.selector(nodes)
    cause = [
        f"{facts.node}: {facts.problem.summary if facts.problem else _what_is_open(facts)}"
        for facts in nodes
    ]
    final = [f for f in nodes if f.transaction and f.transaction.decision == "FINALIZE"]
    if final:
        return _found(
            seen,
            nodes,
            cause=listed(cause),
            next_action=f"liftlock finalize {seen.cluster} goes on with {listed(names(final))}",
            otherwise=f"none for {listed(names(final))}: {_target(final[0])} is final there",
        )
    then = f"liftlock rollback {seen.cluster}{chosen}"
    if idle:
        then += f" brings {listed(names(idle))} back to rest"
    if any(f.problem and f.problem.code == "undo-unproven" for f in nodes):
        then = f"repair the paths that are named below; then {then}"
    found = _found(seen, nodes, cause=listed(cause), next_action=then)
    return replace(
        found,
        way_back=f"liftlock rollback {seen.cluster}{chosen} undoes again; the backups are kept",
    )


def rolling_back(seen: Survey) -> Finding:
    """A node goes back to the version that it came from."""
    nodes = seen.going_back()
    back, new = course(nodes[0])
    return Finding(
        cause=f"{are(names(nodes), 'goes', 'go')} back",
        next_action=f"wait for {listed(names(nodes))}: an undo that has begun is finished",
        way_back=f"under way: {returns(nodes)}",
        because=names(nodes),
        from_version=None if same(new, back) else new,
        to_version=back,
        reconfigures=nodes[0].gets_other_configuration,
    )


def failed(seen: Survey) -> Finding:
    """A node failed before any change, or holds the new version for a person to decide."""
    nodes = seen.in_state(NodeState.FAILED, NodeState.HELD)
    held = seen.in_state(NodeState.HELD)
    cause = [
        f"{facts.node} {'waits for a person' if facts.state is NodeState.HELD else 'failed'}"
        + (f": {facts.problem.summary}" if facts.problem else "")
        for facts in nodes
    ]
    if held:
        action = (
            f"liftlock accept {seen.cluster} {held[0].node} --reason WHY keeps "
            f"{_target(held[0])}, "
            f"liftlock rollback {seen.cluster}{seen.selector(held)} does not"
        )
    else:
        action = f"liftlock upgrade {seen.cluster} RELEASE tries {listed(names(nodes))} again"
    return _found(
        seen,
        nodes,
        cause=listed(cause),
        next_action=action,
        otherwise="none needed: nothing was changed",
    )


def ready_to_finalize(seen: Survey) -> Finding:
    """Every node accepted the same version."""
    return _found(
        seen,
        seen.moving,
        cause=f"{len(seen.read)} of {len(seen.counted)} accepted, none is finalized",
        next_action=_restart_first(seen, f"liftlock finalize {seen.cluster}"),
    )


def upgrading(seen: Survey) -> Finding:
    """Some nodes are on their way, or are there and not finalized."""
    nodes = seen.moving
    cause = [_progress(seen)]
    cause += [
        f"{facts.node}: finalized could not be read ({facts.finalized.reason})"
        for facts in nodes
        if isinstance(facts.finalized, Unknown)
    ]
    targets = sorted({to for facts in nodes if is_value(to := course(facts)[1])})
    if len(targets) > 1:
        cause.append(f"to several versions: {listed(targets)}")
    return _found(seen, nodes, cause="; ".join(cause), next_action=_next_of_upgrade(seen))


def unmanaged(seen: Survey) -> Finding:
    """The product runs, and nothing is recorded about it."""
    return Finding(
        cause="no node has a finalized record",
        next_action=_restart_first(seen, f"liftlock adopt {seen.cluster}"),
        way_back="none: nothing is recorded yet",
        because=names(seen.read),
        to_version=seen.read[0].version,
    )


def absent(seen: Survey) -> Finding:
    """The product is nowhere."""
    return Finding(
        cause="the product is on no node",
        next_action=f"liftlock upgrade {seen.cluster} RELEASE installs it",
        way_back="none needed: nothing is installed",
    )


def settled(seen: Survey) -> Finding:
    """One version, finalized everywhere."""
    version = seen.read[0].final_version
    staged = _staged(seen)
    clean = (
        f"liftlock upgrade {seen.cluster} RELEASE installs it, or liftlock clean {seen.cluster}"
    )
    return Finding(
        cause="; ".join([f"no upgrade in progress, version {version}", *staged, *_drift(seen)]),
        next_action=_repair(seen)
        or _restart_first(seen)
        or (clean if staged else "none: nothing is under way"),
        way_back=f"none: {version} is finalized",
        to_version=version,
    )


def mixed(seen: Survey) -> Finding:
    """Something else than an upgrade made the nodes differ."""
    found = deviations.find(seen)
    return Finding(
        cause="; ".join(deviation.text for deviation in found),
        next_action=found[0].next_action,
        way_back="none: no upgrade is recorded",
        because=tuple(dict.fromkeys(node for deviation in found for node in deviation.nodes)),
    )


def _found(
    seen: Survey,
    nodes: Sequence[NodeFacts],
    *,
    cause: str,
    next_action: str,
    otherwise: str = "none",
) -> Finding:
    """A finding about `nodes`; `otherwise` is the way back when there is nothing to undo."""
    moving = seen.moving
    named = set(names(nodes))
    leading = next((facts for facts in moving if facts.node in named), None)
    leading = leading or (moving[0] if moving else None)
    old, new = course(leading) if leading else (None, None)
    return Finding(
        cause=cause,
        next_action=next_action,
        way_back=way_back(seen) or otherwise,
        because=names(nodes),
        from_version=old,
        to_version=new,
        reconfigures=leading is not None and leading.gets_other_configuration,
    )


def _staged(seen: Survey) -> list[str]:
    """What lies ready on which nodes."""
    found: dict[str, list[str]] = {}
    for facts in seen.read:
        for version in () if isinstance(facts.staged, Unknown) else facts.staged:
            what = f"{version} with other configuration" if version == facts.selected else version
            found.setdefault(what, []).append(facts.node)
    return [f"{version} is staged on {listed(nodes)}" for version, nodes in found.items()]


def _drift(seen: Survey) -> list[str]:
    """What lies in place that is not what was recorded, node by node."""
    return [
        f"{facts.node} has drifted: {facts.drift.in_words()}"
        for facts in seen.drifted[:3]
        if isinstance(facts.drift, Drift)
    ]


def _repair(seen: Survey) -> str:
    """What to do about what has drifted; empty when nothing has."""
    if not seen.drifted:
        return ""
    chosen = seen.selector(seen.drifted)
    return (
        f"liftlock verify {seen.cluster}{chosen} says what differs; "
        f"liftlock upgrade {seen.cluster} RELEASE{chosen} --reinstall WHY repairs it"
    )


def _nothing_counts(seen: Survey) -> Finding:
    left_out = [name for name, _ in seen.left_out]
    if not left_out:
        return Finding(
            cause="the cluster has no nodes",
            next_action="add a node to the cluster file",
            way_back="none needed: nothing is installed",
        )
    return Finding(
        cause="every node is excluded or disabled",
        next_action=f"take {left_out[0]} in again: in the cluster file, or its marker on the node",
        way_back="not known while no node counts",
    )


def _why_unreadable(seen: Survey) -> list[str]:
    groups: dict[str, list[str]] = {}
    for reading in seen.unreadable:
        if reading.unreachable is not None:
            why = REACH_WORDS[reading.unreachable]
        else:
            why = reading.problem.summary if reading.problem else "no reading"
        groups.setdefault(why, []).append(reading.name)
    return [f"{listed(nodes)}: {why}" for why, nodes in groups.items()]


def _reach(seen: Survey) -> str:
    """What to do about the nodes that cannot be read; empty when there is none."""
    if not seen.unreadable:
        return ""
    if any(r.unreachable is Unreachable.HOST_KEY_UNKNOWN for r in seen.unreadable):
        return f"liftlock trust {seen.cluster}"
    return f"liftlock doctor {seen.cluster} -n {','.join(r.name for r in seen.unreadable)}"


def _what_is_open(facts: NodeFacts) -> str:
    transaction = facts.transaction
    if transaction is None or transaction.driver_alive:
        return "the undo is not proven"
    return f"interrupted: nobody drives run {transaction.run} to {transaction.to_version}"


def _target(facts: NodeFacts) -> str:
    new = course(facts)[1]
    return new if is_value(new) else "the new version"


def _progress(seen: Survey) -> str:
    for state, one, many in (
        (NodeState.INSTALLING, "is being installed", "are being installed"),
        (NodeState.MONITORING, "is in trial", "are in trial"),
        (NodeState.FINALIZING, "is being finalized", "are being finalized"),
    ):
        if nodes := seen.in_state(state):
            return are(names(nodes), one, many)
    return f"{are(names(seen.moving))} not finalized"


def _next_of_upgrade(seen: Survey) -> str:
    busy = seen.in_state(NodeState.INSTALLING, NodeState.MONITORING, NodeState.FINALIZING)
    if busy:
        return _wait(busy)
    target = course(seen.moving[0])[1]
    waiting = behind(seen, seen.moving[0])
    action = f"liftlock finalize {seen.cluster}"
    if waiting:
        goal = f"the upgrade to {target}" if is_value(target) else "the same upgrade"
        action = f"liftlock upgrade {seen.cluster} RELEASE: {goal} goes on with {listed(waiting)}"
    action = _restart_first(seen, action)
    reach = _reach(seen)
    return f"{reach}; then {action}" if reach else action


def _restart_first(seen: Survey, action: str = "") -> str:
    """The action, after a restart of what is down: nothing is made final or recorded that is."""
    down = [facts for facts in seen.read if facts.is_down]
    if not down:
        return action
    restart = f"start the service on {listed(names(down))}"
    return f"{restart}; then {action}" if action else restart


def _wait(busy: Sequence[NodeFacts]) -> str:
    words = f"wait for {listed(names(busy))}"
    deadlines = [
        (facts.transaction.decides_at_seconds, facts.node, facts.transaction.then)
        for facts in busy
        if facts.transaction is not None and facts.transaction.decides_at_seconds is not None
    ]
    if not deadlines:
        return words
    seconds, node, then = min(deadlines)
    decides = f"{words}; {node} decides by itself within {seconds:.0f} s"
    return f"{decides}: {then}, unless it is accepted" if then else decides
