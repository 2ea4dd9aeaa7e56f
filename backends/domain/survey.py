"""The readings of a cluster, sorted once, and the questions that a verdict asks of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from backends.domain.facts import (
    Fact,
    NodeFacts,
    NodeReading,
    ReadStatus,
    is_value,
    same,
)
from backends.domain.states import NodeState, Phase

NAMES_SHOWN = 8
"""So many nodes are named in a sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The readings of one cluster, sorted. Everything is in the order of the cluster file."""

    cluster: str
    """What stands for the cluster in the commands that are suggested."""

    counted: tuple[NodeReading, ...]
    """All but the excluded and the disabled ones."""

    left_out: tuple[tuple[str, str], ...]
    """Name and reason of the excluded and the disabled ones."""

    read: tuple[NodeFacts, ...]
    """What the counted ones said; `node` is the name in the cluster."""

    awaited: tuple[str, ...]
    """Counted, and not answered yet."""

    unreadable: tuple[NodeReading, ...]
    """Counted, and could not be read."""

    @property
    def all_read(self) -> bool:
        """Whether there is a node that counts, and all that count were read."""
        return 0 < len(self.read) == len(self.counted)

    @property
    def down(self) -> tuple[str, ...]:
        """Whose service is down while no step runs."""
        return names(facts for facts in self.read if facts.is_down)

    @property
    def drifted(self) -> tuple[NodeFacts, ...]:
        """Where what lies in place is not what was recorded."""
        return tuple(facts for facts in self.read if facts.has_drifted)

    @property
    def moving(self) -> tuple[NodeFacts, ...]:
        """The nodes that an upgrade has begun on and is not final on."""
        return tuple(
            facts for facts in self.read if facts.is_open or facts.unfinalized_version is not None
        )

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that is running, selected or finalized somewhere, each once."""
        seen: dict[str, None] = {}
        for facts in self.read:
            for fact in (facts.running, facts.selected, facts.final_version):
                if is_value(fact):
                    seen[fact] = None
        return tuple(seen)

    @property
    def configurations(self) -> list[list[tuple[str, ...]]]:
        """The releases that are to be here with several configurations: the nodes with each,
        the most first."""
        found: dict[tuple[str, str], dict[str, list[str]]] = {}
        for facts in self.read:
            if facts.release is not None:
                found.setdefault(facts.release, {}).setdefault(facts.digest, []).append(facts.node)
        return [
            sorted(map(tuple, group.values()), key=len, reverse=True)
            for group in found.values()
            if len(group) > 1
        ]

    @property
    def lacks_something(self) -> bool:
        """Whether a node was not read, or a fact that the verdict needs is unknown."""
        return not self.all_read or any(facts.missing for facts in self.read)

    @property
    def agrees(self) -> bool:
        """Whether what was read could be one version everywhere, were the rest known."""
        return (
            len(self.versions) <= 1
            and _one_kind(facts.selected for facts in self.read)
            and _one_kind(facts.final_version for facts in self.read)
            and not self.configurations
        )

    def in_state(self, *states: NodeState) -> tuple[NodeFacts, ...]:
        """The nodes that say they are in one of these states."""
        return tuple(facts for facts in self.read if facts.state in states)

    def going_back(self) -> tuple[NodeFacts, ...]:
        """The nodes that are being rolled back."""
        return tuple(
            facts
            for facts in self.read
            if facts.state is NodeState.ROLLING_BACK
            or (facts.transaction is not None and facts.transaction.phase is Phase.ROLLBACK)
        )

    def selector(self, chosen: Iterable[NodeFacts]) -> str:
        """The `-n` that limits a command to these nodes; empty when they are all that count."""
        wanted = names(chosen)
        return "" if len(wanted) == len(self.counted) else f" -n {','.join(wanted)}"


def survey(readings: Sequence[NodeReading], cluster: str) -> Survey:
    """The readings, sorted."""
    counted = tuple(reading for reading in readings if reading.left_out is None)
    return Survey(
        cluster=cluster,
        counted=counted,
        left_out=tuple((r.name, r.left_out) for r in readings if r.left_out is not None),
        read=tuple(
            _named(reading.facts, reading.name)
            for reading in counted
            if reading.read and reading.facts is not None
        ),
        awaited=tuple(r.name for r in counted if r.status is ReadStatus.DETERMINING),
        unreadable=tuple(r for r in counted if r.status is ReadStatus.UNREADABLE),
    )


def course(facts: NodeFacts) -> tuple[Fact, Fact]:
    """From which version to which one the upgrade of a node leads, or led.

    An open transaction is asked first, then what is recorded. From None: it is a first install.
    """
    transaction = facts.transaction
    if transaction is None:
        return facts.previous_version, facts.unfinalized_version or facts.version
    if transaction.from_version is None and is_value(facts.previous_version):
        return facts.previous_version, transaction.to_version
    return transaction.from_version, transaction.to_version


def behind(seen: Survey, leading: NodeFacts) -> tuple[str, ...]:
    """The nodes that have not reached what the upgrade of this one leads to."""
    target = course(leading)[1]
    return names(
        facts
        for facts in seen.read
        if not same(facts.version, target) or facts.is_configured_otherwise(leading)
    )


def unsigned(readings: Iterable[NodeReading]) -> dict[str, list[str]]:
    """The versions that nobody vouches for, and the nodes that have each."""
    found: dict[str, list[str]] = {}
    for reading in readings:
        facts = reading.facts if reading.read else None
        for version in facts.unsigned if facts is not None else ():
            found.setdefault(version, []).append(reading.name)
    return found


def names(nodes: Iterable[NodeFacts]) -> tuple[str, ...]:
    """The names of the nodes."""
    return tuple(facts.node for facts in nodes)


def listed(words: Sequence[str]) -> str:
    """The words as they stand in a sentence: "n1, n2", and "... and 12 more" when too many."""
    if len(words) <= NAMES_SHOWN:
        return ", ".join(words)
    return f"{', '.join(words[:NAMES_SHOWN])} and {len(words) - NAMES_SHOWN} more"


def are(words: Sequence[str], one: str = "is", many: str = "are") -> str:
    """The words and the verb that fits their number: "n1 is", "n1, n2 are"."""
    return f"{listed(words)} {one if len(words) == 1 else many}"


def _named(facts: NodeFacts, name: str) -> NodeFacts:
    return facts if facts.node == name else replace(facts, node=name)


def _one_kind(facts: Iterable[Fact]) -> bool:
    """Whether there is a value everywhere or nowhere, as far as known."""
    known = [fact for fact in facts if is_value(fact) or fact is None]
    return len({fact is None for fact in known}) <= 1
