"""Getting a driver to work: under the lock, detached, and heard of before anybody is answered."""

import time
from typing import Any, Callable, Dict

from backends.node import detach, locks, monitor, recover, transaction, wire
from backends.node.call import OK, Answer, Call

_REST_SECONDS = 900.0
"""How long an acting command waits for a recovery: longer than any undo may take."""


def bring_to_rest(call: Call) -> None:
    """Recover a transaction that nobody drives, detached, and wait until the node is at rest."""
    opened = transaction.load(call.places)
    if opened is None:
        return
    waiting = recover.needs_recovery(opened)
    # With the policy `rollback` a trial that is still open is one that is just being ended.
    may_be_watched = opened.policy["if_operator_vanishes"] != "rollback"
    opened.close()
    if not waiting or locks.is_held(call.places):
        return
    call.send({"t": "recovering", "txn": opened.txn, "last": opened.records[-1]["t"]})
    detach.start(call.places, driver(call))
    give_up = time.monotonic() + _REST_SECONDS
    while locks.is_held(call.places) and time.monotonic() < give_up:
        if may_be_watched and _is_watched(call):
            break
        time.sleep(0.05)
    call.send({"t": "recovered", "state": call.reader.quick()["state"]})


def _is_watched(call: Call) -> bool:
    return bool(call.reader.quick()["state"] == "monitoring")


def driver(call: Call, monitor_again: bool = False) -> Callable[[detach.Report], None]:
    """What a new driver does: recover, or (`monitor_again`) watch a held trial once more."""

    def drive(report: detach.Report) -> None:
        lock = locks.DriverLock(call.places)
        try:
            lock.take(operator=call.args.get("operator", ""), command=call.command)
        except locks.Busy as error:
            report({"t": "refused", "problem": busy(error.owner)})
            return
        try:
            opened = transaction.load(call.places)
            report({"t": "driving", "txn": opened.txn if opened else None})
            if opened is not None and monitor_again:
                monitor.watch(opened)
            else:
                recover.recover(call.places, opened)
        finally:
            lock.release()
        take_up(call)

    return drive


def take_up(call: Call) -> None:
    """After a driver let go: carry out what was ordered while it was leaving, and saw no driver.

    Whoever orders appends first and looks at the lock then; a driver lets go first and looks at
    the journal then. So one of the two sees the other.
    """
    opened = transaction.load(call.places)
    if opened is None:
        return
    opened.close()
    newest = opened.records[-1]["t"]
    if newest in ("ROLLBACK", "FINALIZE", "EXTEND"):
        driver(call, monitor_again=newest == "EXTEND")(lambda said: None)


def start(call: Call, drive: Callable[[detach.Report], None]) -> Answer:
    """Start a driver and answer with what it said first."""
    said = detach.start(call.places, drive)
    if said is None:
        text = "see %s on the node" % call.places.log
        return "failed", wire.problem("driver-died", "the updater died before it began", "", text)
    if said["t"] == "refused":
        return "refused", said["problem"]
    call.send(said)
    return OK


def busy(owner: Dict[str, Any]) -> Dict[str, str]:
    """Who works here, on what, since when (P12)."""
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(float(owner.get("since", 0))))
    return wire.problem(
        "locked",
        "another run works on this node",
        "run %s of %s, %s, since %s"
        % (owner.get("run"), owner.get("operator"), owner.get("command"), since),
        "wait for it, or watch it with status",
    )


def storage_problem(error: Exception) -> Dict[str, str]:
    """A disk that said no before anything was begun."""
    return wire.problem("node-storage", "the node's disk said no; nothing was changed", str(error))


def take_lock(call: Call) -> locks.DriverLock:
    """Take the driver lock for a command that does its work at once.

    Raises:
        locks.Busy: Another run has it.
    """
    if call.command != "clean":
        call.places.make_home()
    lock = locks.DriverLock(call.places)
    lock.take(run=call.args.get("run", ""), operator=call.args["operator"], command=call.command)
    return lock
