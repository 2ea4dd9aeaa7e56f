"""What the updater says about a node, turned into cleaned, immutable facts.

The border: bytes came in through the wire, and nothing that leaves here can drive a terminal.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backends.domain.clean import clean, line
from backends.domain.facts import (
    Fact,
    Finalized,
    NodeFacts,
    OpenTransaction,
    Unknown,
    VersionRef,
)
from backends.domain.problem import Problem
from backends.domain.states import HealthState, NodeState, Phase, ServiceState

_PHASES: Mapping[str, Phase] = {
    "installing": Phase.INSTALL,
    "monitoring": Phase.MONITOR,
    "held": Phase.MONITOR,
    "accepted": Phase.MONITOR,
    "rolling_back": Phase.ROLLBACK,
    "finalizing": Phase.FINALIZE,
}


def node_facts(node: str, message: Mapping[str, Any]) -> NodeFacts:
    """The facts in a `facts` message.

    Raises:
        KeyError, TypeError, ValueError: It is no `facts` message of this protocol.
    """
    finalized = message["finalized"]
    return NodeFacts(
        node=node,
        product=line(message["product"]),
        state=NodeState(message["state"]),
        running=_fact(message["running"]),
        selected=_fact(message["selected"]),
        staged=tuple(line(version) for version in message["staged"]),
        previous=_version(message["previous"]),
        finalized=_unknown(finalized)
        if _is_unknown(finalized)
        else None
        if finalized is None
        else Finalized(
            line(finalized["version"]),
            line(finalized["run"] or ""),
            line(finalized["digest"] or ""),
        ),
        boot_id=_fact(message["boot_id"]),
        start_id=_fact(message["start_id"]),
        pid=message["pid"],
        service=ServiceState(message["service"]),
        service_text=clean(message["service_text"]),
        health=HealthState(message["health"]),
        health_text=line(message["health_text"]),
        transaction=_transaction(message["state"], message["transaction"]),
        problem=problem(message["problem"]),
        note=line(message["note"]),
        **_last(message["last"]),
    )


def problem(message: Mapping[str, Any] | None) -> Problem | None:
    """A problem as it came over the wire."""
    if message is None:
        return None
    return Problem(
        code=line(message["code"]),
        summary=line(message["summary"]),
        evidence=clean(message["evidence"]),
        advice=line(message["advice"]),
    )


def utc(seconds: float) -> str:
    """A moment as text, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _transaction(state: str, message: Mapping[str, Any] | None) -> OpenTransaction | None:
    if message is None:
        return None
    source = message["from"]
    return OpenTransaction(
        run=line(message["run"]),
        txn=line(message["txn"]),
        phase=_PHASES.get(state, Phase.INSTALL),
        to_version=line(message["to"]["version"]),
        from_version=line(source["version"]) if source else None,
        operator=line(message["operator"]),
        since=utc(message["since"]),
        driver_alive=bool(message["driver"]),
        decides_at_seconds=message["seconds_left"],
        then=line(message["then"]),
        to_digest=line(message["to"]["digest"]),
        healthy=bool(message["healthy"]),
        decision=line(message["decision"] or ""),
    )


def _last(message: Mapping[str, Any] | None) -> dict[str, str]:
    if message is None:
        return {}
    return {f"last_{name}": line(message[name]) for name in ("txn", "run", "outcome")}


def _fact(value: Any) -> Fact:
    if _is_unknown(value):
        return _unknown(value)
    return None if value is None else line(str(value))


def _version(value: Any) -> VersionRef | Unknown | None:
    if _is_unknown(value):
        return _unknown(value)
    if value is None:
        return None
    return VersionRef(line(value["version"]), line(value["digest"]), line(value["path"]))


def _is_unknown(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"unknown"}


def _unknown(value: Mapping[str, Any]) -> Unknown:
    return Unknown(line(str(value["unknown"])))
