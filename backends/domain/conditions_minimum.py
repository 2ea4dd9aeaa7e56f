"""Whether enough nodes go on serving, for the whole plan and before each turn."""

from collections.abc import Sequence

from backends.domain.conditions import Condition, ConditionState, Target
from backends.domain.minimum import EVERYWHERE, Left, left, simulated
from backends.domain.survey import Survey, names

ENOUGH_LEFT = "enough nodes left"


def every_turn_leaves_enough(seen: Survey, target: Target) -> tuple[Condition, ...]:
    """No batch of the plan goes below a minimum; nothing where the profile names none."""
    if not target.minimums:
        return ()
    found = simulated(target.minimums, _roles(seen), _serving(seen), target.turns)
    for batch, rest in zip(target.turns, found, strict=True):
        if short := _short(rest):
            return (_refused(batch, short),)
    nobody = [each.role for each in target.minimums if each.role not in _known(seen)]
    if nobody:
        words = f"in every turn, but no node has the role {', '.join(nobody)}"
        return (Condition(ENOUGH_LEFT, ConditionState.WARN, words),)
    return (Condition(ENOUGH_LEFT, ConditionState.OK, "in every turn"),)


def this_turn_leaves_enough(node: str, seen: Survey, target: Target) -> tuple[Condition, ...]:
    """The batch of this node does not go below a minimum, of what serves now.

    What does not serve now may be on its way up: it is waited for, where it would be enough.
    """
    if not target.minimums:
        return ()
    batch = next((batch for batch in target.turns if node in batch), (node,))
    serving = _serving(seen)
    rest = left(target.minimums, _roles(seen), serving, batch)
    short = _short(rest)
    if short is None:
        return (Condition(ENOUGH_LEFT, ConditionState.OK, "; ".join(map(str, rest)) or "all"),)
    others = {reading.name for reading in seen.counted} - {*batch}
    if _short(left(target.minimums, _roles(seen), {*serving, *others}, batch)) is not None:
        return (_refused(batch, short),)
    return (
        Condition(
            ENOUGH_LEFT,
            ConditionState.WAIT,
            f"now {short}",
            until=f"{target.patience_seconds:g} s at most",
            then="then no further node is begun",
        ),
    )


def _refused(batch: Sequence[str], short: Left) -> Condition:
    return Condition(
        ENOUGH_LEFT,
        ConditionState.REFUSED,
        f"while {', '.join(batch)} {'is' if len(batch) == 1 else 'are'} changed, {short}",
        then="a smaller batch, more nodes that serve, or skip it by its name",
    )


def _known(seen: Survey) -> set[str]:
    return {EVERYWHERE, *_roles(seen).values()}


def _short(found: Sequence[Left]) -> Left | None:
    return next((each for each in found if not each.is_enough), None)


def _roles(seen: Survey) -> dict[str, str]:
    return {reading.name: reading.role for reading in seen.counted}


def _serving(seen: Survey) -> set[str]:
    return set(names(facts for facts in seen.read if facts.serves))
