"""What is on record of a restart that is under way: for whoever drives it, and whoever only looks.

The file is there from before the stop until it is written down what came of it.
"""

from typing import Any, Dict, Optional

from backends.node import clock, locks, wire
from backends.node.places import Places, read_json, remove_if_there, sync_directory

Begun = Dict[str, Any]
"""What was begun: who, why, of which version, which process ran; and the product's document."""


def forget(places: Places) -> None:
    """Nothing is under way any more."""
    if remove_if_there(places.restarting):
        sync_directory(places.home)


def under_way(places: Places) -> Optional[Begun]:
    """What was begun and has no end yet; None where nothing was.

    Raises:
        wire.WireError: It cannot be read.
    """
    return read_json(places.restarting)


def hangs(begun: Begun) -> str:
    """Why a driver that has the lock does not come to its end; "" when it may yet."""
    if begun["boot_id"] != clock.boot_id():
        return ""  # it has only just begun
    late = clock.since_boot() - begun["until"]
    return "the restart should have ended %.0f s ago" % late if late > 0 else ""


def tell(places: Places, found: Dict[str, Any]) -> None:
    """Say in the facts that a restart is under way, or that nobody drives it any more."""
    try:
        begun = under_way(places)
        if begun is None:
            return
        if locks.is_held(places):
            about = (begun["operator"], begun["reason"])
            found["note"] = found["note"] or "is being restarted by %s: %s" % about
            return
        begun = under_way(places)  # it may have come to its end between the two looks
        if begun is None:
            return
        words = (begun["version"], begun["operator"])
        text = "the updater died while it restarted %s for %s" % words
        layer, why = begun["layer"], str(begun["reason"])
    except (OSError, KeyError, wire.WireError) as error:
        text, layer, why = "what was begun of a restart cannot be read", "none", repr(error)
    then = "any acting command starts the service first: run restart again"
    if layer != "none":
        then = "its second layer (%s) starts the service within a minute; restart does it at once"
        then %= layer
    found["problem"] = found["problem"] or wire.problem("restart-broken-off", text, why, then)
