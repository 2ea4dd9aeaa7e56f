"""The single conditions of which gates are made: one line each, none silent.

Each looks at the readings and answers for itself (design.md, section 6).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from backends.domain.facts import Finalized, NodeFacts, same
from backends.domain.minimum import Minimum
from backends.domain.policy import Skip
from backends.domain.states import (
    CHANGING,
    NEEDS_PERSON,
    REACH_WORDS,
    HealthState,
    NodeState,
)
from backends.domain.survey import Survey, are, listed, names
from backends.domain.versions import AS_DEBIAN, Ordering


class ConditionState(StrEnum):
    """What a condition says."""

    OK = "ok"
    WAIT = "wait"
    """Not yet; it can become ok without anybody acting."""

    REFUSED = "refused"
    WARN = "warn"
    """Holds, but somebody should know."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a gate: what, since when, until when, and what then."""

    name: str
    state: ConditionState
    text: str
    since: str = ""
    until: str = ""
    then: str = ""
    skipped: str = ""
    """The reason, when a person skipped it by name. It stays what it is, and red."""

    def __str__(self) -> str:
        """In one line: what, until when, and what then; or why it is skipped."""
        if self.skipped:
            return f"{self.name}: {self.text}; SKIPPED: {self.skipped}"
        return "; ".join(filter(None, (f"{self.name}: {self.text}", self.until, self.then)))

    @property
    def waits(self) -> bool:
        """Whether it may come right by itself."""
        return self.state is ConditionState.WAIT

    @property
    def blocks(self) -> bool:
        """Whether the gate stays shut because of it."""
        return not self.skipped and self.state in (ConditionState.WAIT, ConditionState.REFUSED)


@dataclass(frozen=True, slots=True)
class Target:
    """What a run wants to bring about."""

    run: str
    version: str
    digest: str = ""
    """sha256 of the content, hexadecimal; empty when it is not known."""

    packaged: str = ""
    """The same, of what is in the release, without configuration from elsewhere."""

    from_versions: tuple[str, ...] | None = None
    """The versions that the path rule allows to start from; None: any."""

    ordering: Ordering = AS_DEBIAN
    """How versions order, and which step from one to another the profile allows."""

    downgrade: str = ""
    """Why an older version is wanted, where that was said."""

    reinstall: str = ""
    """Why what is there already is installed again, where that was said."""

    again: frozenset[str] = frozenset()
    """The nodes on which it is final already, and is installed again."""

    nodes: frozenset[str] | None = None
    """The nodes that are to come to it; None: all."""

    expires: str = ""
    """Until when the release may be begun with, UTC; empty: for ever."""

    now: str = ""
    """When that is asked, UTC, in the same form: 2026-11-26T21:00:00Z."""

    ttl_seconds: float = 60
    """An older reading blocks."""

    patience_seconds: float = 0
    """So long nodes that do not serve are waited for between two turns."""

    batch: int = 1
    """Nodes that may change at once."""

    turns: tuple[tuple[str, ...], ...] = ()
    """The batches, in their order."""

    minimums: tuple[Minimum, ...] = ()
    """How many nodes must go on serving meanwhile."""

    skips: tuple[Skip, ...] = ()
    """What is skipped by name."""

    def concerns(self, node: str) -> bool:
        """Whether this node is to come to it."""
        return self.nodes is None or node in self.nodes

    def mends(self, node: str) -> bool:
        """Whether this node is installed again: whatever ails it is no reason against that."""
        return node in self.again


NODES_READ = "nodes read"


def nodes_read(seen: Survey) -> Condition:
    """Every node is read, or excluded with a reason."""
    name = NODES_READ
    if not seen.counted:
        return Condition(name, ConditionState.REFUSED, "no node counts: all are left out")
    if seen.unreadable:
        words = listed(
            [
                f"{r.name}: {REACH_WORDS[r.unreachable] if r.unreachable else 'unreadable'}"
                for r in seen.unreadable
            ]
        )
        return Condition(
            name, ConditionState.REFUSED, words, then="read it, or exclude it with a reason"
        )
    if seen.awaited:
        words = f"{are(seen.awaited, 'has', 'have')} not answered yet"
        return Condition(name, ConditionState.WAIT, words)
    left_out = [f"{node} ({reason})" for node, reason in seen.left_out]
    words = f"{len(seen.read)} of {len(seen.counted)} read"
    return Condition(
        name, ConditionState.OK, f"{words}, left out: {listed(left_out)}" if left_out else words
    )


