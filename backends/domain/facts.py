"""What was read of a node: six facts that are never merged, each of which may be unknown.

The facts are those of design.md, section 4. What they mean for a cluster is in `verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeGuard

from backends.domain.drift import Drift
from backends.domain.problem import Problem
from backends.domain.states import (
    CHANGING,
    OPEN,
    UNCOUNTED,
    HealthState,
    NodeState,
    Phase,
    ServiceState,
    Unreachable,
)


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """A value that could not be read. It equals nothing, not even itself.

    (`in` and the comparison of tuples ask `is` first, so they find the very same object.)
    """

    reason: str
    """Why, in words."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)


NOT_READ = Unknown("not read")

Fact = str | Unknown | None
"""A value; None, when it was read and there is none; or unknown."""


def same(a: Fact, b: Fact) -> bool:
    """Whether both were read and are equal. None equals None; unknown equals nothing."""
    return not isinstance(a, Unknown) and not isinstance(b, Unknown) and a == b


def is_value(fact: Fact) -> TypeGuard[str]:
    """Whether it was read, and there is one."""
    return isinstance(fact, str)


@dataclass(frozen=True, slots=True)
class VersionRef:
    """One exact version: what an undo returns to."""

    version: str
    digest: str = ""
    """sha256 of its tree, hexadecimal; empty when not recorded."""

    path: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A version that lies ready on a node."""

    version: str
    since: str = ""
    """When it came, as text with its zone; empty when that is not known."""

    checked: bool = False


@dataclass(frozen=True, slots=True)
class Finalized:
    """The finalized marker of a node."""

    version: str
    run: str
    """The run that finalized it."""

    digest: str = ""
    """sha256 of the content, hexadecimal; empty when not recorded."""

    packaged: str = ""
    """The same, of the release that it came in, without configuration from elsewhere; empty when
    it came in none, or that is not recorded."""

    def is_same_release(self, version: str, packaged: str) -> bool:
        """Whether it came in this very release, whatever configuration came with it."""
        return self.version == version and bool(packaged) and self.packaged == packaged


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """An upgrade of one node that has begun and has no end yet."""

    run: str
    txn: str
    phase: Phase
    to_version: str
    from_version: str | None
    """None: a first install, from nothing."""

    operator: str
    since: str
    """When it began, as text with its zone."""

    driver_alive: bool
    """Whether the updater is at work on it. After accept it is not, and need not be."""

    decides_at_seconds: float | None = None
    """Seconds left until the node decides by itself; None when it will not."""

    then: str = ""
    """What it decides then, e.g. "rollback"."""

    to_digest: str = ""
    """sha256 of the content it goes to, hexadecimal."""

    to_packaged: str = ""
    """The same, of the release that this comes in; see `Finalized.packaged`."""

    healthy: bool = False
    """Whether the hard checks have passed for long enough in the trial."""

    decision: str = ""
    """The decision in force: "ACCEPT", "ROLLBACK", "FINALIZE", or "" for none."""

    layer: str = "none"
    """What takes the work up if the updater dies: "systemd", "cron" or "none"."""

    data: tuple[str, ...] = ()
    """Data directories of which there is a copy from before the switch."""

    data_since: str = ""
    """When they were copied, as text with its zone: what is newer may be kept or set aside."""

    data_bytes: int = 0
    beside: tuple[str, ...] = ()
    """Edited configuration files whose default has changed, too: the new one is beside them."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What one reading of one node and product found. Whatever is not given is unknown."""

    node: str
    product: str
    state: NodeState = NodeState.UNKNOWN
    running: Fact = NOT_READ
    """The version that serves now; None when nothing runs."""

    selected: Fact = NOT_READ
    """The version that the next start will run; None when the product is not there."""

    staged: tuple[str, ...] | Unknown = NOT_READ
    """The versions that lie ready on the node."""

    stages: tuple[Stage, ...] = ()
    """Since when they do."""

    partial_bytes: int = 0
    """What has come of a release that is not staged yet."""

    unsigned: tuple[str, ...] = ()
    """Those of the versions here that came as a release which nobody had signed."""

    previous: VersionRef | Unknown | None = NOT_READ
    """The exact undo target."""

    finalized: Finalized | Unknown | None = NOT_READ
    boot_id: Fact = NOT_READ
    start_id: Fact = NOT_READ
    """Process id and start time of what runs: another one is another start."""
    leads: bool | Unknown | None = None
    """Whether its product leads the others; None: the profile does not ask."""

    pid: int | None = None
    service: ServiceState = ServiceState.UNKNOWN
    service_text: str = ""
    health: HealthState = HealthState.UNKNOWN
    health_text: str = ""
    health_since: str = ""
    """Since when health is what it is, as text with its zone."""

    drift: Drift | Unknown | None = None
    """Whether what lies in place is what was recorded; None: nobody has looked yet."""

    transaction: OpenTransaction | None = None
    problem: Problem | None = None
    note: str = ""
    last_txn: str = ""
    """The newest transaction that has ended on the node."""

    last_run: str = ""
    """Its run."""

    last_outcome: str = ""
    """How it ended: "ok" (finalized) or "undone"."""

    @property
    def final_version(self) -> Fact:
        """The version of the finalized marker."""
        return self.finalized.version if isinstance(self.finalized, Finalized) else self.finalized

    @property
    def previous_version(self) -> Fact:
        """The version of the undo target."""
        return self.previous.version if isinstance(self.previous, VersionRef) else self.previous

    @property
    def digest(self) -> str:
        """The digest of the content that is to be here: that the upgrade which is open leads to,
        or that is final; empty when it is not known."""
        if self.transaction is not None:
            return self.transaction.to_digest
        return self.finalized.digest if isinstance(self.finalized, Finalized) else ""

    @property
    def release(self) -> tuple[str, str] | None:
        """Version and packaged digest of the release that it comes in; None: not known."""
        there = self.finalized if isinstance(self.finalized, Finalized) else None
        if self.transaction is not None:
            found = self.transaction.to_version, self.transaction.to_packaged
        else:
            found = (there.version, there.packaged) if there else ("", "")
        return found if found[1] else None

    def is_configured_otherwise(self, other: "NodeFacts") -> bool:
        """Whether both are to have the same release, with other configuration."""
        is_same_release = self.release is not None and self.release == other.release
        return is_same_release and self.digest != other.digest

    @property
    def gets_other_configuration(self) -> bool:
        """Whether the upgrade that is open leads to the same version, with other content."""
        opened, back = self.transaction, self.previous
        return (
            opened is not None
            and isinstance(back, VersionRef)
            and opened.from_version == opened.to_version
            and bool(back.digest and opened.to_digest)
            and back.digest != opened.to_digest
        )

    @property
    def nothing_runs(self) -> bool:
        """Whether it was read that nothing runs, and the service does not claim otherwise."""
        if self.service is ServiceState.STARTED:
            return False
        return self.running is None or self.service is ServiceState.STOPPED

    @property
    def version(self) -> Fact:
        """What the node is on: what runs, or where nothing runs, what would be started."""
        return self.selected if self.nothing_runs and not is_value(self.running) else self.running

    @property
    def is_absent(self) -> bool:
        """Whether it was read that the product is not there and never was finalized."""
        return self.running is None and self.selected is None and self.finalized is None

    @property
    def serves(self) -> bool:
        """Whether it was read that the service runs and no hard check of it fails."""
        return self.service is ServiceState.STARTED and self.health in (
            HealthState.HEALTHY,
            HealthState.SOFT_FAILING,
            HealthState.NONE,
        )

    @property
    def is_finalized(self) -> bool:
        """Whether what runs and what the next start runs is the finalized version.

        A node on which nothing runs is judged by what would be started; it is `is_down` as well.
        """
        runs = same(self.running, self.final_version) or (
            self.nothing_runs and not is_value(self.running)
        )
        return runs and is_value(self.final_version) and same(self.selected, self.final_version)

    @property
    def is_open(self) -> bool:
        """Whether the node has a transaction without an end."""
        return self.transaction is not None or self.state in OPEN

    @property
    def unfinalized_version(self) -> str | None:
        """B, when the node runs or selects B, another version is final, and A is recorded.

        (design.md, section 4, row 6.) A is the recorded previous version. It has to be another
        one than B, and the finalized one where there is one: otherwise it is left over from an
        earlier upgrade, and B came by another hand.
        """
        back, final = self.previous_version, self.final_version
        if not is_value(back) or (is_value(final) and final != back):
            return None
        for version in (self.running, self.selected):
            if is_value(version) and version not in (back, final):
                return version
        return None

    @property
    def is_down(self) -> bool:
        """Whether the product is there and does not run, while no step is the reason for it."""
        driven = self.transaction is None or self.transaction.driver_alive
        if self.state in CHANGING and driven:
            return False
        is_there = any(map(is_value, (self.running, self.selected, self.final_version)))
        return is_there and self.nothing_runs

    @property
    def has_drifted(self) -> bool:
        """Whether it was seen that what lies in place is not what was recorded."""
        return isinstance(self.drift, Drift) and self.drift.count > 0

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """Name of the fact and reason, for each that the verdict needs and that is unknown."""
        facts = (
            ("running", None if self.nothing_runs else self.running),
            ("selected", self.selected),
            ("finalized", self.final_version),
        )
        return tuple((name, fact.reason) for name, fact in facts if isinstance(fact, Unknown))


