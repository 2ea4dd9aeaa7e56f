"""The policy and limits that count: the cluster's `[policy]`, over the profile, over defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
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

_POLICY: dict[str, Any] = {
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
    "uploads_per_gateway": "uploads_per_gateway",
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


@dataclass(frozen=True, slots=True)
class Said:
    """A value of the policy or the limits, and who says it."""

    table: str
    """`policy` of the cluster file; `limits` or `service` of the profile."""

    key: str
    value: Any


def effective_policy(cluster: HasPolicy, profile: Profile) -> tuple[Policy, Limits]:
    """What counts for this product on this cluster.

    Whether the numbers fit together is not judged here, but by `policy.invariants` when a plan
    is made: also a cluster with unusable limits can be looked at.
    """
    policy, limits = said(cluster, profile)
    return (
        Policy(**{inner: each.value for inner, each in policy.items()}),
        Limits(**{inner: each.value for inner, each in limits.items()}),
    )


def said(cluster: HasPolicy, profile: Profile) -> tuple[dict[str, Said], dict[str, Said]]:
    """Who says what of the policy and of the limits, by inner name; the rest is default."""
    written = cluster.policy
    policy = {
        key: replace(each, value=_POLICY[key](each.value))
        for key, each in _stated("policy", written, {key: key for key in _POLICY}).items()
    }
    policy |= _stated("policy", written, _STOP_RULE)
    limits = _stated("service", profile.service, _SERVICE)
    limits |= _stated("limits", profile.limits, _LIMITS)
    limits |= _stated("policy", written, _LIMITS)
    return policy, limits


def keys() -> dict[str, str]:
    """Inner name -> key of `[policy]`; what no file can say is not in it."""
    outer = {key: key for key in _POLICY} | _STOP_RULE | _LIMITS
    return {inner: key for key, inner in outer.items()}


def defaults() -> dict[tuple[str, str], Any]:
    """(table, key) -> what counts where no file says anything."""
    known = {**vars_of(Policy()), **vars_of(Limits())}
    found = {("policy", key): known[inner] for inner, key in keys().items()}
    found |= {("service", key): known[inner] for key, inner in _SERVICE.items()}
    found |= {("limits", key): known[inner] for key, inner in _LIMITS.items()}
    return found


def vars_of(owner: Policy | Limits) -> dict[str, Any]:
    """All values, by inner name."""
    return {each.name: getattr(owner, each.name) for each in fields(owner)}


def _stated(table: str, owner: object, names: Mapping[str, str]) -> dict[str, Said]:
    """The values that a table states, under their inner names."""
    return {
        inner: Said(table, key, value)
        for key, inner in names.items()
        if (value := getattr(owner, key, None)) is not None
    }
