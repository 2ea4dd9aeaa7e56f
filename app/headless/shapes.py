"""The JSON that scripts read: `liftlock.status/1`, `liftlock.event/1`, `liftlock.outcome/1`.

Fields may be added, never changed; `app/schemas` has the schemas, and tests hold them together.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.history.exits import word_of
from backends.domain.conflicts import Conflict, Difference
from backends.domain.drift import Drift
from backends.domain.facts import (
    Fact,
    Finalized,
    NodeFacts,
    NodeReading,
    OpenTransaction,
    Unknown,
    VersionRef,
)
from backends.domain.finality import Finality, IsFinal
from backends.domain.problem import Problem
from backends.domain.states import NodeState
from backends.domain.verdict import Verdict
from backends.engine.events import Event
from backends.engine.reading import LAST_MOMENT
from backends.engine.results import NodeResult, Outcome
from backends.store.book import Run


def status(
    cluster: str, product: str, now: float, readings: Sequence[NodeReading], verdict: Verdict
) -> dict[str, object]:
    """The whole answer of `status --json`."""
    return {
        "schema": "liftlock.status/1",
        "cluster": cluster,
        "product": product,
        "time": moment(now),
        "run": _run(readings, verdict),
        "verdict": {
            "kind": verdict.kind.value,
            "cause": verdict.cause,
            "from": fact(verdict.from_version),
            "to": fact(verdict.to_version),
            "reconfigures": verdict.reconfigures,
            "certain": verdict.certain,
            "nodes_read": verdict.nodes_read,
            "nodes_total": verdict.nodes_total,
            "because": list(verdict.because),
            "down": list(verdict.down),
            "drifted": list(verdict.drifted),
            "excluded": [{"name": name, "reason": reason} for name, reason in verdict.excluded],
            "next": verdict.next_action,
            "way_back": verdict.way_back,
        },
        "nodes": [_node(reading) for reading in readings],
    }


def event(item: Event) -> dict[str, object]:
    """One line of what an acting command streams."""
    return {
        "schema": "liftlock.event/1",
        "time": moment(item.time),
        "run": item.run,
        "node": item.node or None,
        "phase": item.phase.value if item.phase else None,
        "kind": item.kind.value,
        "text": item.text,
        "data": dict(item.data),
    }


def outcome(
    run: str, exit_code: int, results: Sequence[NodeResult], verdict: Verdict | None, text: str
) -> dict[str, object]:
    """The last line of what an acting command streams."""
    return {
        "schema": "liftlock.outcome/1",
        "exit": exit_code,
        "run": run,
        "text": text,
        "verdict": verdict.kind.value if verdict else None,
        "nodes": [
            {
                "name": result.node,
                "result": result.result.value,
                "problem": problem(result.problem),
            }
            for result in results
        ],
    }


def of_run(result: Outcome, verdict: Verdict | None) -> dict[str, object]:
    """The last line of an upgrade."""
    return outcome(result.run, result.exit, result.nodes, verdict, result.text) | {
        "problem": problem(result.problem)
    }


def refused(run: str, exit_code: int, found: Problem) -> dict[str, object]:
    """The last line when a run ended before it had results."""
    empty: tuple[NodeResult, ...] = ()
    said = outcome(run, exit_code, empty, None, found.summary)
    return said | {"problem": problem(found)}


def problem(found: Problem | None) -> dict[str, str] | None:
    """A problem, or null."""
    if found is None:
        return None
    return {
        "code": found.code,
        "summary": found.summary,
        "evidence": found.evidence,
        "advice": found.advice,
    }


def runs(
    cluster: str | None, now: float, found: Sequence[Run], *, more: bool
) -> dict[str, object]:
    """The runs, newest first: `liftlock.runs/1`; `more`: there are others that are not shown."""
    return {
        "schema": "liftlock.runs/1",
        "cluster": cluster,
        "time": moment(now),
        "more": more,
        "runs": [
            {
                "id": run.id,
                "cluster": run.cluster,
                "product": run.product,
                "kind": run.kind,
                "version": run.version,
                "by": run.operator,
                "note": run.note or None,
                "began": moment_or_unknown(run.began),
                "ended": None if run.ended is None else moment_or_unknown(run.ended),
                "state": "open" if run.ended is None else "ended",
                "seconds": None if run.ended is None else round(run.ended - run.began, 3),
                "exit": run.exit,
                "exit_word": None if run.exit is None else word_of(run.exit),
                "outcome": run.outcome,
            }
            for run in found
        ],
    }


def fact(value: Fact) -> object:
    """A fact: a string, null (read, and there is none), or `{"unknown": reason}`."""
    return {"unknown": value.reason} if isinstance(value, Unknown) else value


def moment(seconds: float) -> str:
    """A moment in UTC, to the millisecond."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def moment_or_unknown(seconds: float) -> object:
    """A moment of the history; what no clock can show is not known."""
    if 0 <= seconds <= LAST_MOMENT:
        return moment(seconds)
    return {"unknown": f"{seconds} is no time"}


