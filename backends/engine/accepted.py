"""What may be taken back, and what may be made final: read off the nodes, never remembered."""

from collections.abc import Sequence

from backends.domain.drift import Drift
from backends.domain.facts import NodeFacts, NodeReading, is_value, same
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import HealthState, NodeState
from backends.domain.survey import listed, survey


def is_reversible(reading: NodeReading) -> bool:
    """Whether there is an open upgrade on the node, and it counts."""
    facts = reading.facts
    return reading.left_out is None and facts is not None and facts.transaction is not None


def open_contents(readings: Sequence[NodeReading]) -> dict[str, str]:
    """The digest of what is open on each node that has something open."""
    return {
        reading.name: reading.facts.transaction.to_digest
        for reading in readings
        if reading.left_out is None and reading.facts and reading.facts.transaction
    }


def refuse_unless_all_accepted(readings: Sequence[NodeReading], version: str | None) -> str:
    """The version that every counted node has accepted (or made final already), and serves.

    Raises:
        LiftlockError: A node is not accepted, not serving, on another version, or not the
            `version` that was named (exit 4); not read (exit 3).
    """
    counted = [reading for reading in readings if reading.left_out is None]
    unread = [reading.name for reading in counted if not reading.read or reading.facts is None]
    wrong = [f"{name}: not read" for name in unread]
    versions = set()
    for reading in counted:
        facts = reading.facts
        if reading.name in unread or facts is None:
            continue
        target, why = _accepted_version(facts)
        if target is None:
            wrong.append(f"{reading.name}: {why}")
        else:
            versions.add(target)
    wrong += [
        f"{listed(nodes)}: other configuration than on {listed(most)}"
        for most, *others in survey(readings, "").configurations
        for nodes in others
    ]
    if len(versions) > 1:
        wrong.append(f"different versions: {', '.join(sorted(versions))}")
    elif not wrong and version is not None and versions != {version}:
        wrong.append(f"{version} was named, {', '.join(sorted(versions))} is accepted")
    if wrong or not versions:
        raise LiftlockError(
            Problem(
                "not-all-accepted",
                "Only what every node has accepted, and serves, is finalized.",
                "\n".join(wrong) or "no node counts",
                "Settle what is named, or exclude the node with a reason.",
            ),
            Exit.UNREACHABLE if unread else Exit.REFUSED,
        )
    return versions.pop()


def _accepted_version(facts: NodeFacts) -> tuple[str | None, str]:
    """The version a node may be finalized on, or None and why not."""
    opened = facts.transaction
    if opened is not None and opened.decision == "FINALIZE":
        return opened.to_version, ""  # it has begun: it is finished
    if opened is None:
        if facts.is_finalized and is_value(facts.final_version):
            return facts.final_version, ""
        return None, facts.state.replace("_", " ")
    if facts.state is not NodeState.ACCEPTED:
        return None, facts.state.replace("_", " ")
    if not same(facts.selected, opened.to_version) or not same(facts.running, opened.to_version):
        return None, f"accepted on {opened.to_version}, but that is not what runs"
    if isinstance(facts.drift, Drift) and facts.has_drifted:
        return None, f"accepted, but it has drifted: {facts.drift.in_words()}"
    if facts.is_down or facts.health is HealthState.FAILING:
        return None, f"accepted, but not healthy: {facts.health_text or 'service down'}"
    return opened.to_version, ""
