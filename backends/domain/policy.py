"""What the operator decided in advance: pace, limits, and what happens when nobody is there.

The defaults are the table of design.md, section 5.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from backends.domain.problem import Problem
from backends.domain.states import Outcome


class Pause(StrEnum):
    """When the run waits for a person between two nodes."""

    FIRST = "first"
    """Once: after the first node."""

    ALL = "all"
    NONE = "none"
    AFTER_ROLE = "after_role"


class Accept(StrEnum):
    """Who accepts a healthy node."""

    AUTO = "auto"
    """The engine, as soon as the health gate passes."""

    MANUAL = "manual"
    """A person."""


class Vanished(StrEnum):
    """What a node does when the accept window ends and nobody has accepted."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    KEEP_IF_HEALTHY = "keep_if_healthy"


class OnFailure(StrEnum):
    """What a node does when a hard check fails."""

    ROLLBACK = "rollback"
    HOLD = "hold"


class SecondLayer(StrEnum):
    """What brings the updater back after a power cut."""

    AUTO = "auto"
    """A systemd timer and boot unit, else cron, else nothing; which one is recorded."""

    NONE = "none"


@dataclass(frozen=True, slots=True)
class Skip:
    """A condition of a gate that does not keep it shut, because a person said so."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Every waiting time and every width of a run. Times are in seconds."""

    healthy_deadline_seconds: float = 300
    """After the start, until the node has to be healthy."""

    min_healthy_seconds: float = 30
    """So long without a failure, then it counts as healthy."""

    accept_window_seconds: float = 600
    """After the start, until the node decides by itself."""

    health_poll_seconds: float = 1
    max_restarts: int = 2
    """More than so many restarts in the trial are a failure."""

    max_flaps: int = 3
    """More than so many changes between healthy and failing are a failure."""

    connect_seconds: float = 10
    """Connection and login, also the new one over which a node is accepted."""

    node_request_seconds: float = 5
    operator_request_seconds: float = 10
    stop_seconds: float = 30
    """Until a stopped service has to be seen gone."""

    install_step_seconds: float = 600
    uploads: int = 8
    """Nodes that are sent to at once."""

    uploads_per_gateway: int = 8
    """Nodes behind one gateway that are sent to at once."""

    handshakes: int = 16
    """Logins at once."""

    handshakes_per_gateway: int = 8
    heart_beat_idle_seconds: float = 10
    heart_beat_upgrade_seconds: float = 1
    stale_beats: float = 2.5
    """So many heart beats missed, and what is on the screen is stale."""

    verify_every_seconds: float = 3600
    """From one time to the next at which a watch reads every byte of what runs; what differs in
    its inode, size or times is read within ten seconds."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How an upgrade proceeds, and what stops it."""

    batch: int = 1
    """Nodes that are installed at once."""

    pause: Pause = Pause.FIRST
    accept: Accept = Accept.AUTO
    if_operator_vanishes: Vanished = Vanished.ROLLBACK
    on_failure: OnFailure = OnFailure.ROLLBACK
    second_layer: SecondLayer = SecondLayer.AUTO
    downgrade: str = ""
    """Why an older version may be installed, where somebody said so; empty: it may not."""

    reinstall: str = ""
    """Why what is there already is to be installed again, where somebody said so."""

    skips: tuple[Skip, ...] = ()
    """Conditions of gates that are skipped by name; they are shown, and stay red."""

    limit_failed: int = 0
    """The run stops when so many nodes failed; 0 and 1 both mean: at the first."""

    limit_unreachable: int = 0
    limit_timed_out: int = 0
    limit_refused: int = 0
    reading_ttl_seconds: float = 60
    """An older reading blocks gates."""

    def stopped_by(self, counts: Mapping[Outcome, int]) -> Outcome | None:
        """The outcome whose limit is reached, so that no new node starts; None: go on.

        `counts` are the nodes of the whole run. Each outcome counts apart (design.md, section 6);
        a node that was undone has failed, and a single unproven one stops always.
        """
        if counts.get(Outcome.UNPROVEN, 0):
            return Outcome.UNPROVEN
        failed = counts.get(Outcome.FAILED, 0) + counts.get(Outcome.UNDONE, 0)
        for outcome, count, limit in (
            (Outcome.FAILED, failed, self.limit_failed),
            (Outcome.TIMED_OUT, counts.get(Outcome.TIMED_OUT, 0), self.limit_timed_out),
            (Outcome.UNREACHABLE, counts.get(Outcome.UNREACHABLE, 0), self.limit_unreachable),
            (Outcome.REFUSED, counts.get(Outcome.REFUSED, 0), self.limit_refused),
        ):
            if is_reached(limit, count):
                return outcome
        return None


def is_reached(limit: int, count: int) -> bool:
    """Whether so many stop the run: reached, not exceeded. The first one reaches a limit of 0."""
    return count >= max(1, limit)


def invariants(limits: Limits, policy: Policy) -> tuple[Problem, ...]:
    """What makes these numbers unusable for a plan; empty when they fit (design.md, section 5).

    node limit < operator limit, and connect + min healthy < healthy deadline < accept window:
    a node that is healthy and reachable must be acceptable before it decides by itself.
    """
    wrong = _out_of_range(limits, policy)
    if wrong:
        return wrong  # comparing them would only say the same again, less clearly
    found = []
    if limits.node_request_seconds >= limits.operator_request_seconds:
        found.append(
            Problem(
                code="node-limit-not-below-operator-limit",
                summary="A request must end on the node before the operator's side gives up.",
                evidence=f"node_request {limits.node_request_seconds:g} s, "
                f"operator_request {limits.operator_request_seconds:g} s",
                advice="Raise operator_request or lower node_request.",
            )
        )
    needed = limits.connect_seconds + limits.min_healthy_seconds
    if needed >= limits.healthy_deadline_seconds:
        found.append(
            Problem(
                code="healthy-deadline-too-short",
                summary="A healthy node could not be recognised before its deadline.",
                evidence=f"connect {limits.connect_seconds:g} s + min_healthy "
                f"{limits.min_healthy_seconds:g} s, healthy_deadline "
                f"{limits.healthy_deadline_seconds:g} s",
                advice=f"Set healthy_deadline above {needed:g} s.",
            )
        )
    if limits.healthy_deadline_seconds >= limits.accept_window_seconds:
        found.append(
            Problem(
                code="accept-window-too-short",
                summary="The node would decide by itself before its health is known.",
                evidence=f"healthy_deadline {limits.healthy_deadline_seconds:g} s, "
                f"accept_window {limits.accept_window_seconds:g} s",
                advice=f"Set accept_window above {limits.healthy_deadline_seconds:g} s.",
            )
        )
    return tuple(found)


MAY_BE_ZERO = frozenset({"max_restarts", "max_flaps"})
"""The numbers that may be 0, besides the limits of the stop rule."""


def _out_of_range(limits: Limits, policy: Policy) -> tuple[Problem, ...]:
    found = []
    for owner in (limits, policy):
        for field in fields(owner):
            value = getattr(owner, field.name)
            if not isinstance(value, int | float):
                continue
            may_be_zero = field.name in MAY_BE_ZERO or field.name.startswith("limit_")
            if math.isfinite(value) and (value > 0 or (may_be_zero and value == 0)):
                continue
            found.append(
                Problem(
                    code="limit-out-of-range",
                    summary=f"{field.name} cannot be {value:g}.",
                    advice="Use 0 or more." if may_be_zero else "Use a number above 0.",
                )
            )
    return tuple(found)
