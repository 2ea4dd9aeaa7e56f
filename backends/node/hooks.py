"""Hooks of the profile: commands of the product's own around a stop, a start and a finalize.

Each has a time limit and, if it needs one, an undo. That one ran is durable before it runs, so its
undo runs whatever came of it, also in a rollback that nobody watches. A crash may run a hook or an
undo twice: both must bear that. What comes before the old version's end runs in its tree, the rest
in the new one's. Source: issue "The node survives", notes on peers, 4.10.
"""

import os
import time
from typing import Any, Dict, List, Optional

from backends.node import processes
from backends.node.service import Service
from backends.node.transaction import Transaction

FORWARD = ("before_stop", "after_stop", "before_start", "after_start")
"""Around the switch, in order. Besides them there is `before_finalize`."""

_OLD = frozenset(["before_stop", "after_stop"])

LATER = 21
"""The exit code that means: not now, ask again. It is asked again until its time is over."""

_AGAIN_SECONDS = 1.0


class HookFailed(Exception):
    """A hook said no, or nothing within its time; the text says which, and what it said."""


def run(transaction: Transaction, when: str) -> None:
    """Run the profile's hooks of a moment, in their order.

    Raises:
        HookFailed: One failed; the others were not begun. All that were begun have to be undone.
        journal.AppendFailed: It could not be said before; nothing was run.
    """
    service = _service(transaction, when)
    for hook in _of(transaction, when):
        if service is None:
            return  # nothing is stopped by a first install
        transaction.log("CALL", hook=hook["name"], when=when, ok=None, text="")
        ran = until_it_is_time(hook["command"], hook["timeout"], service)
        ok = ran.status == 0
        said = ran.said()[-2000:]
        transaction.log("CALL", durable=False, hook=hook["name"], when=when, ok=ok, text=said)
        if not ok:
            raise HookFailed("the hook %s (%s) failed: %s" % (hook["name"], when, said))


def undo(transaction: Transaction, *moments: str) -> List[str]:
    """Undo what was begun at these moments, the last first; what could not be undone, in words.

    What was undone once is not undone again.
    """
    failures = []
    for when in reversed(moments):
        for hook in reversed(_of(transaction, when)):
            service = _service(transaction, when)
            if service is not None and hook["undo"] and _is_begun(transaction, hook["name"]):
                failures += _undo_one(transaction, hook, when, service)
    return failures


def are_due(transaction: Transaction, when: str) -> bool:
    """Whether a hook of a moment is still to be run."""
    return any(not _has_run(transaction, hook["name"]) for hook in _of(transaction, when))


def _undo_one(
    transaction: Transaction, hook: Dict[str, Any], when: str, service: Service
) -> List[str]:
    ran = until_it_is_time(hook["undo"], hook["timeout"], service)
    ok, said = ran.status == 0, ran.said()[-2000:]
    transaction.note("UNDO", what="the hook %s" % hook["name"], ok=ok, text=said)
    if not ok:
        return ["the hook %s (%s) is not undone: %s" % (hook["name"], when, said)]
    transaction.note("CALL", hook=hook["name"], when=when, ok=None, undone=True, text="")
    return []


def until_it_is_time(words: List[str], seconds: float, service: Service) -> processes.Ran:
    """Run a command; while it says "not now", again until its time is over."""
    deadline = time.monotonic() + seconds
    argv = [service.expand(word) for word in words]
    cwd = service.tree if os.path.isdir(service.tree) else "/"
    while True:
        left = max(0.1, deadline - time.monotonic())
        ran = processes.run(argv, left, cwd, service.environment())
        if ran.status != LATER or time.monotonic() + _AGAIN_SECONDS > deadline:
            return ran
        time.sleep(_AGAIN_SECONDS)


def _service(transaction: Transaction, when: str) -> Optional[Service]:
    return transaction.old_service if when in _OLD else transaction.new_service


def _of(transaction: Transaction, when: str) -> List[Dict[str, Any]]:
    return [hook for hook in transaction.document["hooks"] if hook["when"] == when]


def _calls(transaction: Transaction, name: str) -> List[Dict[str, Any]]:
    records = transaction.records
    return [record for record in records if record["t"] == "CALL" and record["hook"] == name]


def _is_begun(transaction: Transaction, name: str) -> bool:
    """Whether it was begun since it was last undone."""
    calls = _calls(transaction, name)
    return bool(calls) and not calls[-1].get("undone")


def _has_run(transaction: Transaction, name: str) -> bool:
    calls = _calls(transaction, name)
    return bool(calls) and calls[-1]["ok"] is True
