"""An upgrade, from a release on disk to nodes that have accepted it. It never finalizes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.history.last_time import LastTime, last_time
from app.runs.keeping import (
    about,
    always_ended,
    begin_run,
    end_run,
    fresh_run,
    hidden,
    orders_of,
    without_secrets,
)
from app.runs.looking import look, unknown_nodes
from app.runs.notifying import notify
from app.runs.obeying import obeying
from app.session import Session
from backends.domain.facts import NodeReading
from backends.domain.gates import Gate, Target, before_upgrade
from backends.domain.plan import NodePlan, Plan, Treatment, changing, in_turn
from backends.domain.states import NodeState, Phase
from backends.engine.conductor import Conductor
from backends.engine.events import Observer
from backends.engine.pace import Pace
from backends.engine.planner import make_plan, open_run, target_of
from backends.engine.reading import utc
from backends.engine.recovery import recover_first
from backends.engine.refusals import (
    refuse_forbidden,
    refuse_other_configuration,
    refuse_other_product,
)
from backends.engine.results import Outcome, exit_of_upgrade
from backends.engine.scribe import Scribe
from backends.releases.fetched import with_configuration
from backends.releases.read import Release, open_release, verify_tarball
from backends.releases.signature_rule import Rule, vouched
from backends.settings.cluster import Cluster
from backends.store.book import Book


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a person has to see before an upgrade begins. Nothing was changed for it."""

    release: Release
    plan: Plan
    readings: tuple[NodeReading, ...]
    """Of the whole cluster."""

    target: Target
    gate: Gate | None
    """The one before the first node, where there is one to install.

    None also while a node is changing: what is begun is taken up whatever else is wrong, and what
    holds before the others is only known after it. The run asks the gate then.
    """

    left: tuple[str, ...]
    """The nodes whose updater died in the middle: they are brought to rest first."""

    last_time: LastTime | None = None
    """How long it took before, where that is known."""

    @property
    def fresh(self) -> tuple[NodePlan, ...]:
        """The nodes that the release has to be brought to."""
        return tuple(item for item in self.plan.nodes if item.treatment is Treatment.INSTALL)

    @property
    def todo(self) -> tuple[NodePlan, ...]:
        """The nodes that are to be changed, in the order in which it is their turn."""
        return in_turn(self.plan)


def open_for(session: Session, path: Path) -> Release:
    """A release that is whole, one of this cluster's product, and signed as the cluster asks.

    With the configuration that the profile has fetched from elsewhere. No node was contacted.

    Raises:
        LiftlockError: Missing (exit 2); damaged, of another product, not signed by somebody who
            may where signatures are required, or without its configuration (exit 4).
    """
    release = vouched(open_release(path), signature_rule(session.cluster), time.time())
    verify_tarball(release)
    refuse_other_product(release, session.profile.name)
    version = release.manifest.version
    wanted = [(each.path, each.url_of(version)) for each in session.profile.configuration]
    return with_configuration(release, wanted)


def signature_rule(cluster: Cluster) -> Rule:
    """Whose signature a release needs for this cluster."""
    is_required = cluster.signatures == "required"
    return Rule(is_required, cluster.allowed_signers, cluster.revoked_keys)


def meaning(session: Session, *, downgrade: str = "", reinstall: str = "") -> Session:
    """The session in which an older version, or the same again, is installed if it is said why."""
    policy = replace(session.policy, downgrade=downgrade.strip(), reinstall=reinstall.strip())
    return replace(session, policy=policy)


def plan_from(
    session: Session,
    release: Release,
    readings: Sequence[NodeReading],
    fresh: str,
    *,
    takes_up: bool = True,
) -> Plan:
    """The plan for a release on the chosen nodes; an open run of the cluster is taken up again.

    Not so where it `takes_up` nothing: a run that only stages is one of its own.

    Raises:
        LiftlockError: One is open with other configuration (exit 4); the policy's numbers do not
            fit together (exit 2).
    """
    refuse_other_configuration(readings, release, session.name)
    refuse_forbidden(release, session.chosen, session.cluster.forbidden)
    return make_plan(
        run=(open_run(readings, release) if takes_up else None) or fresh,
        cluster=session.cluster.name,
        called=session.name,
        product=session.profile.name,
        roles=session.profile.product.roles,
        subjects={name: session.subjects[name] for name in session.chosen},
        readings=readings,
        release=release,
        updater=session.payload.sha256,
        policy=session.policy,
        limits=session.limits,
        ordering=session.profile.ordering,
        staging=session.staging,
        minimums=session.profile.minimums,
        cluster_checks=session.profile.cluster_health,
        no_return=session.profile.no_return,
    )


