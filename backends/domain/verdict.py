"""What the cluster is: derived from the readings of its nodes, never stored.

`decide` is pure and total. The rows of `TABLE` are those of design.md, section 4; the first one
that holds wins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backends.domain import guidance
from backends.domain.facts import Fact, NodeFacts, NodeReading, Unknown, is_value, same
from backends.domain.guidance import Finding
from backends.domain.problem import Exit, worst
from backends.domain.states import NodeState
from backends.domain.survey import Survey, course, listed, names, survey


class VerdictKind(StrEnum):
    """What a cluster can be."""

    DETERMINING = "determining"
    UNKNOWN = "unknown"
    INCONSISTENT = "inconsistent"
    ROLLING_BACK = "rolling_back"
    FAILED = "failed"
    READY_TO_FINALIZE = "ready_to_finalize"
    UPGRADING = "upgrading"
    UNMANAGED = "unmanaged"
    ABSENT = "absent"
    SETTLED = "settled"
    MIXED = "mixed"


EXITS: Final[Mapping[VerdictKind, Exit]] = {
    VerdictKind.DETERMINING: Exit.WAITING,
    VerdictKind.UNKNOWN: Exit.UNREACHABLE,
    VerdictKind.INCONSISTENT: Exit.NEEDS_PERSON,
    VerdictKind.ROLLING_BACK: Exit.WAITING,
    VerdictKind.FAILED: Exit.NEEDS_PERSON,
    VerdictKind.READY_TO_FINALIZE: Exit.WAITING,
    VerdictKind.UPGRADING: Exit.WAITING,
    VerdictKind.UNMANAGED: Exit.WAITING,
    VerdictKind.ABSENT: Exit.WAITING,
    VerdictKind.SETTLED: Exit.OK,
    VerdictKind.MIXED: Exit.NEEDS_PERSON,
}
"""The exit code of `status` (design.md, section 4), as long as no service is down and
nothing has drifted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a cluster is, why, and what is next."""

    kind: VerdictKind
    cause: str
    from_version: Fact
    """What the nodes come from; None: from nothing, or it does not apply."""

    to_version: Fact
    """Where they are, or where they are going; None: nowhere, or it does not apply."""

    certain: bool
    """Whether every node that counts was read, and that was enough."""

    reconfigures: bool
    """Whether it leads to the same version, with other configuration."""

    nodes_read: int
    nodes_total: int
    """The nodes that count; excluded and disabled ones do not."""

    because: tuple[str, ...]
    """The nodes that cause it."""

    down: tuple[str, ...]
    """The nodes whose service is down while no step runs."""

    drifted: tuple[str, ...]
    """The nodes on which what lies in place is not what was recorded."""

    excluded: tuple[tuple[str, str], ...]
    """Name and reason of the nodes that do not count."""

    next_action: str
    """The next safe action."""

    way_back: str
    """The exact way back, or "none: " and why."""

    def headline(self) -> str:
        """The verdict in one line, without its cause."""
        words = self._what()
        if self.because and self.kind is not VerdictKind.READY_TO_FINALIZE:
            words += f", because {listed(self.because)}"
        if self.down:
            words += f"; down: {listed(self.down)}"
        if self.drifted:
            words += f"; drifted: {listed(self.drifted)}"
        if self.nodes_read < self.nodes_total:
            words += f"; not certain: {self.nodes_read} of {self.nodes_total} read"
        return words

    def title(self) -> str:
        """What it is, with its versions and without its reasons; the kind stands out."""
        kind = self.kind.replace("_", " ")
        what = self._what()
        return what.replace(kind, kind.upper(), 1) if kind in what else what.upper()

    def exit_code(self) -> Exit:
        """What `status` exits with: what is down or has drifted needs a person in any case."""
        needs_person = [Exit.NEEDS_PERSON] if self.down or self.drifted else []
        return worst([EXITS[self.kind], *needs_person])

    def _what(self) -> str:
        kind = self.kind.replace("_", " ")
        old, new = self.from_version, self.to_version
        if self.kind is VerdictKind.ROLLING_BACK:
            if self.reconfigures:
                return f"{kind} {_word(new)} to its configuration before"
            return f"{kind} {_word(old)} -> {_word(new)}" if old else f"{kind} to {_word(new)}"
        if not is_value(new):
            return kind
        if self.kind in (VerdictKind.SETTLED, VerdictKind.UNMANAGED):
            return f"{kind} {new}"
        if old is None:
            verb = "installing" if self.kind is VerdictKind.UPGRADING else kind
            return f"{verb} {new} (first install)"
        if same(old, new):
            how = "other configuration" if self.reconfigures else "the same again"
            return f"{kind} {new}, {how}"
        return f"{kind} {_word(old)} -> {new}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    kind: VerdictKind
    holds: Callable[[Survey], bool]
    words: Callable[[Survey], Finding]


def nothing_read_yet(seen: Survey) -> bool:
    """Row 1, first half: no node was read, and some may still answer."""
    return not seen.read and bool(seen.awaited)


def none_could_be_read(seen: Survey) -> bool:
    """Row 1, second half: no node was read, and none will be; also when no node counts."""
    return not seen.read and not seen.awaited


def is_inconsistent(seen: Survey) -> bool:
    """Row 2: a node says so."""
    return bool(seen.in_state(NodeState.INCONSISTENT))


def is_rolling_back(seen: Survey) -> bool:
    """Row 3: a node says so."""
    return bool(seen.going_back())


def has_failed(seen: Survey) -> bool:
    """Row 4: a node failed or is held."""
    return bool(seen.in_state(NodeState.FAILED, NodeState.HELD))


def is_ready_to_finalize(seen: Survey) -> bool:
    """Row 5: all read, all accepted on the same version, none known or feared to be final on it.

    A marker that could not be read might be one, so it is in the way. The marker of an earlier
    run is not: the same version can be installed again (`--reinstall`).
    """
    if not seen.all_read or any(f.state is not NodeState.ACCEPTED for f in seen.read):
        return False
    version = seen.read[0].running
    return not seen.configurations and all(
        same(facts.running, version)
        and same(facts.selected, version)
        and is_value(facts.running)
        and same(course(facts)[1], version)
        and _is_not_final(facts)
        for facts in seen.read
    )


def is_upgrading(seen: Survey) -> bool:
    """Row 6: an open transaction, or a version that is not the final one, with a way back."""
    return bool(seen.moving)


def is_unmanaged(seen: Survey) -> bool:
    """Row 7: every node is on the same version, and it was read that none has a record."""
    return seen.all_read and all(
        facts.finalized is None
        and is_value(facts.version)
        and same(facts.version, seen.read[0].version)
        and (isinstance(facts.selected, Unknown) or same(facts.selected, facts.version))
        for facts in seen.read
    )


def is_absent(seen: Survey) -> bool:
    """Row 8: it was read on every node that the product is not there."""
    return seen.all_read and all(facts.is_absent for facts in seen.read)


def is_settled(seen: Survey) -> bool:
    """Row 9: all read; running = selected = finalized = the same version everywhere, with the
    same configuration, as far as that came from elsewhere.

    A node whose service is down runs nothing that could differ: it does not make the cluster
    mixed, it is named as down, and `status` does not exit 0.
    """
    return (
        seen.all_read
        and not seen.configurations
        and all(
            facts.is_finalized and same(facts.final_version, seen.read[0].final_version)
            for facts in seen.read
        )
    )


def may_still_be_told(seen: Survey) -> bool:
    """Row 9, while answers are missing: whether the nodes differ is said when all are in."""
    return bool(seen.awaited)


def agrees_as_far_as_known(seen: Survey) -> bool:
    """Row 9, when answers remain missing: nothing differs, but nodes or facts are unread."""
    return seen.lacks_something and seen.agrees


def anything_else(_: Survey) -> bool:
    """Row 10."""
    return True


# fmt: off
TABLE: Final = (
    Row(VerdictKind.DETERMINING,       nothing_read_yet,       guidance.determining),
    Row(VerdictKind.UNKNOWN,           none_could_be_read,     guidance.unknown),
    Row(VerdictKind.INCONSISTENT,      is_inconsistent,        guidance.inconsistent),
    Row(VerdictKind.ROLLING_BACK,      is_rolling_back,        guidance.rolling_back),
    Row(VerdictKind.FAILED,            has_failed,             guidance.failed),
    Row(VerdictKind.READY_TO_FINALIZE, is_ready_to_finalize,   guidance.ready_to_finalize),
    Row(VerdictKind.UPGRADING,         is_upgrading,           guidance.upgrading),
    Row(VerdictKind.UNMANAGED,         is_unmanaged,           guidance.unmanaged),
    Row(VerdictKind.ABSENT,            is_absent,              guidance.absent),
    Row(VerdictKind.SETTLED,           is_settled,             guidance.settled),
    Row(VerdictKind.DETERMINING,       may_still_be_told,      guidance.determining),
    Row(VerdictKind.UNKNOWN,           agrees_as_far_as_known, guidance.unknown),
    Row(VerdictKind.MIXED,             anything_else,          guidance.mixed),
)
# fmt: on


def decide(readings: Sequence[NodeReading], cluster: str = "CLUSTER") -> Verdict:
    """What the cluster is. The first row of `TABLE` that holds wins, and one always does.

    `cluster` stands for the cluster in the commands of `next_action` and `way_back`.
    """
    seen = survey(readings, cluster)
    row = next(row for row in TABLE if row.holds(seen))
    words = row.words(seen)
    return Verdict(
        kind=row.kind,
        cause=words.cause,
        from_version=words.from_version,
        to_version=words.to_version,
        reconfigures=words.reconfigures,
        certain=seen.all_read and row.kind is not VerdictKind.UNKNOWN,
        nodes_read=len(seen.read),
        nodes_total=len(seen.counted),
        because=words.because,
        down=seen.down,
        drifted=names(seen.drifted),
        excluded=seen.left_out,
        next_action=words.next_action,
        way_back=words.way_back,
    )


def _is_not_final(facts: NodeFacts) -> bool:
    """Whether it was read that what is accepted here is not final."""
    if isinstance(facts.finalized, Unknown):
        return False
    if facts.finalized is None or facts.finalized.version != facts.running:
        return True
    return facts.transaction is not None and facts.transaction.run != facts.finalized.run


def _word(version: Fact) -> str:
    if isinstance(version, Unknown):
        return "unknown"
    return "nothing" if version is None else version
