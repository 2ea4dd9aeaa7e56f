"""Gates: every condition between two phases, all shown, none silent (design.md, section 6)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from backends.domain import conditions, conditions_minimum, conditions_release, no_return
from backends.domain.cluster_health import PREFIX
from backends.domain.conditions import Condition, ConditionState, Target
from backends.domain.facts import NodeReading
from backends.domain.policy import Skip
from backends.domain.problem import LiftlockError, Problem
from backends.domain.survey import survey

__all__ = ["Condition", "ConditionState", "Gate", "Target", "before_turn", "before_upgrade"]

SKIPPABLE = (
    "nodes healthy",
    "others healthy",
    "no node waits for a person",
    conditions_minimum.ENOUGH_LEFT,
    no_return.NAME,
)
"""What a person may skip, by name and with a reason. Nothing else: what is not read is not known,
an open upgrade has its way back, and what a release is and where it may go is not negotiated."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions between two phases, or before a node's turn."""

    name: str
    conditions: tuple[Condition, ...]

    @property
    def is_open(self) -> bool:
        """Whether nothing waits and nothing is refused."""
        return not any(condition.blocks for condition in self.conditions)

    @property
    def waits(self) -> bool:
        """Whether it is shut, and may open without anybody acting."""
        return not self.is_open and all(condition.waits for condition in self.blocking)

    @property
    def blocking(self) -> tuple[Condition, ...]:
        """The conditions that keep it shut."""
        return tuple(condition for condition in self.conditions if condition.blocks)

    def skip(self, name: str, reason: str) -> "Gate":
        """The gate with one blocking condition skipped.

        Raises:
            LiftlockError: Nothing of that name blocks, or the reason is empty.
        """
        if not reason.strip():
            raise LiftlockError(Problem("skip-without-reason", f"Why is {name!r} skipped?"))
        if name not in {condition.name for condition in self.blocking}:
            raise LiftlockError(
                Problem(
                    code="skip-of-nothing",
                    summary=f"No condition {name!r} blocks {self.name}.",
                    evidence=", ".join(condition.name for condition in self.blocking) or "open",
                    advice="Skip only what blocks, by its name.",
                )
            )
        return replace(
            self,
            conditions=tuple(
                replace(condition, skipped=reason) if condition.name == name else condition
                for condition in self.conditions
            ),
        )


def before_upgrade(
    readings: Sequence[NodeReading], target: Target, cluster: str = "CLUSTER"
) -> Gate:
    """What must hold before the first node of an upgrade is touched."""
    seen = survey(readings, cluster)
    gate = Gate(
        name=f"before the upgrade to {target.version}",
        conditions=(
            conditions.nodes_read(seen),
            conditions.readings_fresh(seen, target.ttl_seconds),
            conditions.no_other_upgrade(seen, target.run),
            conditions.last_upgrade_finalized(seen, target),
            conditions_release.same_content(seen, target),
            conditions_release.not_expired(target),
            conditions_release.newer(seen, target),
            conditions_release.path_allowed(seen, target),
            conditions.nodes_healthy_or_mended(seen, target),
            *conditions_minimum.every_turn_leaves_enough(seen, target),
        ),
    )
    return _without(gate, target.skips)


def before_turn(
    node: str,
    readings: Sequence[NodeReading],
    target: Target,
    cluster: str = "CLUSTER",
    accepted: Collection[str] = (),
) -> Gate:
    """What must hold before it is the turn of `node`; `accepted` are those before it."""
    seen = survey(readings, cluster)
    others = tuple(facts for facts in seen.read if facts.node != node)
    # Who does not serve takes nothing away: others may be as sick, and wait to be mended, too.
    is_down = not any(facts.node == node and facts.serves for facts in seen.read)
    mended = {each.node for each in others if target.mends(each.node)} - {*accepted}
    waiting = mended if is_down else set()
    serving = [facts for facts in others if facts.node not in waiting]
    count = len(seen.counted) - 1 - len(waiting)
    gate = Gate(
        name=f"before {node}",
        conditions=(
            conditions.nodes_read(seen),
            conditions.readings_fresh(seen, target.ttl_seconds),
            conditions.no_other_upgrade(seen, target.run),
            conditions.nobody_waits_for_a_person(others),
            conditions.accepted_stay(others, accepted, target),
            conditions.batch_has_room(others, target.batch),
            conditions.others_healthy(serving, count, target.patience_seconds),
            *conditions_minimum.this_turn_leaves_enough(node, seen, target),
        ),
    )
    return _without(gate, target.skips)


def with_cluster(gate: Gate, found: Sequence[Condition], skips: Sequence[Skip]) -> Gate:
    """The gate with what has to hold of the whole cluster besides."""
    return _without(replace(gate, conditions=(*gate.conditions, *found)), skips)


def may_be_skipped(name: str) -> bool:
    """Whether a person may skip a condition of this name."""
    return name in SKIPPABLE or name.startswith(PREFIX)


def _without(gate: Gate, skips: Sequence[Skip]) -> Gate:
    """The gate with those of its conditions skipped that block and that a person named."""
    blocking = {condition.name for condition in gate.blocking}
    for skip in skips:
        if skip.name in blocking:
            gate = gate.skip(skip.name, skip.reason)
    return gate
