"""Taking over from a driver that holds the lock: it is ended, if it is certainly that one.

The second layer does it when a driver hangs, a person by name. Source: notes on reliability, 4.7,
and rows 9 and 14 of the fault matrix.
"""

import logging
import os
import signal
import time
from typing import Any, Dict, List, Optional

from backends.node import clock, locks, standing, transaction
from backends.node.places import Places, read_json

_log = logging.getLogger("liftlock")

_GRACE_SECONDS = 5.0
"""How long after the end of the accept window, and after one look, a watcher may still decide."""

_GONE_SECONDS = 5.0
"""How long a killed process may keep the lock."""


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


def take_over(places: Places, why: str, by: str, **said: Any) -> bool:
    """Kill the driver that has the lock; whether it is gone. Only the very process is killed.

    `said` goes into the record beside who and why.

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
        before = owner.get("operator", "")
        opened.note("TAKEOVER", pid=pid, operator=before, why=why, by=by, **said)
        opened.close()
    return True
