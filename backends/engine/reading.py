"""What the updater says about a node, turned into cleaned, immutable facts.

The border: bytes came in through the wire, and nothing that leaves here can drive a terminal, or
be a number that no clock can show.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backends.domain.clean import clean, line
from backends.domain.drift import Drift
from backends.domain.facts import (
    Fact,
    Finalized,
    NodeFacts,
    OpenTransaction,
    Stage,
    Unknown,
    VersionRef,
)
from backends.domain.problem import Problem
from backends.domain.states import HealthState, NodeState, Phase, ServiceState

LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""Seconds since 1970: there is a date for it in every zone. No clock is that wrong."""

_LONGEST_SECONDS = 10 * 366 * 86_400.0
"""No accept window is longer, however often it was extended."""

_LAST_PID = 2**31 - 1

_MOST_BYTES = float(2**53)

NO_SENSE = (KeyError, TypeError, ValueError, OverflowError)
"""What taking a message apart raises when a node says something else than was asked."""

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
        KeyError, TypeError, ValueError: It is no `facts` message of this protocol, or has a
            number in it that makes no sense.
    """
    finalized = message["finalized"]
    return NodeFacts(
        node=node,
        product=line(message["product"]),
        state=NodeState(message["state"]),
        running=_fact(message["running"]),
        selected=_fact(message["selected"]),
        staged=tuple(line(version) for version in _list(message["staged"])),
        stages=tuple(_stage(each) for each in _list(message["stages"])),
        partial_bytes=int(number(message.get("partial", 0), 0, _MOST_BYTES)),
        unsigned=tuple(line(version) for version in _list(message["unsigned"])),
        previous=_version(message["previous"]),
        finalized=_unknown(finalized)
        if _is_unknown(finalized)
        else None
        if finalized is None
        else Finalized(
            line(finalized["version"]),
            line(finalized["run"] or ""),
            line(finalized["digest"] or ""),
            line(finalized.get("packaged") or ""),
        ),
        boot_id=_fact(message["boot_id"]),
        start_id=_fact(message["start_id"]),
        pid=_pid(message["pid"]),
        service=ServiceState(message["service"]),
        service_text=clean(message["service_text"]),
        health=HealthState(message["health"]),
        health_text=line(message["health_text"]),
        leads=_leads(message["leads"]),
        drift=_drift(message["drift"]),
        transaction=_transaction(message["state"], message["transaction"]),
        problem=problem(message["problem"]),
        note=line(message["note"]),
        **_last(message["last"]),
    )


def _drift(message: Mapping[str, Any] | None) -> Drift | Unknown | None:
    if message is None:
        return None
    if _is_unknown(message):
        return _unknown(message)
    return Drift(
        version=line(message["version"]),
        files=int(number(message["files"], 0, _MOST_BYTES)),
        changed=tuple(line(path) for path in _list(message["changed"])),
        missing=tuple(line(path) for path in _list(message["missing"])),
        count=int(number(message["count"], 0, _MOST_BYTES)),
        read=utc(message["read"]),
    )


def _stage(message: Mapping[str, Any]) -> Stage:
    since = message["since"]
    return Stage(
        version=line(message["version"]),
        since="" if since is None else utc(since),
        checked=message["checked"] is True,
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


def recovery(message: Mapping[str, Any]) -> str:
    """What a node says about bringing itself to rest, in words; "" when it says something else."""
    if message["t"] == "recovering":
        last = line(str(message.get("last", "where is not known")))
        return f"was left in the middle ({last}); brings itself to rest"
    if message["t"] == "recovered":
        state = line(str(message.get("state", NodeState.UNKNOWN)))
        return f"is now {state.replace('_', ' ')}"
    return ""


def utc(seconds: object) -> str:
    """A moment, in seconds since 1970, as text, UTC.

    Raises:
        ValueError: It is no moment of any clock.
    """
    seconds = number(seconds, 0, LAST_MOMENT)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(value: object, least: float, most: float) -> float:
    """A number that lies between two others.

    Raises:
        ValueError: It is none, or not finite, or lies elsewhere.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ValueError(f"{str(value)[:80]!r} is no number from {least:g} to {most:g}")


def in_words(fact: Fact) -> str:
    """A version for a sentence, whatever was read."""
    if isinstance(fact, Unknown):
        return f"an unknown version: {fact.reason}"
    return fact or "nothing"


def back_in_words(facts: NodeFacts) -> str:
    """What is said of a node that went back. What cannot be read is not called proven."""
    proven = "" if isinstance(facts.selected, Unknown) else ", proven"
    return f"is back on {in_words(facts.selected)}{proven}"


def _transaction(state: str, message: Mapping[str, Any] | None) -> OpenTransaction | None:
    if message is None:
        return None
    source, left = message["from"], message["seconds_left"]
    if left is not None:
        left = number(left, -_LONGEST_SECONDS, _LONGEST_SECONDS)
    return OpenTransaction(
        run=line(message["run"]),
        txn=line(message["txn"]),
        phase=_PHASES.get(state, Phase.INSTALL),
        to_version=line(message["to"]["version"]),
        from_version=line(source["version"]) if source else None,
        operator=line(message["operator"]),
        since=utc(message["since"]),
        driver_alive=_bool(message["driver"]),
        decides_at_seconds=left,
        then=line(message["then"]),
        to_digest=line(message["to"]["digest"]),
        to_packaged=line(message["to"].get("packaged") or ""),
        healthy=_bool(message["healthy"]),
        decision=line(message["decision"] or ""),
        layer=line(message["layer"]),
        beside=tuple(line(path) for path in _list(message["beside"])),
        **_data(message["data"]),
    )


def _data(message: Mapping[str, Any] | None) -> dict[str, Any]:
    if message is None:
        return {}
    return {
        "data": tuple(line(path) for path in _list(message["directories"])),
        "data_since": utc(message["since"]),
        "data_bytes": int(number(message["bytes"], 0, _MOST_BYTES)),
    }


def _last(message: Mapping[str, Any] | None) -> dict[str, str]:
    if message is None:
        return {}
    return {f"last_{name}": line(message[name]) for name in ("txn", "run", "outcome")}


def _fact(value: Any) -> Fact:
    if _is_unknown(value):
        return _unknown(value)
    return None if value is None else line(str(value))


def _leads(value: Any) -> bool | Unknown | None:
    if _is_unknown(value):
        return _unknown(value)
    return None if value is None else bool(value)


def _version(value: Any) -> VersionRef | Unknown | None:
    if _is_unknown(value):
        return _unknown(value)
    if value is None:
        return None
    return VersionRef(line(value["version"]), line(value["digest"]), line(value["path"]))


def _pid(value: object) -> int | None:
    return None if value is None else int(number(value, 1, _LAST_PID))


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{str(value)[:80]!r} is neither true nor false")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{str(value)[:80]!r} is no list")
    return list(value)


def _is_unknown(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"unknown"}


def _unknown(value: Mapping[str, Any]) -> Unknown:
    return Unknown(line(str(value["unknown"])))
