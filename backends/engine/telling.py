"""A record of the node's journal, in an operator's words."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from backends.domain.clean import Clean, clean, line
from backends.domain.states import Phase
from backends.engine import reading
from backends.engine.events import Event, Kind
from backends.node import wire

Record = Mapping[str, Any]

_MONITOR: Final = frozenset(
    {"TRIAL", "CHECK", "HEALTHY", "UNHEALTHY", "RESTART", "TICK", "EXTEND", "HELD", "ACCEPT"}
)
_ROLLBACK: Final = frozenset(
    {"ROLLBACK", "CHOICE", "EVIDENCE", "UNDO", "PROOF", "RESTORED", "UNPROVEN"}
)

_AT_THE_END: Final = frozenset({"CONFLICT", "END"})
"""On the way back and at FINALIZE: they say themselves at which."""

QUIET: Final = frozenset({"TICK"})
"""Records that are kept on the node and tell an operator nothing."""


def phase_of(record: Record) -> Phase:
    """The phase that a record belongs to."""
    kind = record["t"]
    goes_back = record.get("outcome") == "undone" or record.get("during") == "rollback"
    if kind in _ROLLBACK or (kind in _AT_THE_END and goes_back):
        return Phase.ROLLBACK
    if kind == "FINALIZE" or kind in _AT_THE_END:
        return Phase.FINALIZE
    return Phase.MONITOR if kind in _MONITOR else Phase.INSTALL


def tell(record: Record) -> Clean:
    """One line about a record. Records that this version does not know are shown as they are."""
    teller = _TELLERS.get(record["t"])
    text = teller(record) if teller else f"{record['t']} {_rest(record)}"
    return line(text)


def event(message: Mapping[str, Any], *, run: str, node: str, txn: str) -> Event | None:
    """A record of a node's journal as an event; None for what tells an operator nothing."""
    record = message["record"]
    if not isinstance(record, dict) or record["t"] in QUIET:
        return None
    data: dict[str, object] = {"record": record["t"], "n": record["n"]}
    log = evidence_of(record)
    if log:
        data["log"] = log
    if isinstance(record.get("ok"), bool):
        data["ok"] = record["ok"]
    data |= wire.request_of(record)
    return Event(
        time=reading.number(record["wt"], 0, reading.LAST_MOMENT),
        run=run,
        node=node,
        phase=phase_of(record),
        kind=Kind.RECORD,
        text=tell(record),
        data=data,
        key=f"{txn}.{node}.{record['n']}",
    )


def evidence_of(record: Record) -> Clean:
    """What the record quotes of the node, whole; empty for most."""
    return clean(str(record.get("log") or ""))


def _begin(record: Record) -> str:
    source, target = record["source"], record["target"]
    way = (
        f"{source['version']} -> {target['version']}"
        if source
        else f"first install of {target['version']}"
    )
    return f"begins: {way}, by {record['operator']}"


def _service(record: Record) -> str:
    verb, ok, text = record["verb"], record.get("ok"), record.get("text", "")
    if verb == "stop" and record["was"] == "absent":
        return "nothing to stop: first install"
    if verb == "stop":
        return f"stop the old version (it was {record['was']})"
    if verb == "start":
        return "start the new version"
    if verb == "enable":
        return "have it started at boot"
    return f"{verb}: {_word(ok)}  {text}"


def _hook(record: Record) -> str:
    why = f" ({record['why']})" if record.get("why") else ""
    return f"second layer: {record['layer']}{why}"


def _quiet(record: Record) -> str:
    lives_on = f"; {record['kept']} files that live on are kept" if record["kept"] else ""
    return f"the service is gone{lives_on}"


def _data(record: Record) -> str:
    paths = ", ".join(os.fsdecode(bytes.fromhex(each["path"])) for each in record["copied"])
    size = sum(each["bytes"] for each in record["copied"])
    return f"data copied: {paths}, {size} bytes in {record['seconds']:g} s"


def _choice(record: Record) -> str:
    is_old = record["data"] == "restore"
    what = "the copy of the data is put back" if is_old else "newer data stays"
    return f"{what}, decided by {record['by']}"


def _rollback(record: Record) -> str:
    data = {"keep": "; newer data stays", "restore": "; with the data of before"}
    said = data.get(str(record.get("data")), "")
    return f"goes back, decided by {record['by']}: {record['why']}{said}"


def _call(record: Record) -> str:
    name = f"hook {record['hook']} ({record['when'].replace('_', ' ')})"
    if record.get("undone"):
        return f"{name}: undone"
    said = f"  {record['text']}" if record["text"] else ""
    return f"{name}: {_word(record['ok'])}{said}"


def _undo(record: Record) -> str:
    return f"undo {_word(record['ok'])}  {record['what']}: {record['text']}"


