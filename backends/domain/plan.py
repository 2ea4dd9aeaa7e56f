"""A plan: what will be done, on which node, in which order, and how each step is undone.

A value that can be reviewed, compared and stored (design.md, sections 2 and 6). It is made by
the planner and driven by the conductor; nothing in here acts.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from backends.domain.cluster_health import ClusterCheck
from backends.domain.minimum import Left, Minimum
from backends.domain.no_return import NoReturn
from backends.domain.policy import Limits, Pause, Policy
from backends.domain.provenance import NOBODY, Provenance
from backends.domain.staging import PUSHED, Staging
from backends.domain.states import Phase
from backends.domain.versions import AS_DEBIAN, Ordering

ID_LENGTH = 12
"""Hexadecimal digits of a plan's id."""


IRREVERSIBLE = "does not come back on roll back: "
"""How a note of a plan begins that says what of the release cannot be undone."""


class Treatment(StrEnum):
    """What the plan does with a node."""

    INSTALL = "install"
    ALREADY = "already"
    """The same content is final there: verified and left alone."""

    ACCEPTED = "accepted"
    """This run has brought it there before: verified and left alone, still reversible."""

    EXCLUDED = "excluded"
    RESUME = "resume"
    """An interrupted step of the same plan goes on."""


ACTING = (Treatment.INSTALL, Treatment.RESUME)
"""The plan changes these nodes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One phase on one node."""

    node: str
    phase: Phase
    title: str
    actions: tuple[str, ...] = ()
    """Exactly what it will do, one line each, in order."""

    undo: tuple[str, ...] = ()
    """What takes it back, in the order in which it happens."""

    command: str = ""
    """The command on the node. Without the run, which is no part of a plan's id."""

    requires: tuple[str, ...] = ()
    """What has to be done, or to hold, before it is begun."""

    at_most_seconds: float | None = None
    """How long it may take before it is given up, and undone where it has changed something."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What the plan does with one node."""

    node: str
    role: str
    from_version: str | None
    """None: a first install, from nothing."""

    to_version: str
    treatment: Treatment
    reason: str = ""
    """Why this treatment, in words."""

    steps: tuple[Step, ...] = ()
    canary: bool = False
    """It is changed before all others, and beside none of them."""

    leads: bool | None = None
    """Whether its product leads the others; None: the profile does not ask, or it was not said."""

    @property
    def again(self) -> bool:
        """Whether the version that is there is installed once more, whatever for."""
        return self.treatment is Treatment.INSTALL and self.from_version == self.to_version


@dataclass(frozen=True, slots=True)
class Batch:
    """Nodes that are changed at once, and what goes on serving meanwhile."""

    nodes: tuple[str, ...]
    left: tuple[Left, ...] = ()
    """Of each role that it takes something from, and of the whole cluster; as it was read when
    the plan was made, and if every batch before it came up again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that was decided before the first node is touched."""

    id: str
    """Says what is in it: `plan_id`. The same plan resumes, another one is refused."""

    run: str
    """The run that executes it."""

    cluster: str
    product: str
    release_version: str
    release_digest: str
    """sha256 of the release, hexadecimal."""

    updater_digest: str
    """sha256 of the updater, hexadecimal: what it was reviewed with is what runs."""

    policy: Policy
    nodes: tuple[NodePlan, ...]
    """In the order in which they are installed."""

    notes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    provenance: Provenance = NOBODY
    """Who vouches for the release."""

    ordering: Ordering = AS_DEBIAN
    """How the product's versions order, and which step from one to another is allowed."""

    staging: Staging = PUSHED
    """How the release comes to the nodes."""

    minimums: tuple[Minimum, ...] = ()
    """How many nodes must go on serving, as the profile says."""

    cluster_checks: tuple[ClusterCheck, ...] = ()
    """What has to hold of the whole cluster at every gate."""

    no_return: NoReturn | None = None
    """From where on it cannot be taken back; the run waits for a person before it."""

    batches: tuple[Batch, ...] = ()
    """What each batch takes away, in their order."""


def plan_id(plan: Plan) -> str:
    """The id that follows from what is in the plan, apart from its `id` and its `run`.

    The first 12 hexadecimal digits of the sha256 of its canonical JSON. Numbers that are equal
    are the same: 30 and 30.0 seconds give one id.

    Raises:
        ValueError: A number is not finite; `policy.invariants` says which.
    """
    content = asdict(plan)
    del content["id"], content["run"]
    text = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:ID_LENGTH]


