"""What the screen knows: a fold of news into values. Nothing asks here, and no clock is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from app.between.news import (
    AskedToAdopt,
    AskedToGoOn,
    Began,
    Goes,
    Happened,
    Held,
    News,
    Over,
    Planning,
    Read,
    Ready,
    Refused,
    Releases,
    Waits,
)
from app.progress import Progress, further
from app.runs.acting import Done
from app.runs.upgrading import Prepared
from backends.domain.facts import Fact, NodeReading
from backends.domain.pace import Upcoming
from backends.domain.plan import Treatment
from backends.domain.problem import Exit
from backends.domain.states import Phase, Unreachable
from backends.domain.verdict import Verdict, decide
from backends.engine.events import Event
from backends.engine.results import NodeResult, Outcome, Result

VERIFY = "verify"
"""The kind of a run that only looks."""

BUSY = "busy"
"""The code of a refusal that is about something else than what was asked for."""

_BAD = frozenset(
    {
        Result.ROLLED_BACK,
        Result.HELD,
        Result.INCONSISTENT,
        Result.LOST,
        Result.UNHEALTHY,
        Result.DRIFTED,
        Result.REFUSED,
        Result.UNREACHABLE,
        Result.TIMED_OUT,
        Result.LOCKED,
    }
)
"""Of an upgrade."""


_TRIAL = Phase.MONITOR

LINK_CAUSES = frozenset({Unreachable.DNS, Unreachable.TCP, Unreachable.TIMEOUT})
"""What a link that is gone looks like; everything else is said by the node."""


class Stage(StrEnum):
    """How far a run is that was begun here."""

    READY = "ready"
    """Planned and shown; nothing was begun."""

    WAITING = "waiting"
    """For a person, before the next step."""

    GOING = "going"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Run:
    """A run or an act that was begun, or prepared, on this screen."""

    kind: str
    id: str
    stage: Stage
    prepared: Prepared | None = None
    again: str = ""
    """Why the plan is shown again instead of begun."""

    upcoming: Upcoming | None = None
    """What it waits with, or does now."""

    held: bool = False
    """Whether it waits for a person before its next node."""

    progress: Mapping[tuple[str, Phase], Progress] = field(
        default_factory=lambda: MappingProxyType({})
    )
    settling: str = ""
    """What an act waits for, which comes right by itself or is asked about: in words."""

    outcome: Outcome | Done | None = None
    """How it ended; None also when it was refused."""

    @property
    def bad(self) -> tuple[NodeResult, ...]:
        """The nodes that did not come to what was asked for."""
        nodes = self.outcome.nodes if self.outcome is not None else ()
        bad = _BAD if self.kind == "upgrade" else _BAD - {Result.ROLLED_BACK}
        return tuple(each for each in nodes if each.result in bad)

    @property
    def is_under_way(self) -> bool:
        """Whether something was begun and has not ended."""
        return self.stage in (Stage.WAITING, Stage.GOING)

    @property
    def accepted(self) -> tuple[str, ...]:
        """The nodes that this run has brought to accepted, now or before it was taken up again."""
        items = self.prepared.plan.nodes if self.prepared is not None else ()
        before = [item.node for item in items if item.treatment is Treatment.ACCEPTED]
        trials = {node: each for (node, phase), each in self.progress.items() if phase is _TRIAL}
        return (*before, *(node for node, trial in trials.items() if trial.record == "ACCEPT"))

    @property
    def can_end(self) -> bool:
        """Whether it waits for something, or was not begun."""
        settles = self.upcoming is not None and bool(self.upcoming.settling)
        return self.stage in (Stage.WAITING, Stage.READY) or (
            self.stage is Stage.GOING and settles
        )

    @property
    def told_to_change(self) -> tuple[str, ...]:
        """The nodes whose install was told to begin; not those that wait for others to serve."""
        upcoming = self.upcoming if self.stage is Stage.GOING else None
        if upcoming is None or upcoming.phase is not Phase.INSTALL or upcoming.settling:
            return ()
        return upcoming.nodes

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than asked for."""
        return self.outcome is not None and self.outcome.exit not in (Exit.OK, Exit.WAITING)