def stages(cluster: str, now: float, readings: Sequence[NodeReading]) -> dict[str, object]:
    """What lies ready on each node: `liftlock.stages/1`."""
    keys = ("name", "staged", "stages", "partial_bytes", "unsigned", "problem")
    nodes = [_node(reading) for reading in readings]
    return {
        "schema": "liftlock.stages/1",
        "cluster": cluster,
        "time": moment(now),
        "nodes": [{key: node[key] for key in keys} for node in nodes],
    }


def conflicts(
    cluster: str, now: float, found: Mapping[str, Sequence[Conflict] | Problem]
) -> dict[str, object]:
    """Configuration beside which a new default lies, node by node: `liftlock.conflicts/1`."""
    return {
        "schema": "liftlock.conflicts/1",
        "cluster": cluster,
        "time": moment(now),
        "nodes": [
            {
                "name": name,
                "conflicts": None
                if isinstance(each, Problem)
                else [
                    {
                        "path": one.path,
                        "yours": _difference(one.yours),
                        "theirs": _difference(one.theirs),
                        "both": _difference(one.both),
                    }
                    for one in each
                ],
                "problem": problem(each) if isinstance(each, Problem) else None,
            }
            for name, each in found.items()
        ],
    }


def value(cluster: str, now: float, name: str, found: Mapping[str, object]) -> dict[str, object]:
    """A named value of each node: `liftlock.value/1`."""
    return {
        "schema": "liftlock.value/1",
        "cluster": cluster,
        "time": moment(now),
        "name": name,
        "nodes": [{"name": node, **_value(each)} for node, each in found.items()],
    }


def _value(found: object) -> dict[str, object]:
    """What was read, null where there is none; a node that was not reached has a problem, too."""
    if isinstance(found, Problem):
        return {"value": {"unknown": found.summary}, "problem": problem(found)}
    value: object = {"unknown": found.reason} if isinstance(found, Unknown) else found
    return {"value": value, "problem": None}


def finality(
    cluster: str,
    now: float,
    version: str | None,
    found: Mapping[str, Finality | IsFinal | Problem],
    steps: Sequence[str],
    left: Sequence[str],
) -> dict[str, object]:
    """What would become final: `liftlock.finality/1`."""
    return {
        "schema": "liftlock.finality/1",
        "cluster": cluster,
        "time": moment(now),
        "version": version,
        "after": [{"step": step, "done": step not in left} for step in steps],
        "nodes": [{"name": node, **_finality(each)} for node, each in found.items()],
    }


def _finality(found: Finality | IsFinal | Problem) -> dict[str, object]:
    if isinstance(found, Problem):
        return {"is_final": None, "version": None, "run": None, "problem": problem(found)}
    said = {"version": found.version, "run": found.run, "problem": None}
    if isinstance(found, IsFinal):
        return {"is_final": True, **said}
    return {
        "is_final": False,
        **said,
        "accepted": found.accepted,
        "age_seconds": found.age_seconds,
        "frees_bytes": {
            "backups": found.frees_backups,
            "staged": found.frees_staged,
            "data": found.frees_data,
        },
        "aside": {"paths": list(found.aside), "count": found.aside_count},
        "stays": list(found.stays),
        "irreversible": {"unknown": "the upgrade did not write it down"}
        if found.irreversible is None
        else list(found.irreversible),
        "process": found.process,
        "trial": {"unhealthy": found.trial_unhealthy, "restarts": found.trial_restarts},
        "watched": False,
        "since": {"unknown": "the node's journal cannot be read"}
        if found.since is None
        else [
            {"what": each.what, "time": each.time, "ok": each.ok, "text": each.text}
            for each in found.since
        ],
    }