WHY_LEFT_OUT: Final[Mapping[NodeState, str]] = {
    NodeState.EXCLUDED: "excluded on the node",
    NodeState.DISABLED: "disabled: marker file on the node",
}
"""The reason where the node says that it is left out, and nothing else."""


class ReadStatus(StrEnum):
    """How far the reading of a node has come."""

    DETERMINING = "determining"
    """It was not asked yet, or has not answered yet."""

    READ = "read"
    UNREADABLE = "unreadable"
    """It has answered something else, or its time is up."""


@dataclass(frozen=True, slots=True)
class NodeReading:
    """The newest reading of one node of the cluster, whether or not it came about."""

    name: str
    role: str = ""
    address: str = ""
    facts: NodeFacts | None = None
    """What was found; of an earlier reading when the node cannot be read now."""

    age_seconds: float | None = None
    unreachable: Unreachable | None = None
    """Why the node cannot be read now."""

    problem: Problem | None = None
    excluded: str | None = None
    """The reason, when the cluster file or the plan leaves the node out."""

    pinned: str | None = None
    """The reason, when the node is read and shown, and stays at what it is."""

    @property
    def status(self) -> ReadStatus:
        """Not answered yet, read, or could not be read."""
        if self.unreachable is not None:
            return ReadStatus.UNREADABLE
        if self.facts is not None:
            return ReadStatus.READ
        return ReadStatus.DETERMINING if self.problem is None else ReadStatus.UNREADABLE

    @property
    def read(self) -> bool:
        """Whether the facts are what the node says now."""
        return self.status is ReadStatus.READ

    @property
    def left_out(self) -> str | None:
        """The reason why the node is named beside the verdict and does not count, or None."""
        if self.excluded is not None or self.pinned is not None:
            return self.excluded or f"pinned: {self.pinned}"
        if self.facts is None or not self.read or self.facts.state not in UNCOUNTED:
            return None
        return self.facts.note or WHY_LEFT_OUT[self.facts.state]

    def is_fresh(self, ttl_seconds: float) -> bool:
        """Whether it is a reading, and not older than its time to live."""
        return self.read and self.age_seconds is not None and 0 <= self.age_seconds <= ttl_seconds
