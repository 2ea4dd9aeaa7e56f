"""Getting a driver to work: detached, and heard of before anybody is answered."""

import os
import sys
import time
from typing import Any, Dict, List, Optional

from backends.node import (
    detach,
    drivers,
    images,
    locks,
    recover,
    restart_begun,
    transaction,
    wire,
)
from backends.node.call import OK, Answer, Call

_REST_SECONDS = 900.0
"""How long an acting command waits for a recovery: longer than any undo may take."""


def start(call: Call, name: str, **more: Any) -> Answer:
    """Start a driver and answer with what it said first."""
    said = _detached(call, name, **more)
    if said is None:
        text = "see %s on the node" % call.places.log
        return "failed", wire.problem("driver-died", "the updater died before it began", "", text)
    if said["t"] == "refused":
        return "refused", said["problem"]
    call.send(said)
    return OK


def _detached(call: Call, name: str, **more: Any) -> Optional[Dict[str, Any]]:
    order = dict(more, drive=name, request=call.request)
    return detach.start(
        call.places,
        lambda report: drivers.drive(call, order, report),
        _again(call),
        wire.encode(order),
    )


def _again(call: Call) -> Optional[List[str]]:
    """The command that runs this very updater from its file, where that is kept and whole."""
    path = os.path.join(call.places.updaters, call.updater + ".pyz")
    if not os.path.exists(path) or images.hash_file(path) != call.updater:
        return None
    return [sys.executable, "-I", "-S", "-B", path, "drive"]


def bring_to_rest(call: Call) -> None:
    """Recover a transaction that nobody drives, detached, and wait until the node is at rest."""
    _bring_back(call)
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
    _detached(call, "recover")
    give_up = time.monotonic() + _REST_SECONDS
    while locks.is_held(call.places) and time.monotonic() < give_up:
        if may_be_watched and _is_watched(call):
            break
        time.sleep(0.05)
    call.send({"t": "recovered", "state": call.reader.quick()["state"]})


def _bring_back(call: Call) -> None:
    """Start the service that a restart which nobody drives may have stopped."""
    try:
        begun = restart_begun.under_way(call.places)
    except wire.WireError:
        restart_begun.forget(
            call.places
        )  # nobody can go on with it; whether it runs, the facts say
        return
    if begun is None or locks.is_held(call.places):
        return
    call.send({"t": "recovering", "txn": None, "last": "RESTARTING"})
    _detached(call, "bring_back")
    _until_free(call)
    call.send({"t": "recovered", "state": call.reader.quick()["state"]})


def _until_free(call: Call) -> None:
    give_up = time.monotonic() + _REST_SECONDS
    while locks.is_held(call.places) and time.monotonic() < give_up:
        time.sleep(0.05)


def _is_watched(call: Call) -> bool:
    return bool(call.reader.quick()["state"] == "monitoring")


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
