"""What a simulated node can be told: the updater's commands, with the same refusals."""

from collections.abc import Callable, Generator
from typing import Any

from backends.node import wire
from backends.sim import (
    checks,
    facts,
    keeping,
    looking,
    reading,
    restarting,
    staging,
    undoing,
    verify,
)
from backends.sim import records as standing
from backends.sim.call import OK, Answer, Answering, Call, Refused
from backends.sim.content import Content, compare
from backends.sim.driver import begin, forward, launch, recover
from backends.sim.node import Disk, Transaction
from backends.sim.opened import Open
from backends.sim.trial import watch

_LEAVES_AT_REST = wire.READ_ONLY | {"check", "verify", "accept"}
"""Commands that only look, or that must not undo what they were asked to keep."""

_REST_LOOK_SECONDS = 0.05


def run(call: Call) -> Answering:
    """Carry out a command; every refusal is an answer."""
    try:
        if call.command not in _LEAVES_AT_REST and not call.args.get("preview"):
            yield from _bring_to_rest(call)
        found = _COMMANDS[call.command](call)
        return (yield from found) if isinstance(found, Generator) else found
    except Refused as error:
        return "refused", error.problem


def _bring_to_rest(call: Call) -> Generator[float | None, None, None]:
    """Recover a transaction that nobody drives, and wait until the node is at rest."""
    opened, node = call.disk.active, call.node
    if call.disk.restarting is not None and node.driver is None:
        call.send({"t": "recovering", "txn": None, "last": "RESTARTING"})
        restarting.bring_back(call)
        while node.driver is not None:
            yield _REST_LOOK_SECONDS
        call.send({"t": "recovered", "state": facts.quick(node, call.document)["state"]})
    if opened is None or node.driver is not None or not standing.needs_recovery(opened.records):
        return
    txn, last = opened.plan["txn"], opened.records[-1]["t"]
    call.send({"t": "recovering", "txn": txn, "last": last})
    launch(node, recover, operator=call.args.get("operator", ""), command=call.command)
    may_be_watched = opened.plan["policy"]["if_operator_vanishes"] != "rollback"
    while node.driver is not None:
        if may_be_watched and facts.quick(node, call.document)["state"] == "monitoring":
            break
        yield _REST_LOOK_SECONDS
    call.send({"t": "recovered", "state": facts.quick(node, call.document)["state"]})


def _status(call: Call) -> Answer:
    call.send(dict(facts.full(call.node, call.document), t="facts"))
    return OK


# --- an upgrade ---------------------------------------------------------------------------------


def _install(call: Call) -> Answer:
    args, opened = call.args, call.disk.active
    if opened is not None:
        plan = opened.plan
        if (plan["run"], plan["to"]["digest"]) == (args["run"], args["digest"]):
            call.send({"t": "begun", "txn": plan["txn"], "already": True})
            return OK
        raise Refused(
            "upgrade-open",
            f"run {plan['run']} to {plan['to']['version']} is open on this node",
            f"begun by {plan['operator']}",
            "finish it, roll it back, or take it over",
        )
    call.refuse_disabled()
    previous = _previous(call)
    mark = call.disk.marks.get(args["version"])
    if mark is None or mark["digest"] != args["digest"] or not mark["checked"]:
        raise Refused("not-checked", f"{args['version']} is not staged and checked here")
    version = args["version"]
    to = {
        "version": version,
        "digest": args["digest"],
        "packaged": _refuse_changed(call, version).packaged,
        "path": call.places.tree(version),
    }
    plan = {
        "schema": "liftlock.transaction/1",
        "run": args["run"],
        "txn": _next_name(call.disk, args["run"]),
        "product": call.document,
        "from": previous,
        "to": to,
        "policy": args["policy"],
        "operator": args["operator"],
        "reason": args.get("reason", ""),
        "updater": call.updater,
        "home": call.places.home,  # only here: where conflicts are kept
    }
    begin(call.node, plan, call.updater, call.args)
    call.send({"t": "begun", "txn": plan["txn"]})
    owner = {"run": args["run"], "operator": args["operator"], "command": "install"}
    launch(call.node, forward, **owner)
    return OK


def _refuse_changed(call: Call, version: str) -> Content:
    """What was checked is what is switched to; what is recorded of it."""
    record = call.disk.record_of(version, call.args["digest"])
    if record is None:
        raise AssertionError("what was staged is recorded")
    found, placed = (
        compare(trees.get(version), record.files) for trees in (call.disk.staging, call.disk.trees)
    )
    if not found.is_exact and not placed.is_exact:
        raise Refused(
            "staged-changed",
            f"{version} was changed here since it was checked",
            found.text(),
            "nothing was changed; find out who did that, then stage it again",
        )
    return record


def _previous(call: Call) -> dict[str, Any] | None:
    """The exact undo target; None for a first install."""
    marker, selected = call.disk.finalized, call.disk.pointer
    if selected is None and marker is None:
        return None
    if marker is None or marker["version"] != selected:
        final = marker["version"] if marker else "nothing"
        raise Refused(
            "not-finalized",
            f"{selected} is selected, {final} is finalized",
            "",
            "finalize, roll back or adopt first",
        )
    path = call.places.tree(marker["version"])
    return {"version": marker["version"], "digest": marker["digest"], "path": path}


def _next_name(disk: Disk, run: str) -> str:
    attempt, name = 1, run
    while name in disk.done:
        attempt += 1
        name = f"{run}.{attempt}"
    return name


