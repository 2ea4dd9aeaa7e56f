"""The command `restart`: begin it, and stay until it is known what came of it.

Asked twice by the same run it is done once: whoever lost the answer asks again.
"""

import os
import time
from typing import Any, Dict, Optional

from backends.node import locks, restart, restart_begun, wire
from backends.node.call import OK, Answer, Call, refuse_disabled
from backends.node.driving import start
from backends.node.journal import Journal
from backends.node.wire import WireError

_LOOK_SECONDS = 0.1
_BEAT_SECONDS = 1.0


def begin(call: Call) -> Answer:
    """Restart the service, detached from whoever asked; ok once it serves again."""
    said = _what_came(call)
    if said is None and not _is_ours(call):
        restart.version_to_restart(call.places, call.document)
        refuse_disabled(call)
        call.places.make_home()
        call.keep_updater()
        outcome, problem = start(call, "restart")
        if problem is not None:
            return outcome, problem
    return _answer(call, said or _awaited(call))


def _is_ours(call: Call) -> bool:
    """Whether this very restart is under way."""
    try:
        begun = restart_begun.under_way(call.places)
    except WireError:
        return False  # then it is begun anew: nobody drives it, see `bring_to_rest`
    return begun is not None and _is_about(call, begun)


def _is_about(call: Call, record: Dict[str, Any]) -> bool:
    args = call.args
    return (record.get("run"), record.get("operator")) == (args["run"], args["operator"])


def _what_came(call: Call) -> Optional[Dict[str, Any]]:
    """What the product's journal says came of this restart; None while it says nothing."""
    if not os.path.exists(call.places.journal):
        return None
    book = Journal(call.places.journal)
    book.close()
    for record in reversed(book.records):
        if record["t"] == "RESTARTED" and _is_about(call, record):
            return record
    return None


def _awaited(call: Call) -> Optional[Dict[str, Any]]:
    """Wait for its end, with a beat now and then; None where the driver died before."""
    spoke = time.monotonic()
    while locks.is_held(call.places):
        said = _what_came(call)
        if said is not None:
            return said
        if time.monotonic() > spoke + _BEAT_SECONDS:
            spoke = time.monotonic()
            call.send({"t": "beat"})
        time.sleep(_LOOK_SECONDS)
    return _what_came(call)


def _answer(call: Call, said: Optional[Dict[str, Any]]) -> Answer:
    if said is None:
        return "failed", wire.problem(
            "restart-broken-off",
            "the updater died while it restarted the service",
            "see %s on the node" % call.places.log,
            "run restart again: it first starts what was stopped",
        )
    call.send(
        {
            "t": "restarted",
            "version": said["version"],
            "start_id": said["start_id"],
            "text": said["text"],
        }
    )
    if said["ok"]:
        return OK
    return "failed", wire.problem(
        "not-serving",
        "restarted, and %s does not serve: %s" % (said["version"], said["text"]),
        said["log"],
        "look at the service and its log on the node",
    )
