"""The policy and limits that count: the cluster's `[policy]`, over the profile, over defaults."""

from typing import Any, Protocol

from backends.domain.policy import (
    Accept,
    Limits,
    OnFailure,
    Pause,
    Policy,
    SecondLayer,
    Vanished,
)
from backends.products.profile import Profile

_POLICY = {
    "batch": int,
    "pause": Pause,
    "accept": Accept,
    "if_operator_vanishes": Vanished,
    "on_failure": OnFailure,
    "second_layer": SecondLayer,
}

_STOP_RULE = {
    "max_failed": "limit_failed",
    "max_unreachable": "limit_unreachable",
    "max_timed_out": "limit_timed_out",
    "max_refused": "limit_refused",
}

_LIMITS = {
    "accept_window": "accept_window_seconds",
    "min_healthy": "min_healthy_seconds",
    "healthy_deadline": "healthy_deadline_seconds",
    "health_poll": "health_poll_seconds",
    "connect": "connect_seconds",
    "node_request": "node_request_seconds",
    "operator_request": "operator_request_seconds",
    "stop_timeout": "stop_seconds",
    "install_step": "install_step_seconds",
    "verify_every": "verify_every_seconds",
    "max_restarts": "max_restarts",
    "max_flaps": "max_flaps",
    "uploads": "uploads",
    "handshakes": "handshakes",
    "handshakes_per_gateway": "handshakes_per_gateway",
}
"""Keys of `[policy]`, some also of a profile's `[limits]`, and what they are called inside."""

_SERVICE = {"stop_timeout": "stop_seconds", "request_timeout": "node_request_seconds"}
"""Keys of a profile's `[service]` that are limits."""


class HasPolicy(Protocol):
    """What holds a `[policy]` as written; `backends.settings.cluster.Cluster` does."""

    @property
    def policy(self) -> object: ...


def effective_policy(cluster: HasPolicy, profile: Profile) -> tuple[Policy, Limits]:
    """What counts for this product on this cluster.

    Whether the numbers fit together is not judged here, but by `policy.invariants` when a plan
    is made: also a cluster with unusable limits can be looked at.
    """
    written = cluster.policy
    policy: dict[str, Any] = {
        key: kind(value)
        for key, kind in _POLICY.items()
        if (value := getattr(written, key)) is not None
    }
    policy |= _stated(written, _STOP_RULE)
    limits = _stated(profile.service, _SERVICE)
    limits |= _stated(profile.limits, _LIMITS)
    limits |= _stated(written, _LIMITS)
    return Policy(**policy), Limits(**limits)


def _stated(table: object, names: dict[str, str]) -> dict[str, Any]:
    """The values that a table states, under their inner names."""
    return {
        inner: value
        for key, inner in names.items()
        if (value := getattr(table, key, None)) is not None
    }
