"""From what was read to what will be done: a plan, which is a value and touches nothing."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

from backends.domain.cluster_health import ClusterCheck
from backends.domain.facts import (
    Finalized,
    NodeFacts,
    NodeReading,
    OpenTransaction,
    is_value,
)
from backends.domain.gates import Target
from backends.domain.minimum import Minimum, simulated
from backends.domain.no_return import NAME as NO_RETURN
from backends.domain.no_return import NoReturn
from backends.domain.plan import (
    Batch,
    NodePlan,
    Plan,
    Step,
    Treatment,
    batches,
    identified,
    leaders_last,
    order_nodes,
)
from backends.domain.policy import Limits, Policy, invariants
from backends.domain.problem import Exit, LiftlockError
from backends.domain.staging import PUSHED, How, Staging
from backends.domain.states import NodeState, Phase
from backends.domain.versions import Ordering
from backends.engine import service_words
from backends.engine.answer import Subject
from backends.engine.switching import switch_of
from backends.releases.read import Release

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def new_run(today: date, is_taken: Callable[[str], bool]) -> str:
    """A run id: date and random letters, e.g. `1120-k7f` (design.md, section 6)."""
    while True:
        run = f"{today:%m%d}-" + "".join(secrets.choice(_LETTERS) for _ in range(3))
        if not is_taken(run):
            return run


def open_run(readings: Sequence[NodeReading], release: Release) -> str | None:
    """The run that already works towards this release on some node: it is taken up again."""
    for reading in readings:
        transaction = reading.facts.transaction if reading.facts and reading.read else None
        if transaction is not None and _goes_to(transaction, release):
            return transaction.run
    return None


def _goes_to(transaction: OpenTransaction, release: Release) -> bool:
    """Whether it is the same version and the same content; one without the other is not."""
    target = (transaction.to_version, transaction.to_digest)
    return target == (release.manifest.version, release.digest)


def make_plan(
    *,
    run: str,
    cluster: str,
    called: str,
    product: str,
    roles: Sequence[str],
    subjects: Mapping[str, Subject],
    readings: Sequence[NodeReading],
    release: Release,
    updater: str,
    policy: Policy,
    limits: Limits,
    ordering: Ordering,
    staging: Staging = PUSHED,
    minimums: Sequence[Minimum] = (),
    cluster_checks: Sequence[ClusterCheck] = (),
    no_return: NoReturn | None = None,
) -> Plan:
    """The plan to bring every selected node to a release.

    `called` is what an operator types to mean this cluster.

    Raises:
        LiftlockError: The policy's numbers do not fit together (exit 2).
    """
    wrong = invariants(limits, policy)
    if wrong:
        raise LiftlockError(wrong[0], Exit.USAGE)
    by_name = {reading.name: reading for reading in readings}
    order = order_nodes(
        [(name, subject.role, subject.canary) for name, subject in subjects.items()], roles
    )
    if policy.reinstall:  # what is sick first: those that serve wait until it serves again
        order = tuple(sorted(order, key=lambda name: _serves(by_name[name])))
    manifest = release.manifest
    notes = [f"does not come back on roll back: {text}" for text in manifest.irreversible]
    notes += [
        f"configuration {each.path}: {len(each.content)} bytes from {each.url}, "
        f"sha256 {each.sha256[:12]}; signed by nobody{', unprotected' * each.is_unprotected}"
        for each in release.fetched
    ]
    notes += [f"SKIPPED by name: {skip.name}: {skip.reason}" for skip in policy.skips]
    planned = tuple(
        _node_plan(subjects[name], by_name[name], release, limits, policy, staging, called)
        for name in order
    )
    if no_return is not None:
        notes.append(f"the run waits before the {NO_RETURN} ({no_return.when}): {no_return.text}")
    leading = [item.node for item in planned if item.leads]
    planned = tuple(leaders_last(planned, leading))
    notes += [f"{name} leads: it comes last of its role" for name in leading]
    return identified(
        Plan(
            id="",
            run=run,
            cluster=cluster,
            product=product,
            release_version=manifest.version,
            release_digest=release.digest,
            provenance=release.provenance,
            ordering=ordering,
            staging=staging,
            updater_digest=updater,
            policy=policy,
            limits=limits,
            nodes=planned,
            notes=tuple(notes),
            minimums=tuple(minimums),
            cluster_checks=tuple(cluster_checks),
            no_return=no_return,
            batches=tuple(_batches(planned, readings, policy, minimums)),
        )
    )


def _batches(
    planned: Sequence[NodePlan],
    readings: Sequence[NodeReading],
    policy: Policy,
    minimums: Sequence[Minimum],
) -> Iterator[Batch]:
    """Who is changed at once, and what goes on serving meanwhile."""
    fresh = [item for item in planned if item.treatment is Treatment.INSTALL]
    names = [tuple(item.node for item in items) for items in batches(fresh, policy)]
    roles = {each.name: each.role for each in readings if each.left_out is None}
    serving = {each.name for each in readings if each.left_out is None and _serves(each)}
    rests = simulated(minimums, roles, serving, names)
    return (Batch(nodes, rest) for nodes, rest in zip(names, rests, strict=True))


def _serves(reading: NodeReading) -> bool:
    return reading.read and reading.facts is not None and reading.facts.serves


def _node_plan(
    subject: Subject,
    reading: NodeReading,
    release: Release,
    limits: Limits,
    policy: Policy,
    staging: Staging,
    called: str,
) -> NodePlan:
    version = release.manifest.version
    facts = reading.facts if reading.read else None
    selected = facts.selected if facts else None
    source = selected if is_value(selected) else None
    treatment, reason = _treatment(reading, facts, release, policy.reinstall)
    transaction = facts.transaction if facts else None
    if treatment is Treatment.RESUME and transaction is not None:
        source = transaction.from_version
    acting = facts is not None and treatment in (Treatment.INSTALL, Treatment.RESUME)
    return NodePlan(
        node=subject.node,
        role=subject.role,
        from_version=source,
        to_version=version,
        treatment=treatment,
        reason=reason,
        steps=_steps(subject, source, release, limits, staging, called) if acting else (),
        canary=subject.canary,
        leads=facts.leads if facts is not None and isinstance(facts.leads, bool) else None,
    )


def _treatment(
    reading: NodeReading, facts: NodeFacts | None, release: Release, reinstall: str
) -> tuple[Treatment, str]:
    if reading.left_out is not None:
        return Treatment.EXCLUDED, reading.left_out
    if facts is None:
        return Treatment.INSTALL, "not read"
    final = facts.finalized
    same_final = isinstance(final, Finalized) and (final.version, final.digest) == (
        release.manifest.version,
        release.digest,
    )
    transaction = facts.transaction
    if transaction is not None and _goes_to(transaction, release):
        if facts.state is NodeState.ACCEPTED:
            return Treatment.ACCEPTED, f"accepted in run {transaction.run}"
        return Treatment.RESUME, f"{facts.state} in run {transaction.run}"
    if isinstance(final, Finalized) and same_final and facts.selected == final.version:
        if reinstall:
            return Treatment.INSTALL, f"again: {reinstall}"
        return Treatment.ALREADY, f"{final.version} is finalized there, run {final.run}"
    is_configured = isinstance(final, Finalized) and final.is_same_release(
        release.manifest.version, release.packaged
    )
    if is_configured and not same_final and transaction is None:
        return Treatment.INSTALL, "other configuration"
    return Treatment.INSTALL, ""


def _steps(
    subject: Subject,
    source: str | None,
    release: Release,
    limits: Limits,
    staging: Staging,
    called: str,
) -> tuple[Step, ...]:
    node, version = subject.node, release.manifest.version

    def order(verb: str, of: str | None) -> str:
        return service_words.command(subject.document, verb, of)

    def hooks(when: str, of: str | None) -> tuple[list[str], list[str]]:
        return service_words.hooks(subject.document, when, of)

    stop, start_old = [], []
    if source:
        before, before_back = hooks("before_stop", source)
        after, after_back = hooks("after_stop", source)
        moving = service_words.leadership(subject.document)
        stopping = f"{order('stop', source)}  (up to {limits.stop_seconds:g} s)"
        copied = service_words.data(subject.document)
        stop = [*moving, *before, stopping, *copied, *after]
        start_old = [*after_back, order("start", source), *before_back]
    before_start, before_start_back = hooks("before_start", version)
    after_start, after_start_back = hooks("after_start", version)
    defined, defined_back = service_words.definition(subject.document, source)
    window = (
        f"{limits.min_healthy_seconds:g} s healthy within {limits.healthy_deadline_seconds:g} s"
    )
    switch = switch_of(subject.document, source, version)
    return (
        Step(
            node,
            Phase.STAGE,
            _staged_how(node, release, staging),
            (f"build {switch.staged}",),
            (f"remove it: liftlock clean {called} --staged",),
            "stage",
            ("preflight on every node", "the gate before the upgrade"),
        ),
        Step(
            node,
            Phase.CHECK,
            "verify signature and staged files, rehearse the way back",
            tuple(_asked(subject)),
            command="check",
            requires=("stage on every node",),
        ),
        Step(
            node,
            Phase.INSTALL,
            f"{source or 'nothing'} -> {version}",
            (
                "take the node's lock, write before-images and backups ahead",
                *stop,
                *switch.forward,
                *defined,
                "read it again: it must equal the release",
                *before_start,
                order("start", version),
                *after_start,
            ),
            (
                *after_start_back,
                order("stop", version),
                *before_start_back,
                *defined_back,
                *switch.back,
                "prove every path against its before-image",
                *start_old,
            ),
            "install",
            ("check on every node", f"the gate before {node}"),
            limits.install_step_seconds,
        ),
        Step(
            node,
            Phase.MONITOR,
            f"{window}, then accept; unless accepted, {node} goes back by itself after "
            f"{limits.accept_window_seconds:g} s",
            tuple(_health(subject)),
            command="accept",
            requires=(f"install on {node}",),
            at_most_seconds=limits.accept_window_seconds,
        ),
    )


def _staged_how(node: str, release: Release, staging: Staging) -> str:
    manifest = release.manifest
    whence = staging.source(manifest.name, manifest.version)
    how_much = f"{manifest.total_bytes} bytes, {len(manifest.files)} paths"
    if staging.how is How.PUSH and staging.fresh:
        return f"send all of {how_much} to {node}, whatever it has"
    if staging.how is How.PUSH:
        return f"send what {node} lacks of {how_much}"
    if staging.how is How.PULL:
        return f"{node} gets {whence}, {how_much}"
    return f"{node} takes {whence}, which lies there: {how_much}"


def _asked(subject: Subject) -> list[str]:
    """Who else is asked before the switch: the product itself, and checks of the operator's."""
    check = subject.document.get("check")
    if not isinstance(check, dict):
        return []
    parse = [f"ask the product: {' '.join(check['parse'])}"] if check["parse"] else []
    own = [f"run the checks in {check['directory']}"] if check["directory"] else []
    return parse + own


def _health(subject: Subject) -> list[str]:
    checks = subject.document["health"]
    if not isinstance(checks, list):
        return []
    return [f"health {check['name']} ({check['kind']}, {check['level']})" for check in checks]


def target_of(plan: Plan, release: Release, now: str) -> Target:
    """What the gates of a plan ask about; `now` as in `Target`."""
    allowed = release.manifest.from_
    return Target(
        run=plan.run,
        version=plan.release_version,
        digest=plan.release_digest,
        packaged=release.packaged,
        from_versions=None if allowed == "*" else tuple(allowed),
        ordering=plan.ordering,
        downgrade=plan.policy.downgrade,
        reinstall=plan.policy.reinstall,
        again=frozenset(item.node for item in plan.nodes if item.again and plan.policy.reinstall),
        nodes=frozenset(item.node for item in plan.nodes if item.treatment is Treatment.INSTALL),
        expires=release.manifest.expires or "",
        now=now,
        ttl_seconds=plan.policy.reading_ttl_seconds,
        batch=plan.policy.batch,
        turns=tuple(batch.nodes for batch in plan.batches),
        minimums=plan.minimums,
        skips=plan.policy.skips,
        patience_seconds=plan.limits.healthy_deadline_seconds,
    )