def _difference(found: Difference) -> list[str] | None:
    return None if found is None else list(found)


def _run(readings: Sequence[NodeReading], verdict: Verdict) -> dict[str, object] | None:
    opened = _open(readings)
    if opened is None:
        return None
    return {
        "id": opened.run,
        "state": verdict.kind.value,
        "cause": verdict.cause,
        "by": opened.operator,
    }


def _open(readings: Sequence[NodeReading]) -> OpenTransaction | None:
    for reading in readings:
        if reading.facts is not None and reading.facts.transaction is not None:
            return reading.facts.transaction
    return None


def _node(reading: NodeReading) -> dict[str, object]:
    facts = reading.facts
    reason = reading.problem.summary if reading.problem else "not read"
    if facts is None or not reading.read:
        facts = _unread(reading.name, reason)
    state = NodeState.EXCLUDED if reading.excluded else facts.state
    return {
        "name": reading.name,
        "address": reading.address,
        "role": reading.role,
        "state": state.value,
        "running": fact(facts.running),
        "selected": fact(facts.selected),
        "staged": fact(facts.staged) if isinstance(facts.staged, Unknown) else list(facts.staged),
        "stages": [
            {"version": each.version, "since": each.since or None, "checked": each.checked}
            for each in facts.stages
        ],
        "partial_bytes": facts.partial_bytes,
        "unsigned": list(facts.unsigned),
        "previous": _version(facts.previous),
        "finalized": _final(facts.finalized),
        "service": facts.service.value,
        "health": facts.health.value,
        "drift": _drift(facts.drift),
        "age_seconds": None if reading.age_seconds is None else round(reading.age_seconds, 3),
        "note": facts.note,
        "transaction": _transaction(facts.transaction),
        "problem": problem(reading.problem or facts.problem),
    }


def _unread(name: str, reason: str) -> NodeFacts:
    unknown = Unknown(reason)
    return NodeFacts(
        node=name,
        product="",
        running=unknown,
        selected=unknown,
        staged=unknown,
        previous=unknown,
        finalized=unknown,
    )


def _version(value: VersionRef | Unknown | None) -> object:
    if isinstance(value, VersionRef):
        return {"version": value.version, "digest": value.digest}
    return {"unknown": value.reason} if isinstance(value, Unknown) else None


def _final(value: Finalized | Unknown | None) -> object:
    if isinstance(value, Finalized):
        return {"version": value.version, "run": value.run}
    return {"unknown": value.reason} if isinstance(value, Unknown) else None


def _drift(value: Drift | Unknown | None) -> object:
    if isinstance(value, Drift):
        return {
            "version": value.version,
            "files": value.files,
            "changed": list(value.changed),
            "missing": list(value.missing),
            "count": value.count,
            "read": value.read,
        }
    return {"unknown": value.reason} if isinstance(value, Unknown) else None


def _transaction(opened: OpenTransaction | None) -> dict[str, object] | None:
    if opened is None:
        return None
    return {
        "run": opened.run,
        "phase": opened.phase.value,
        "from": opened.from_version,
        "to": opened.to_version,
        "by": opened.operator,
        "since": opened.since,
        "driver": opened.driver_alive,
        "decides_in_seconds": opened.decides_at_seconds,
        "then": opened.then,
        "second_layer": opened.layer,
        "beside": list(opened.beside),
        "data": {
            "directories": list(opened.data),
            "since": opened.data_since,
            "bytes": opened.data_bytes,
        }
        if opened.data
        else None,
    }