def readings_fresh(seen: Survey, ttl_seconds: float) -> Condition:
    """No reading is older than its time to live, in seconds."""
    name = f"readings younger than {ttl_seconds:g} s"
    stale = [
        f"{r.name} ({'age unknown' if r.age_seconds is None else f'{r.age_seconds:.0f} s'})"
        for r in seen.counted
        if r.read and not r.is_fresh(ttl_seconds)
    ]
    if stale:
        return Condition(
            name, ConditionState.WAIT, f"stale: {listed(stale)}", until="they are read again"
        )
    return Condition(name, ConditionState.OK, f"{len(seen.read)} fresh")


def no_other_upgrade(seen: Survey, run: str) -> Condition:
    """No node has an open transaction of another run."""
    foreign = [
        (facts.node, facts.transaction)
        for facts in seen.read
        if facts.transaction is not None and facts.transaction.run != run
    ]
    if not foreign:
        return as_far_as_read(seen, "no other upgrade", "none is open")
    _, first = foreign[0]
    return Condition(
        "no other upgrade",
        ConditionState.REFUSED,
        f"run {first.run} to {first.to_version} of {first.operator} is open on "
        f"{listed([node for node, _ in foreign])}",
        since=first.since,
        then="resume it, finalize it or roll it back",
    )


def last_upgrade_finalized(seen: Survey, target: Target) -> Condition:
    """What runs on a node is finalized, unless this very run has begun on it (feature N9)."""
    name = "last upgrade finalized"
    unfinished = [
        facts
        for facts in seen.read
        if not facts.is_finalized
        and not facts.is_absent
        and not (facts.transaction is not None and facts.transaction.run == target.run)
    ]
    if not unfinished:
        return as_far_as_read(seen, name, f"on {len(seen.read)} of {len(seen.counted)}")
    if all(facts.finalized is None and not facts.is_open for facts in unfinished):
        advice = f"liftlock adopt {seen.cluster}{seen.selector(unfinished)}"
        words = f"{are(names(unfinished), 'has', 'have')} no finalized record"
    else:
        advice = f"liftlock finalize {seen.cluster}, or liftlock rollback {seen.cluster}"
        words = f"{are(names(unfinished))} not finalized"
    return Condition(name, ConditionState.REFUSED, words, then=advice)


def nodes_healthy(nodes: Iterable[NodeFacts], of: int, name: str = "nodes healthy") -> Condition:
    """No service is down and no hard check fails; soft ones and what is not known are said.

    `of` is how many there are, with those that were not read.
    """
    chosen = tuple(nodes)
    sick = [
        f"{facts.node}: {facts.health_text or 'failing'}"
        if facts.health is HealthState.FAILING
        else f"{facts.node}: service down"
        for facts in chosen
        if facts.health is HealthState.FAILING or facts.is_down
    ]
    if sick:
        return Condition(name, ConditionState.REFUSED, listed(sick))
    unsure = _those(chosen, lambda f: f.health is HealthState.UNKNOWN and not f.is_absent)
    if unsure:
        return Condition(name, ConditionState.WARN, f"health unknown on {listed(names(unsure))}")
    soft = _those(chosen, lambda f: f.health is HealthState.SOFT_FAILING)
    if soft:
        words = [f"{facts.node}: soft check {facts.health_text or 'fails'}" for facts in soft]
        return Condition(name, ConditionState.WARN, listed(words))
    state = ConditionState.OK if len(chosen) == of else ConditionState.WARN
    return Condition(name, state, f"{len(chosen)} of {of}")