@dataclass(frozen=True, slots=True)
class Known:
    """The newest reading of a node."""

    reading: NodeReading
    at: float
    """When it was read, by the monotonic clock, in seconds."""

    since: float = 0.0
    """Since when it can be read, or cannot, by the monotonic clock."""

    last: "Known | None" = None
    """What was read last of a node that cannot be read now."""

    fell: float = 0.0
    """Since when nothing comes from it, by the monotonic clock; not when it was refused."""

    def then(self, reading: NodeReading, at: float) -> "Known":
        """What is known after the next reading."""
        since = self.since if reading.read is self.reading.read else at
        if reading.read:
            return Known(reading, at, since)
        is_silent = reading.unreachable in LINK_CAUSES
        fell = self.fell if is_silent and self.reading.unreachable in LINK_CAUSES else at
        return Known(reading, at, since, self if self.reading.read else self.last, fell)

    def aged(self, now: float) -> NodeReading:
        """The reading with the age, and the countdown of a trial, that it has now."""
        reading, passed = self.reading, now - self.at
        if reading.age_seconds is None:
            return reading
        opened = reading.facts.transaction if reading.facts is not None else None
        facts = reading.facts
        if facts is not None and opened is not None and opened.decides_at_seconds is not None:
            left = max(0.0, opened.decides_at_seconds - passed)
            facts = replace(facts, transaction=replace(opened, decides_at_seconds=left))
        return replace(reading, facts=facts, age_seconds=reading.age_seconds + passed)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is shown, apart from the journal's lines."""

    called: str
    """What an operator types to mean this cluster."""

    cluster: str
    environment: str
    product: str
    known: Mapping[str, Known]
    """By node, in the order of the cluster file."""

    upgrade: Run | None = None
    """The newest upgrade of this screen: it stays in sight while it is finalized or undone."""

    act: Run | None = None
    """What was begun after it, or beside it: finalize, rollback, accept, adopt."""

    verification: Run | None = None
    """The newest verification: it goes on beside everything else, and changes nothing."""

    verified: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    """The nodes that it found as recorded, and what was selected there."""

    planning: str = ""
    """What is being planned; empty when nothing is."""

    releases: Releases | None = None

    @property
    def run(self) -> Run | None:
        """What this screen is about now: an act, and when that is over a living upgrade."""
        if self.act is not None and (self.act.is_under_way or not self.is_upgrading):
            return self.act
        return self.upgrade

    @property
    def is_upgrading(self) -> bool:
        """Whether an upgrade is under way, also beside an act."""
        return self.upgrade is not None and self.upgrade.is_under_way

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return self.is_upgrading or (self.act is not None and self.act.is_under_way)

    @property
    def as_read(self) -> tuple[NodeReading, ...]:
        """Every node as it was read last, for what does not depend on how long ago that was."""
        return tuple(known.reading for known in self.known.values())

    def readings(self, now: float) -> tuple[NodeReading, ...]:
        """Every node, with the age its reading has at `now` of the monotonic clock."""
        return tuple(known.aged(now) for known in self.known.values())

    def reading(self, node: str) -> NodeReading | None:
        """The newest reading of one node."""
        known = self.known.get(node)
        return known.reading if known else None

    def verdict(self) -> Verdict:
        """What the cluster is."""
        return decide(self.as_read, self.called)


def fold(state: State, news: Iterable[News]) -> State:
    """The state after these news, in their order."""
    known = dict(state.known)
    upgrade, act = state.upgrade, state.act
    progress = dict(upgrade.progress) if upgrade else {}
    planning = state.planning
    verification, verified = state.verification, state.verified
    releases = state.releases
    for item in news:
        match item:
            case Read():
                known[item.reading.name] = known[item.reading.name].then(item.reading, item.at)
            case Happened():
                event = item.event
                if verification is not None and event.run == verification.id:
                    continue
                if upgrade is None or event.run != upgrade.id:
                    act = _goes_on(act, event)
                elif event.node and event.phase is not None:
                    key = (event.node, event.phase)
                    progress[key] = further(progress.get(key, Progress()), event)
            case Planning():
                planning = item.what
            case Ready():
                upgrade, act, progress, planning = _ready(item), None, {}, ""
            case Began() if item.kind == "upgrade":
                prepared = upgrade.prepared if upgrade else None
                upgrade, act = Run("upgrade", item.run, Stage.GOING, prepared), None
                progress, planning = {}, ""
            case Began() if item.kind == VERIFY:
                verification = Run(VERIFY, item.run, Stage.GOING)
                verified = MappingProxyType({})
            case Began():
                act = Run(item.kind, item.run, Stage.GOING)
            case Waits():
                upgrade = upgrade and replace(upgrade, stage=Stage.WAITING, upcoming=item.upcoming)
            case Goes():
                upgrade = upgrade and replace(upgrade, stage=Stage.GOING, upcoming=item.upcoming)
            case Held():
                upgrade = upgrade and replace(upgrade, held=item.held)
            case Over() if item.kind == "upgrade":
                upgrade = _over(upgrade, item)
            case Over() if item.kind == VERIFY:
                verification = _over(verification, item)
                verified = _verified(item, known)
            case Over():
                act = _over(act, item)
            case AskedToGoOn() | AskedToAdopt():
                act = act and replace(act, stage=Stage.WAITING, settling="")
            case Releases():
                releases = item
            case Refused():
                planning = planning if item.problem.code == BUSY else ""
                if item.ended == "upgrade":
                    upgrade = _ended(upgrade)
                elif item.ended == VERIFY:
                    verification = _ended(verification)
                elif item.ended:
                    act = _ended(act)
            case _:
                pass  # for dialogs and the notebook; they are no state
    if upgrade is not None:
        upgrade = replace(upgrade, progress=MappingProxyType(progress))
    return replace(
        state,
        known=MappingProxyType(known),
        upgrade=upgrade,
        act=act,
        verification=verification,
        verified=verified,
        planning=planning,
        releases=releases,
    )


def _verified(item: Over, known: Mapping[str, Known]) -> Mapping[str, Fact]:
    """What was selected on the nodes that are as recorded: of another version it says nothing."""
    return MappingProxyType(
        {
            each.node: facts.selected
            for each in item.outcome.nodes
            if each.result is Result.DONE
            and each.node in known
            and (facts := known[each.node].reading.facts) is not None
        }
    )


def _ready(item: Ready) -> Run:
    made = item.prepared.plan
    return Run("upgrade", made.run, Stage.READY, item.prepared, item.again)


def _goes_on(act: Run | None, event: Event) -> Run | None:
    """An act that waited for an answer has got it when something happens again."""
    if act is None or act.stage is Stage.OVER:
        return act
    settling = str(event.data.get("settling", act.settling))
    return replace(act, stage=Stage.GOING, settling=settling)


def _over(run: Run | None, item: Over) -> Run:
    run = run or Run(item.kind, item.outcome.run, Stage.OVER)
    return replace(run, stage=Stage.OVER, upcoming=None, settling="", outcome=item.outcome)


def _ended(run: Run | None) -> Run | None:
    """It broke, or was refused: it has ended without an outcome."""
    return run and replace(run, stage=Stage.OVER, upcoming=None, settling="")