def identified(plan: Plan) -> Plan:
    """The plan with the id that follows from what is in it.

    Raises:
        ValueError: A number is not finite.
    """
    return replace(plan, id=plan_id(plan))


def leaders_last(items: Sequence[NodePlan], leading: Collection[str]) -> list[NodePlan]:
    """The same nodes, in which who leads comes last of its role; else their order is kept.

    Between two of one role nothing of another role is expected to stand; where it does (a canary),
    a leader still comes after all of its role.
    """
    places = {item.role: place for place, item in enumerate(items)}
    """Where the last of a role stands."""

    def place(numbered: tuple[int, NodePlan]) -> tuple[int, int]:
        number, item = numbered
        return (places[item.role], 1) if item.node in leading else (number, 0)

    return [item for _, item in sorted(enumerate(items), key=place)]


def order_nodes(
    nodes: Sequence[tuple[str, str, bool]], role_order: Sequence[str] = ()
) -> tuple[str, ...]:
    """The names of the nodes in the order in which they are installed (design.md, section 6).

    `nodes` are name, role and whether it is a canary, as the cluster file lists them. Canaries
    come first, then the roles in the profile's order; a role that the profile does not name
    comes after those it names, in the order of the cluster file. Otherwise that order is kept.
    """
    ranks = {role: rank for rank, role in reversed(list(enumerate(role_order)))}
    for _, role, _ in nodes:
        ranks.setdefault(role, len(role_order) + len(ranks))
    ordered = sorted(nodes, key=lambda node: (not node[2], ranks[node[1]]))
    return tuple(name for name, _, _ in ordered)


def batches(items: Sequence[NodePlan], policy: Policy) -> list[list[NodePlan]]:
    """The nodes in the groups that are installed at once: at most `policy.batch` in each.

    With a pause after each role a group is of one role; canaries are in no group with others.
    Nor are nodes that are taken up again: they are changing already, and must not wait for a
    person.
    """
    found: list[list[NodePlan]] = []
    for item in items:
        last = found[-1] if found else []
        fits = (
            0 < len(last) < policy.batch
            and last[0].treatment is item.treatment
            and last[0].canary is item.canary
            and (policy.pause is not Pause.AFTER_ROLE or last[0].role == item.role)
        )
        if fits:
            last.append(item)
        else:
            found.append([item])
    return found


def changing(plan: Plan) -> tuple[NodePlan, ...]:
    """The nodes that are taken up before anything else: the accept window of each is running."""
    return tuple(item for item in plan.nodes if item.treatment is Treatment.RESUME)


def in_turn(plan: Plan) -> tuple[NodePlan, ...]:
    """The nodes that the plan changes, in the order in which it is their turn.

    Those that are changing already come first, wherever they stand in the plan.
    """
    fresh = (item for item in plan.nodes if item.treatment is Treatment.INSTALL)
    return (*changing(plan), *fresh)


def paused(
    pause: Pause,
    done: Sequence[NodePlan],
    following: Sequence[NodePlan],
    accepted: Collection[str],
) -> str:
    """Why a person is waited for between `done` and the `following` nodes, or "".

    `done` are those whose turn was last. `accepted` are all that this run has brought to accepted,
    also before it was taken up again: after the first of them is a pause, and only once.
    """
    names = [item.node for item in done]
    waits = bool(done) and (
        pause is Pause.ALL
        or (pause is Pause.FIRST and bool(accepted) and set(accepted) <= set(names))
        or (pause is Pause.AFTER_ROLE and done[-1].role != following[0].role)
    )
    return f"paused after {', '.join(names)} ({pause.value})" if waits else ""


def stored(plan: Plan) -> dict[str, object]:
    """What every node keeps as `run.json`: enough to resume from any workstation."""
    content = asdict(plan)
    return {
        "schema": "liftlock.run/1",
        "run": plan.run,
        "plan_id": plan.id,
        "cluster": plan.cluster,
        "version": plan.release_version,
        "digest": plan.release_digest,
        "provenance": str(plan.provenance),
        "policy": content["policy"],
        "limits": content["limits"],
        "nodes": [item.node for item in plan.nodes],
        "irreversible": [
            note.removeprefix(IRREVERSIBLE) for note in plan.notes if note.startswith(IRREVERSIBLE)
        ],
    }


def _canonical(value: object) -> object:
    """The value, with numbers that are equal written the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value