async def prepare(
    session: Session,
    book: Book,
    release: Release,
    run: str | None = None,
    until: Phase = Phase.INSTALL,
) -> Prepared:
    """Read the cluster and plan; nodes are read, nothing is changed.

    `run` is the id that a new run gets; without it, one that the book does not have. `until` is
    how far it is to go.
    """
    readings, _ = await look(session)
    takes_up = until is Phase.INSTALL
    made = plan_from(session, release, readings, run or fresh_run(book), takes_up=takes_up)
    target = target_of(made, release, utc(time.time()))
    installs = any(item.treatment is Treatment.INSTALL for item in made.nodes)
    asked = installs and not changing(made)
    return Prepared(
        release=release,
        plan=made,
        readings=tuple(readings),
        target=target,
        gate=before_upgrade(readings, target, session.name) if asked else None,
        left=tuple(_left_in_the_middle(session, readings)),
        last_time=last_time(book, session.cluster.name, session.profile.name),
    )


async def bring_to_rest(
    session: Session, book: Book, release: Release, note: str, observe: Observer
) -> Outcome | None:
    """Recover nodes whose updater died; the outcome when one did not come to rest, else None."""
    run = fresh_run(book)
    begin_run(book, session, about(session, run, "recover", note, release))
    scribe = Scribe(book, run, observe)
    with always_ended(book, scribe, observe):
        bad = await recover_first(session.chosen_contacts, scribe)
    code = exit_of_upgrade(bad)
    text = ", ".join(f"{item.node} {item.result}" for item in bad) or "nodes brought to rest"
    end_run(book, scribe, code, text, observe, bad)
    if not bad:
        return None
    return Outcome(run, code, tuple(bad), f"stopped: {text}", bad[0].problem)


class Upgrade:
    """One run of one prepared upgrade, in the book from its beginning to its end."""

    def __init__(
        self,
        session: Session,
        book: Book,
        prepared: Prepared,
        observe: Observer,
        *,
        note: str = "",
        pace: Pace | None = None,
        until: Phase = Phase.INSTALL,
    ) -> None:
        """`until` stage or check ends it there, before anything that runs is touched."""
        self._session = session
        self._book = book
        self._prepared = prepared
        self._observe = observe
        self._note = note
        self._until = until
        self._scribe = Scribe(book, prepared.plan.run, observe)
        self._conductor = Conductor(
            prepared.plan, session.contacts, prepared.release, self._scribe, session.name, pace
        )

    @property
    def command(self) -> str:
        """What the history calls it."""
        return "upgrade" if self._until is Phase.INSTALL else self._until.value

    @property
    def begun(self) -> tuple[str, ...]:
        """The nodes on which an install was begun or taken up."""
        return self._conductor.begun

    async def carry_out(self) -> Outcome:
        """Do it; names that are no node are part of the outcome, and of its exit code.

        Raises:
            asyncio.CancelledError: It was interrupted here; nodes that were begun go on alone.
            Exception: Nobody expected it; the book says that it broke off.
        """
        made = self._prepared.plan
        start = about(
            self._session, made.run, self.command, self._note, self._prepared.release, made
        )
        begin_run(self._book, self._session, start)
        with always_ended(self._book, self._scribe, self._observe):
            there = orders_of(self._session)
            doing = self._conductor.run(self._until)
            result = await obeying(doing, there, self._conductor.orders, self._scribe)
        unknown = unknown_nodes(self._session)
        if unknown:
            nodes = (*result.nodes, *unknown)
            code = exit_of_upgrade(nodes, stopped=result.exit)
            result = replace(result, nodes=nodes, exit=code)
        result = replace(
            result,
            nodes=tuple(without_secrets(self._book, result.nodes)),
            problem=hidden(self._book, result.problem),
        )
        end_run(
            self._book,
            self._scribe,
            result.exit,
            result.text,
            self._observe,
            result.nodes,
            result.problem,
        )
        await notify(
            self._session, self._scribe, self.command, result.exit, result.text, result.nodes
        )
        return result


def _left_in_the_middle(session: Session, readings: Sequence[NodeReading]) -> list[str]:
    return [
        reading.name
        for reading in readings
        if reading.name in session.chosen
        and reading.facts is not None
        and reading.facts.state is NodeState.INCONSISTENT
    ]
