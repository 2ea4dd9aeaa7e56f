"""What the updater can be told, one function a command. `main` reads and answers; here it is done.

Acting commands first bring the node to rest: an undecided transaction that nobody drives is
recovered, and the operator is told so. Read-only commands never do that and write nothing.
"""

from typing import Any, Callable, Dict

from backends.node import (
    adopt,
    blobs,
    checks,
    clean,
    conflicts,
    data,
    journal,
    locks,
    restarting,
    stage,
    transaction,
    upgrading,
    value,
    verify,
    watch,
    wire,
)
from backends.node.call import OK, Answer, Call, refuse_disabled
from backends.node.drivers import busy
from backends.node.driving import bring_to_rest, take_lock
from backends.node.places import UnsafePlace, read_json, write_json
from backends.node.refusal import Refused
from backends.node.services import service_of

_LEAVES_AT_REST = wire.READ_ONLY | {"check", "verify", "accept"}
"""Commands that only look, or that must not undo what they were asked to keep."""


def run(call: Call) -> Answer:
    """Carry out a command; every refusal is an answer, nothing escapes as a trace."""
    try:
        if call.command not in _LEAVES_AT_REST and not call.args.get("preview"):
            bring_to_rest(call)
        return _COMMANDS[call.command](call)
    except Refused as error:
        return "refused", error.problem
    except locks.Busy as error:
        return "refused", busy(error.owner)
    except UnsafePlace as error:
        return "refused", wire.problem(
            "unsafe-place",
            "others could change what we keep",
            str(error),
            "repair its owner and mode",
        )
    except (journal.JournalDamaged, wire.WireError) as error:
        return "refused", wire.problem(
            "journal-damaged",
            "the node's journal is damaged; nothing was touched",
            str(error),
            "look at %s on the node" % call.places.active,
        )


def _status(call: Call) -> Answer:
    call.send(dict(call.reader.full(), t="facts"))
    return OK


def _watch(call: Call) -> Answer:
    watch.watch(call.reader, call.args, call.send)
    return OK


def _journal(call: Call) -> Answer:
    outcome = watch.follow(call.reader, call.args, call.send)
    if outcome == "failed":
        return outcome, wire.problem("driver-gone", "the updater died while it was followed")
    return outcome, None


def _stage(call: Call) -> Answer:
    if transaction.is_open(call.places):
        raise Refused("upgrade-open", "an upgrade is open on this node; nothing is staged over it")
    refuse_disabled(call)
    call.places.make_home()
    with blobs.held(call.places):
        call.keep_updater()
        call.send(dict(stage.stage(call.layout, call.args, call.source, call.send), t="staged"))
    return OK


def _check(call: Call) -> Answer:
    if call.args["scope"] != "staged":
        return _checked(call)
    call.places.make_home()
    with blobs.held(call.places):  # it builds a tree, and records what came of it
        return _checked(call)


def _checked(call: Call) -> Answer:
    order = checks.Order(call.places, call.document, call.args)
    scope = call.args["scope"]
    rows = []
    for row in checks.run(order, scope):
        rows.append(row)
        call.send(row)
    bad = [row for row in rows if row["result"] in ("refused", "unknown")]
    if scope == "staged":
        _remember_check(call, rows, not bad)
    if not bad:
        return OK
    busy_elsewhere = any(row["name"] == "lock" for row in bad)
    return "refused", wire.problem(
        "locked" if busy_elsewhere else "check-refused",
        "%s: %s" % (bad[0]["name"], bad[0]["result"]),
        "\n".join("%s: %s" % (row["name"], row["evidence"]) for row in bad),
        "nothing was changed; repair it, then start again",
    )


def _remember_check(call: Call, rows: Any, passed: bool) -> None:
    path = call.places.stage_mark(call.args["version"])
    mark = read_json(path)
    if mark is None:
        return
    write_json(path, dict(mark, checked=passed))
    book = journal.Journal(call.places.journal, create=True)
    try:
        for row in rows:
            book.append(
                "ROW",
                durable=False,
                run=call.args["run"],
                **wire.request_of(call.args),
                **{key: row[key] for key in ("name", "result", "evidence", "seconds")},
            )
    finally:
        book.close()


def _adopt(call: Call) -> Answer:
    if transaction.is_open(call.places):
        raise Refused("upgrade-open", "an upgrade is open on this node")
    if call.args.get("preview"):
        released = bool(call.args.get("released"))
        found = adopt.preview(call.places, call.document, released)
    else:
        lock = take_lock(call)
        try:
            found = adopt.record(call.places, call.document, call.args)
            call.keep_updater()
        finally:
            lock.release()
    call.send(
        {
            "t": "adopted",
            "version": found["version"],
            "digest": found["digest"],
            "files": len(found["files"]),
            "own": found["own"][:1000],
            "changed": found["changed"][:1000],
            "missing": found["missing"][:1000],
        }
    )
    return OK


def _conflicts(call: Call) -> Answer:
    facts, marker = call.reader.quick(), read_json(call.places.finalized) or {}
    previous = facts["previous"]
    if facts["transaction"] is None and marker.get("reconfigured"):
        previous = None  # the default before this one was of the same version, and is gone
    for found in conflicts.listed(call.layout, previous["version"] if previous else None):
        call.send(found)
    return OK


def _recover(call: Call) -> Answer:
    if call.args.get("takeover"):
        return upgrading.take_over(call)
    return OK  # `bring_to_rest` did it, or there was nothing to do


def _clean(call: Call) -> Answer:
    everything = bool(call.args["everything"])
    beside = data.directories(service_of(call.document, call.places, ""), call.document)
    found = clean.preview(call.places, call.layout, everything, beside)
    call.send(dict(found, t="clean"))
    if call.args.get("preview") or not found["paths"]:
        return OK
    lock = take_lock(call)
    try:
        if everything:
            clean.everything(call.places, beside)
        else:
            clean.staged(call.places)
            book = journal.Journal(call.places.journal, create=True)
            said = wire.request_of(call.args)
            book.append("CLEAN", operator=call.args["operator"], paths=found["paths"], **said)
            book.close()
    finally:
        lock.release()
    return OK


_COMMANDS: Dict[str, Callable[[Call], Answer]] = {
    "status": _status,
    "watch": _watch,
    "stage": _stage,
    "check": _check,
    "install": upgrading.begin,
    "accept": upgrading.accept,
    "extend": upgrading.extend,
    "rollback": upgrading.roll_back,
    "finalize": upgrading.finalize,
    "adopt": _adopt,
    "recover": _recover,
    "restart": restarting.begin,
    "verify": verify.verify,
    "value": value.value,
    "conflicts": _conflicts,
    "journal": _journal,
    "clean": _clean,
}
