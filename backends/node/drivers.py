"""What a driver does, under the lock: the way forward, a recovery, or one more watch of a trial.

The second layer is armed for as long as a driver works, so that something is there to take up its
work if it dies or hangs. Source: design.md, section 5, "Transaction", rules 3, 6 and 7.
"""

import logging
from typing import Any, Callable, Dict, Optional

from backends.node import (
    finish,
    install,
    locks,
    monitor,
    recover,
    restart,
    restart_begun,
    second_layer,
    standing,
    transaction,
    wire,
)
from backends.node.call import Call
from backends.node.detach import Report
from backends.node.journal import AppendFailed, JournalDamaged
from backends.node.refusal import Refused, busy

_log = logging.getLogger("liftlock")

Order = Dict[str, Any]
"""What a driver is started with: `{drive: name, request, ...}`, plain JSON."""


def drive(call: Call, order: Order, report: Report) -> None:
    """Do what an order says, and what was ordered meanwhile. `report` hears once how it began."""
    _under_lock(call, order, report, _DRIVERS[order["drive"]])
    newest = _newest(call)
    if newest in ("ROLLBACK", "FINALIZE", "EXTEND"):
        name = "watch" if newest == "EXTEND" else "recover"
        drive(call, dict(order, drive=name), lambda said: None)


def _newest(call: Call) -> str:
    """What was ordered while we were leaving, and saw no driver.

    Whoever orders appends first and looks at the lock then; a driver lets go first and looks at
    the journal then. So one of the two sees the other.
    """
    opened = transaction.load(call.places)
    if opened is None:
        return ""
    opened.close()
    return str(opened.records[-1]["t"])


def _under_lock(
    call: Call, order: Order, report: Report, work: Callable[[Call, Order, Report], None]
) -> None:
    lock = locks.DriverLock(call.places)
    try:
        lock.take(
            run=call.args.get("run", ""),
            operator=call.args.get("operator", ""),
            command=call.command,
        )
    except locks.Busy as error:
        report({"t": "refused", "problem": busy(error.owner)})
        return
    try:
        work(call, order, report)
    finally:
        _disarm_at_rest(call)
        lock.release()


def _install(call: Call, order: Order, report: Report) -> None:
    try:
        install.drive(
            call.places,
            dict(
                call.args,
                product=call.document,
                previous=order["previous"],
                decided=order["decided"],
            ),
            call.updater,
            lambda made: report({"t": "begun", "txn": made.txn}),
        )
    except (OSError, AppendFailed) as error:
        report({"t": "refused", "problem": storage_problem(error)})
        raise


def _recover(call: Call, order: Order, report: Report) -> None:
    opened = _opened(call, report)
    recover.recover(call.places, opened)


def _watch(call: Call, order: Order, report: Report) -> None:
    opened = _opened(call, report)
    if opened is not None:
        monitor.watch(opened)


def _finalize(call: Call, order: Order, report: Report) -> None:
    opened = _opened(call, report)
    if opened is not None and standing.decision(opened.records) == "ACCEPT":
        said = wire.request_of(call.args)
        finish.decide_and_complete(opened, call.args["operator"], **said)


def _restart(call: Call, order: Order, report: Report) -> None:
    try:
        begun = restart.begin(call.places, call.document, call.args, call.updater)
    except Refused as error:
        report({"t": "refused", "problem": error.problem})
        return
    except (OSError, AppendFailed) as error:
        report({"t": "refused", "problem": storage_problem(error)})
        raise
    report({"t": "begun", "version": begun["version"]})
    restart.carry_out(call.places, begun)


def _bring_back(call: Call, order: Order, report: Report) -> None:
    begun = restart_begun.under_way(call.places)
    report({"t": "driving", "txn": None})
    if begun is not None:
        restart.bring_back(call.places, begun)


def _opened(call: Call, report: Report) -> Optional[transaction.Transaction]:
    opened = transaction.load(call.places)
    report({"t": "driving", "txn": opened.txn if opened else None})
    if opened is not None:
        second_layer.arm_if_possible(opened)
    return opened


def _disarm_at_rest(call: Call) -> None:
    """Without work to take up there is no second layer; what is open and stuck keeps it."""
    try:
        opened = transaction.load(call.places)
        if opened is not None:
            opened.close()
        is_at_rest = opened is None or not recover.needs_recovery(opened)
        if is_at_rest and restart_begun.under_way(call.places) is None:
            second_layer.disarm(call.places)
    except (OSError, JournalDamaged, wire.WireError):
        _log.exception("the second layer stays; it looks again and goes when it can")


_DRIVERS: Dict[str, Callable[[Call, Order, Report], None]] = {
    "install": _install,
    "recover": _recover,
    "watch": _watch,
    "finalize": _finalize,
    "restart": _restart,
    "bring_back": _bring_back,
}


def storage_problem(error: Exception) -> Dict[str, str]:
    """A disk that said no before anything was begun."""
    return wire.problem("node-storage", "the node's disk said no; nothing was changed", str(error))
