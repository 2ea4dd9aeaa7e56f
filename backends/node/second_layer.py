"""The second layer: what takes up the work of a driver that died, hangs, or lost its power.

Armed before anything is changed, gone when nothing is left to take up. systemd: a timer that looks
each minute, and a unit that at boot brings the node back before its service starts. cron: the same
looks, and one after each boot, which may come after the service. Else none, and that is recorded.
Source: design.md, section 5, "Transaction", rule 7; notes on reliability, 4.3 step 3.
"""

import logging
import os
import sys
from typing import Any, Dict, List, NamedTuple

from backends.node import second_layer_cron as by_cron
from backends.node import second_layer_systemd as by_systemd
from backends.node import standing
from backends.node.journal import AppendFailed
from backends.node.places import Places
from backends.node.transaction import Transaction

_log = logging.getLogger("liftlock")


class Layer(NamedTuple):
    """What there is, and why there is no better one."""

    kind: str
    """`systemd`, `cron` or `none`."""

    why: str


def choose(ordered: str) -> Layer:
    """The best layer that this node has for us; `ordered` is the policy's `second_layer`."""
    if ordered == "none":
        return Layer("none", "ordered so by second_layer")
    if os.geteuid() != 0:
        return Layer("none", "only root can have one")
    reasons: List[str] = []
    for kind, ask in (
        ("systemd", by_systemd.why_not),
        ("cron", by_cron.why_not),
    ):
        why_not = ask()
        if not why_not:
            return Layer(kind, "; ".join(reasons))
        reasons.append(why_not)
    return Layer("none", "; ".join(reasons))


def arm(transaction: Transaction) -> None:
    """Have this transaction taken up if we do not finish it; recorded when it is something new.

    Raises:
        OSError: It could not be armed.
        journal.AppendFailed: It is not recorded.
    """
    found = put(
        transaction.places,
        transaction.document,
        transaction.policy["second_layer"],
        transaction.plan["updater"],
    )
    known = standing.last(transaction.records, "HOOK")
    if known is None or (known["layer"], known["why"]) != found:
        transaction.log("HOOK", layer=found.kind, why=found.why)


def put(places: Places, document: Dict[str, Any], ordered: str, updater: str) -> Layer:
    """Have what is under way on this product taken up by that updater, whatever is ordered.

    Raises:
        OSError: It could not be armed.
    """
    found = choose(ordered)
    if found.kind == "systemd":
        by_systemd.arm(places, _command(places, updater), _started_after(document))
    elif found.kind == "cron":
        by_cron.arm(places, _command(places, updater))
    return found


def arm_if_possible(transaction: Transaction) -> None:
    """As `arm`, on a way that goes on without a second layer: a full disk stops no undo."""
    try:
        arm(transaction)
    except (OSError, AppendFailed):
        _log.exception("no second layer")


def disarm(places: Places) -> None:
    """Take away what `arm` has put there; nothing is done where nothing is.

    Raises:
        OSError: Something of it is still there.
    """
    by_systemd.disarm(places)
    by_cron.disarm(places)


class Standing(NamedTuple):
    """What of a second layer is there."""

    whole: str
    """The kind of which nothing is missing; empty: none."""

    is_any: bool
    text: str


def standing_of(places: Places) -> Standing:
    """What is armed for this product, and what of it is missing; only read."""
    said: List[str] = []
    whole, is_any = "", False
    for kind, look in (("systemd", by_systemd.standing), ("cron", by_cron.standing)):
        there, missing = look(places)
        if there:
            is_any = True
            said += there + ["%s is missing" % each for each in missing]
            whole = whole or ("" if missing else kind)
    return Standing(whole, is_any, ", ".join(said) or "nothing of it is there")


def _command(places: Places, updater: str) -> List[str]:
    """What is run; the verb `tick` or `boot` and where our state is come behind it.

    By the updater that began: an open transaction is always driven by that one.
    """
    path = os.path.join(places.updaters, "%s.pyz" % updater)
    return [sys.executable, "-I", "-S", "-B", path]


def _started_after(document: Dict[str, Any]) -> List[str]:
    """The units that must not start before the node was brought back."""
    settings = document["service"]
    own = {"systemd": settings["unit"], "sysv": "%s.service" % settings["script"]}
    found = [own[settings["kind"]]] if settings["kind"] in own else []
    return found + list(settings["triggers"]) + list(by_systemd.STARTERS)
