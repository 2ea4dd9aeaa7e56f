"""Whether the product's node leads the others, and having another one lead before it is stopped.

The profile says how that is read, and which command moves it. That it moved is believed only when
the product itself says so. Source: notes on peers, row B3.
"""

import time
from typing import Any, Dict, Optional

from backends.node import hooks, probe
from backends.node.service import Service
from backends.node.transaction import Transaction

NAME = "leadership"
"""What the journal calls the move, beside the hooks of the profile."""

_WHEN = "before_stop"
_AGAIN_SECONDS = 0.5


def leads(document: Dict[str, Any], service: Service) -> Optional[bool]:
    """Whether this node leads; None where the profile does not ask.

    Raises:
        probe.NoAnswer: It was not said.
    """
    how = document.get("leader")  # an older program, whose upgrade may be open here, knew of none
    if not how:
        return None
    said = probe.read(how["probe"], service, service.settings["request_timeout"])
    return bool(said == service.expand(how["equals"]))


def give_away(transaction: Transaction) -> None:
    """Before the old version is stopped: if it leads, have another node lead, and see that.

    Raises:
        hooks.HookFailed: It is not known whether it leads, or it still does when its time is over.
        journal.AppendFailed: It could not be said before; nothing was run.
    """
    service, how = transaction.old_service, transaction.document.get("leader")
    if service is None or not how or service.status()[0] == "stopped":
        return
    if not _leads_now(transaction, service):
        return
    if not how["move"]:
        _log(transaction, True, "it leads, and the profile names no way to move that")
        return
    deadline = time.monotonic() + how["timeout"]
    transaction.log("CALL", hook=NAME, when=_WHEN, ok=None, text="")
    ran = hooks.until_it_is_time(how["move"], how["timeout"], service)
    if ran.status != 0:
        _log(transaction, False, ran.said()[-2000:])
        raise hooks.HookFailed("leadership was not moved: %s" % ran.said()[-2000:])
    said = "it still leads"
    while time.monotonic() < deadline:
        try:
            if not leads(transaction.document, service):
                _log(transaction, True, "it does not lead any more")
                return
            said = "it still leads"
        except probe.NoAnswer as error:  # the others may be electing one
            said = str(error)
        time.sleep(_AGAIN_SECONDS)
    _log(transaction, False, said)
    raise hooks.HookFailed("leadership was not moved within %g s: %s" % (how["timeout"], said))


def _leads_now(transaction: Transaction, service: Service) -> bool:
    try:
        return bool(leads(transaction.document, service))
    except probe.NoAnswer as error:
        _log(transaction, False, str(error))
        raise hooks.HookFailed("it is not known whether this node leads: %s" % error) from error


def _log(transaction: Transaction, ok: bool, text: str) -> None:
    transaction.log("CALL", durable=False, hook=NAME, when=_WHEN, ok=ok, text=text)