def nodes_healthy_or_mended(seen: Survey, target: Target) -> Condition:
    """As `nodes_healthy`, of those that are not to be mended."""
    mended = _those(seen.read, lambda facts: target.mends(facts.node))
    others = _those(seen.read, lambda facts: not target.mends(facts.node))
    found = nodes_healthy(others, len(seen.counted) - len(mended))
    if not mended or found.state is ConditionState.REFUSED:
        return found
    words = f"{found.text}; {listed(names(mended))} installed again: {target.reinstall}"
    return replace(found, state=ConditionState.WARN, text=words)


def others_healthy(nodes: Iterable[NodeFacts], of: int, patience_seconds: float) -> Condition:
    """As `nodes_healthy`; but whoever is not may have been shaken by the turn before, and settle.

    A product that elects leaders or copies what a node missed does so for a while after each
    restart of one of its nodes.
    """
    chosen = tuple(nodes)
    found = nodes_healthy(chosen, of, name="others healthy")
    if found.state is not ConditionState.REFUSED or _those(chosen, lambda facts: facts.is_down):
        return found  # a service that is down does not settle: somebody has to start it
    return replace(
        found,
        state=ConditionState.WAIT,
        until=f"{patience_seconds:g} s at most",
        then="then no further node is begun",
    )


def accepted_stay(
    nodes: Iterable[NodeFacts], accepted: Collection[str], target: Target
) -> Condition:
    """What this run has accepted is still there: nobody takes it back meanwhile."""
    name = "accepted nodes stay"
    kept = [facts for facts in nodes if facts.node in accepted]
    gone = [facts for facts in kept if not _is_kept(facts, target)]
    if gone:
        words = listed([f"{facts.node} is {facts.state.replace('_', ' ')}" for facts in gone])
        return Condition(name, ConditionState.REFUSED, words, then="decide about it first")
    return Condition(name, ConditionState.OK, listed(names(kept)) or "none yet")


def _is_kept(facts: NodeFacts, target: Target) -> bool:
    opened, final = facts.transaction, facts.finalized
    if opened is None and target.mends(facts.node):
        return isinstance(final, Finalized) and final.run == target.run  # it was final before, too
    if opened is None:
        is_it = same(facts.final_version, target.version)
        return is_it and (not facts.digest or not target.digest or facts.digest == target.digest)
    return opened.run == target.run and opened.decision != "ROLLBACK"


def nobody_waits_for_a_person(nodes: Iterable[NodeFacts]) -> Condition:
    """No other node is failed, held or inconsistent."""
    name = "no node waits for a person"
    stuck = _those(nodes, lambda facts: facts.state in NEEDS_PERSON)
    if stuck:
        words = listed([f"{facts.node} is {facts.state}" for facts in stuck])
        return Condition(name, ConditionState.REFUSED, words, then="decide about it first")
    return Condition(name, ConditionState.OK, "none")


def batch_has_room(nodes: Iterable[NodeFacts], batch: int) -> Condition:
    """Fewer nodes than the batch are changing; one in trial says when it will be decided."""
    name = "earlier nodes accepted"
    changing = _those(nodes, lambda facts: facts.state in CHANGING)
    if len(changing) < batch:
        return Condition(name, ConditionState.OK, f"{len(changing)} changing, batch {batch}")
    first = changing[0]
    words = "in trial" if first.state is NodeState.MONITORING else first.state.replace("_", " ")
    transaction = first.transaction
    decides = transaction.decides_at_seconds if transaction else None
    return Condition(
        name,
        ConditionState.WAIT,
        f"{first.node} {words}" if len(changing) == 1 else f"{listed(names(changing))} changing",
        since=transaction.since if transaction else "",
        until="" if decides is None else f"in {decides:.0f} s at the latest",
        then=transaction.then if transaction else "",
    )


def as_far_as_read(seen: Survey, name: str, text: str) -> Condition:
    """What holds for all that were read; it is not known of the others."""
    unread = [reading.name for reading in seen.unreadable] + [*seen.awaited]
    if not unread:
        return Condition(name, ConditionState.OK, text)
    return Condition(name, ConditionState.WARN, f"{text}; not known of {listed(unread)}")


def _those(nodes: Iterable[NodeFacts], which: Callable[[NodeFacts], bool]) -> list[NodeFacts]:
    return [facts for facts in nodes if which(facts)]
