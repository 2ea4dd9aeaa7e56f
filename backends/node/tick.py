"""What the second layer runs: `tick` looks whether a driver works, `boot` precedes the service.

Neither is asked by anybody, so both go by what is on this node alone: the transaction's own plan.
A driver that holds the lock and does nothing is killed, once it is certain that it is that one.
Source: notes on reliability, 4.7, and rows 7 to 9 of the fault matrix.
"""

import io
import logging
import os
import signal
import time
from typing import Any, Dict, List, Optional

from backends.node import (
    clock,
    detach,
    drivers,
    locks,
    recover,
    second_layer,
    second_layer_systemd,
    standing,
    transaction,
)
from backends.node.call import Call
from backends.node.places import Places, read_json

_log = logging.getLogger("liftlock")

OPERATOR = "the second layer"

_GRACE_SECONDS = 5.0
"""How long after the end of the accept window, and after one look, a watcher may still decide."""

_GONE_SECONDS = 5.0
"""How long a killed process may keep the lock."""

_TRIES = 12
"""How often an undo that cannot be proven is tried again before it is left to a person."""

_FIRST_PAUSE_SECONDS = 60.0


def run(verb: str, state_dir: str, product: str, payload: bytes, updater: str) -> None:
    """Do what the second layer was told: `tick` or `boot`.

    Raises:
        journal.JournalDamaged, wire.WireError: Nothing may be touched; it stays as it is.
    """
    bare = Places(state_dir, product, "/")
    detach.leave_everything(bare)
    opened = transaction.load(bare)
    if opened is None:
        _go_away(bare)
        return
    opened.close()
    call = _call(state_dir, opened.document, payload, updater)
    if verb == "boot":
        _boot(call)
    else:
        _tick(call, opened)


def _go_away(places: Places) -> None:
    """Nothing is open: a driver died when it had only itself to clear away."""
    lock = locks.DriverLock(places)
    try:
        lock.take(operator=OPERATOR, command="tick")
    except locks.Busy:
        return  # somebody has begun just now
    try:
        if not transaction.is_open(places):
            transaction.forget_unborn(places)
            second_layer.disarm(places)
    finally:
        lock.release()


def _call(state_dir: str, document: Dict[str, Any], payload: bytes, updater: str) -> Call:
    request = {
        "command": "recover",
        "args": {"operator": OPERATOR},
        "product": document,
        "state_dir": state_dir,
    }
    return Call(request, io.BytesIO(), lambda message: None, payload, updater)


def _boot(call: Call) -> None:
    """Nobody else is at work so early; if somebody is, that one does it."""
    lock = locks.DriverLock(call.places)
    try:
        lock.take(operator=OPERATOR, command="boot")
    except locks.Busy:
        return
    try:
        opened = transaction.load(call.places)
        if opened is not None:
            recover.before_the_service(opened)
            opened.close()
    finally:
        lock.release()
        second_layer_systemd.start_tick(call.places)


def _tick(call: Call, opened: transaction.Transaction) -> None:
    places, records = call.places, opened.records
    if locks.is_held(places):
        why = hangs(records, opened.document)
        if not why or not take_over(places, why):
            return
    elif _rests(records):
        return
    drivers.drive(call, {"drive": "recover"}, lambda said: _log.info("%r", said))


def _rests(records: List[Dict[str, Any]]) -> bool:
    """Whether an undo that failed is left alone for now: twice as long after each try."""
    tries = [record for record in records if record["t"] == "UNPROVEN"]
    if not tries or records[-1]["t"] != "UNPROVEN":
        return False
    if len(tries) > _TRIES:
        return True
    pause = _FIRST_PAUSE_SECONDS * 2 ** (len(tries) - 1)
    newest = tries[-1]
    waits_until = float(newest["bt"]) + pause
    return bool(newest["bid"] == clock.boot_id()) and clock.since_boot() < waits_until


def hangs(records: List[Dict[str, Any]], document: Dict[str, Any]) -> Optional[str]:
    """Why a driver that has the lock does not do its work, or None."""
    now, newest = clock.since_boot(), records[-1]
    if newest["bid"] != clock.boot_id():
        return None  # it has only just begun
    silent = now - newest["bt"]
    ends = standing.deadline(records)
    if ends is not None and standing.decision(records) is None and not standing.is_held(records):
        looking = sum(float(check["timeout"]) for check in document["health"])
        late = now - max(ends, newest["bt"]) - _GRACE_SECONDS - looking
        return "the accept window is over since %.0f s" % (now - ends) if late > 0 else None
    longest = float(document["limits"]["install_step"])
    return "nothing in the journal for %.0f s" % silent if silent > longest else None


def take_over(places: Places, why: str) -> bool:
    """Kill the driver that has the lock; whether it is gone. Only the very process is killed.

    `owner` is believed when boot, pid and start fit; without that nothing is done.
    """
    owner = read_json(places.owner) or {}
    pid = int(owner.get("pid") or 0)
    same_boot = owner.get("boot_id") == clock.boot_id()
    if not pid or not same_boot or clock.start_of(pid) != owner.get("start"):
        _log.error("somebody holds the lock, and it is not known who: %r", owner)
        return False
    _log.error("process %d is ended: %s", pid, why)
    os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + _GONE_SECONDS
    while locks.is_held(places):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    opened = transaction.load(places)
    if opened is not None:
        opened.note("TAKEOVER", pid=pid, operator=owner.get("operator", ""), why=why)
        opened.close()
    return True
