"""What the second layer runs: `tick` looks whether a driver works, `boot` precedes the service.

Neither is asked by anybody, so both go by what is on this node alone: the transaction's own plan.
A driver that holds the lock and does nothing is killed, once it is certain that it is that one.
Source: notes on reliability, 4.7, and rows 7 to 9 of the fault matrix.
"""

import io
import logging
from typing import Any, Dict, List, Optional

from backends.node import (
    clock,
    detach,
    drivers,
    locks,
    recover,
    restart_begun,
    second_layer,
    second_layer_systemd,
    takeover,
    transaction,
    wire,
)
from backends.node.call import Call
from backends.node.places import Places

_log = logging.getLogger("liftlock")

OPERATOR = "the second layer"

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
    opened, begun = transaction.load(bare), _restart_of(bare)
    if opened is not None:
        opened.close()
    if begun is not None:
        # Only what is accepted is restarted: a transaction beside it waits for nobody.
        call = _call(state_dir, begun["product"], payload, updater)
        _start_again(call, begun) if verb == "tick" else _boot(call)
    elif opened is not None:
        call = _call(state_dir, opened.document, payload, updater)
        _tick(call, opened) if verb == "tick" else _boot(call)
    else:
        _go_away(bare)


def _restart_of(places: Places) -> Optional[restart_begun.Begun]:
    """The restart that is under way; none, where nobody can go on with it."""
    try:
        return restart_begun.under_way(places)
    except wire.WireError:
        _log.exception("a restart was begun, and cannot be read")
        return None


def _go_away(places: Places) -> None:
    """Nothing is open: a driver died when it had only itself to clear away."""
    lock = locks.DriverLock(places)
    try:
        lock.take(operator=OPERATOR, command="tick")
    except locks.Busy:
        return  # somebody has begun just now
    try:
        if not transaction.is_open(places) and _restart_of(places) is None:
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
        why = takeover.hangs(records, opened.document)
        if not why or not takeover.take_over(places, why, OPERATOR):
            return
    elif _rests(records):
        return
    drivers.drive(call, {"drive": "recover"}, lambda said: _log.info("%r", said))


def _start_again(call: Call, begun: restart_begun.Begun) -> None:
    """Start the service that a restart may have stopped, unless its driver is at work."""
    if locks.is_held(call.places):
        why = restart_begun.hangs(begun)
        if not why or not takeover.take_over(call.places, why, OPERATOR):
            return
    drivers.drive(call, {"drive": "bring_back"}, lambda said: _log.info("%r", said))


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