def _proof(record: Record) -> str:
    said = f"  {record['text']}" if record.get("text") else ""
    return f"proof {_word(record['ok'])}  {record['what']}{said}"


def _check(record: Record) -> str:
    word = "ok" if record["ok"] else "fails"
    return f"health {record['name']} {word} ({record['level']}): {record['evidence']}"


def _healthy(record: Record) -> str:
    soft = record.get("soft") or []
    extra = f"; soft checks fail: {', '.join(soft)}" if soft else ""
    if record.get("as_before"):
        extra += f"; as before the upgrade: {', '.join(record['as_before'])}"
    return f"healthy for {record['seconds']:g} s{extra}"


def _config(record: Record) -> str:
    beside = [f"{path}.new" for path in record["beside"]]
    also = f"; its default has changed, too, see {', '.join(beside)}" if beside else ""
    return f"configuration that was edited stays: {', '.join(record['kept'])}{also}"


def _baseline(record: Record) -> str:
    failing = ", ".join(record["failing"])
    return f"before the upgrade, these soft checks fail: {failing or 'none'}"


def _accept(record: Record) -> str:
    reason = f": {record['reason']}" if record.get("reason") else ""
    return f"accepted by {record['by']} ({record['how']}){reason}"


def _adopt(record: Record) -> str:
    said = f"adopted {record['version']}, {record['files']} files, by {record['operator']}"
    if not record.get("released"):
        return said
    return f"{said}, as the release; {record['differ']} differ from it"


def _verify(record: Record) -> str:
    word = (
        "is as recorded" if record["ok"] else f"NOT as recorded ({', '.join(record['refused'])})"
    )
    return f"verified by {record['operator']}: {record['version']} {word}: {record['text']}"


def _restarting(record: Record) -> str:
    return (
        f"restart of {record['version']} by {record['operator']} (it was {record['was']}): "
        f"{record['reason']}"
    )


def _restarted(record: Record) -> str:
    return f"restart of {record['version']}: {_word(record['ok'])}  {record['text']}"


def _unproven(record: Record) -> str:
    return f"not proven: {'; '.join(record['paths'])}"


def _word(ok: object) -> str:
    return "ok" if ok is True else "FAILED" if ok is False else "begins"


def _rest(record: Record) -> str:
    own = {"t", "n", "p", "bt", "bid", "wt"}
    return ", ".join(f"{key} {value}" for key, value in sorted(record.items()) if key not in own)


_TELLERS: Final[Mapping[str, Callable[[Record], str]]] = {
    "BEGIN": _begin,
    "HOOK": _hook,
    "CONFIG": _config,
    "BASELINE": _baseline,
    "INTENTS": lambda r: f"before-images of {r['steps']} paths are durable",
    "BACKUPS": lambda r: f"backups of {r['steps']} paths are durable",
    "QUIET": _quiet,
    "CALL": _call,
    "DATA": _data,
    "SVC": _service,
    "EFFECT": lambda r: str(r["what"]),
    "TARGET": lambda r: f"in place, {r['files']} files equal the release",
    "TRIAL": lambda r: f"in trial: goes back by itself within {r['window']:g} s unless accepted",
    "CHECK": _check,
    "HEALTHY": _healthy,
    "UNHEALTHY": lambda r: f"no longer healthy: {r['why']}",
    "RESTART": lambda r: f"the process was replaced, {r['times']} times now",
    "TAKEOVER": lambda r: f"taken over by {r['by']}, the updater before it was ended: {r['why']}",
    "TICK": lambda r: f"{r['spent']:g} s of the accept window spent",
    "EXTEND": lambda r: f"accept window extended by {r['by']}",
    "HELD": lambda r: f"held, waits for a person: {r['why']}",
    "ACCEPT": _accept,
    "ROLLBACK": _rollback,
    "CHOICE": _choice,
    "FINALIZE": lambda r: f"finalized by {r['by']}",
    "EVIDENCE": lambda r: "evidence saved on the node",
    "UNDO": _undo,
    "PROOF": _proof,
    "CONFLICT": lambda r: f"not ours, moved to conflicts/: {r['what']}",
    "RESTORED": lambda r: "every path is as it was",
    "UNPROVEN": _unproven,
    "END": lambda r: f"ended: {r['outcome']}",
    "STAGE": lambda r: f"staged {r['version']}, {r['received']} bytes received",
    "ROW": lambda r: f"check {r['name']}: {r['result']}, {r['evidence']}",
    "ADOPT": _adopt,
    "VERIFY": _verify,
    "RESTARTING": _restarting,
    "RESTARTED": _restarted,
    "CLEAN": lambda r: f"cleaned by {r['operator']}: {', '.join(r['paths'])}",
}