def _accept(call: Call) -> Answer:
    opened = _the_transaction(call)
    records = opened.transaction.records
    if standing.needs_recovery(records) and call.node.driver is None:
        raise Refused(
            "driver-gone",
            f"the updater on the node died at {records[-1]['t']}; nobody watches the trial",
            "",
            "upgrade or rollback first brings the node back to rest",
        )
    unhealthy_too = bool(call.args.get("reason"))
    now = call.node.since_boot()
    reason = opened.decide(
        "ACCEPT",
        lambda records: standing.why_not_accept(records, now, unhealthy_too),
        by=call.args["operator"],
        how=call.args["how"],
        reason=call.args.get("reason", ""),
        **wire.request_of(call.args),
    )
    if reason is not None and standing.decision(records) != "ACCEPT":
        return "refused", wire.problem("not-acceptable", reason, standing.first_error(records))
    return OK


def _extend(call: Call) -> Answer:
    opened, now = _the_transaction(call), call.node.since_boot()
    until = round(now + float(call.args["seconds"]), 3)
    if until <= (standing.deadline(opened.records) or 0.0):
        raise Refused("not-later", "the window already ends later; it cannot be shortened")
    reason = opened.decide(
        "EXTEND",
        lambda records: standing.why_not_extend(records, now),
        until=until,
        by=call.args["operator"],
        why=call.args.get("reason", ""),
        **wire.request_of(call.args),
    )
    if reason is not None:
        raise Refused("not-extendable", reason)
    if call.node.driver is None:
        call.send({"t": "driving", "txn": opened.txn})
        launch(call.node, watch, operator=call.args["operator"], command=call.command)
    return OK


def _roll_back(call: Call) -> Answer:
    opened = _the_transaction(call)
    chosen = call.args.get("data")
    copied = standing.last(opened.records, "DATA")
    undecided = standing.decision(opened.records) in (None, "ACCEPT")
    if chosen is None and copied is not None and undecided:
        raise Refused(
            "data-undecided",
            "data was copied before the switch: keep what is newer, or restore the copy?",
            "",
            "say --data keep or --data restore",
        )
    gone = undoing.missing(opened) if standing.decision(opened.records) == "ACCEPT" else []
    if gone:
        raise Refused(
            "old-version-changed",
            f"the way back from {opened.to['version']} is not whole; nothing was stopped",
            "; ".join(gone)[:2000],
            "put back what is named and roll back again, or upgrade to another release",
        )
    reason = opened.decide(
        "ROLLBACK",
        why=call.args["why"],
        by=call.args["operator"],
        data=chosen,
        **wire.request_of(call.args),
    )
    if reason is not None and standing.decision(opened.records) != "ROLLBACK":
        advice = "a finalized version is upgraded, not undone"
        raise Refused("not-reversible", reason, "", advice)
    return _carry_out(call, opened)


def _finalize(call: Call) -> Answer:
    if call.args.get("preview"):
        return reading.finality(call)
    digest = call.args["digest"]
    if call.disk.active is None and (call.disk.finalized or {}).get("digest") == digest:
        call.send({"t": "already"})
        return OK
    opened = _the_transaction(call)
    if opened.to["digest"] != digest:
        raise Refused("other-version", f"{opened.to['version']} is open here")
    said = wire.request_of(call.args)
    reason = opened.decide("FINALIZE", by=call.args["operator"], **said)
    if reason is not None and standing.decision(opened.records) != "FINALIZE":
        raise Refused("not-accepted", reason, "", "only what was accepted is finalized")
    return _carry_out(call, opened)


def _carry_out(call: Call, opened: Open) -> Answer:
    """Have a recorded decision carried out by the driver that lives, or by a new one."""
    call.send({"t": "begun", "txn": opened.txn})
    if call.node.driver is None:
        call.send({"t": "driving", "txn": opened.txn})
        launch(call.node, recover, operator=call.args["operator"], command=call.command)
    return OK


def _the_transaction(call: Call) -> Open:
    opened: Transaction | None = call.disk.active
    if opened is None:
        last = call.disk.last
        raise Refused(
            "no-upgrade-open",
            "no upgrade is open on this node",
            f"the last one, {last['txn']}, ended {last['outcome']}: {last['why']}" if last else "",
        )
    if call.args.get("run") not in (None, opened.plan["run"]):
        text = f"run {opened.plan['run']} is open here, not {call.args['run']}"
        raise Refused("other-run", text)
    return Open(call.node, opened)


def _recover(call: Call) -> Answer:
    if not call.args.get("takeover"):
        return OK  # `_bring_to_rest` did it, or there was nothing to do
    opened, node = _the_transaction(call), call.node
    if node.driver is None:
        raise Refused("nothing-to-take-over", "no updater is at work on this node")
    operator = node.owner.get("operator", "")
    node.kill_driver()
    opened.log(
        "TAKEOVER",
        pid=1,
        operator=operator,
        why=call.args["reason"],
        by=call.args["operator"],
        **wire.request_of(call.args),
    )
    in_trial = (
        standing.last(opened.records, "TRIAL") is not None
        and standing.decision(opened.records) is None
        and not standing.is_held(opened.records)
    )
    call.send({"t": "driving", "txn": opened.txn})
    operator = call.args["operator"]
    launch(node, watch if in_trial else recover, operator=operator, command=call.command)
    return OK


_COMMANDS: dict[str, Callable[[Call], Answer | Answering]] = {
    "status": _status,
    "watch": looking.watch,
    "stage": staging.stage,
    "check": checks.check,
    "install": _install,
    "accept": _accept,
    "extend": _extend,
    "rollback": _roll_back,
    "finalize": _finalize,
    "adopt": keeping.adopt,
    "recover": _recover,
    "restart": restarting.restart,
    "verify": verify.verify,
    "value": reading.value,
    "begun_as": reading.begun_as,
    "conflicts": lambda call: OK,
    "journal": looking.follow,
    "clean": keeping.clean,
}
