"""What has to hold of the cluster as a whole, besides each node's own health (peers 1, row F6)."""

from dataclasses import dataclass

from backends.domain.conditions import Condition, ConditionState

PREFIX = "cluster "
"""How the names of these conditions begin."""


@dataclass(frozen=True, slots=True)
class ClusterCheck:
    """One question about the whole cluster."""

    name: str
    command: tuple[str, ...] = ()
    """Run here, beside this program; 0 is a yes, 21 is "not yet"."""

    value: str = ""
    """Instead of a command: a value of the profile, as a node says it."""

    node: str = ""
    """The node that is asked for the value; empty: the first one that answers."""

    equals: str = ""
    """What the value has to be."""

    timeout_seconds: float = 20.0


def condition_of(
    check: ClusterCheck, state: ConditionState, said: str, patience_seconds: float
) -> Condition:
    """The answer as a condition; a "not yet" is waited for as long as a node may take."""
    waits = state is ConditionState.WAIT
    return Condition(
        f"{PREFIX}{check.name}",
        state,
        said,
        until=f"{patience_seconds:g} s at most" if waits else "",
        then="then no further node is begun" if waits else "",
    )
