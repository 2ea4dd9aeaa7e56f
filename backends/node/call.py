"""One command on its way: what was ordered, where it is about, and how answers go back."""

import os
from typing import Any, BinaryIO, Callable, Dict, Optional, Tuple

from backends.node import facts
from backends.node.layout import Layout
from backends.node.layouts import layout_of, places_of
from backends.node.places import STATE_DIR, write_file
from backends.node.refusal import Refused

Send = Callable[[Dict[str, Any]], None]
Answer = Tuple[str, Optional[Dict[str, str]]]
"""Outcome and problem, as they stand in `end`."""

OK: Answer = ("ok", None)


class Call:
    """One command with all it needs."""

    def __init__(
        self, request: Dict[str, Any], source: BinaryIO, send: Send, payload: bytes, updater: str
    ) -> None:
        self.request = request
        self.command: str = request["command"]
        self.args: Dict[str, Any] = request["args"]
        self.document: Dict[str, Any] = request["product"]
        self.places = places_of(state_directory(request), self.document)
        self.source = source
        self.send = send
        self.payload = payload
        self.updater = updater

    @property
    def layout(self) -> Layout:
        """How the product's versions lie on this node."""
        return layout_of(self.document, self.places)

    @property
    def reader(self) -> facts.Reader:
        """Reads this product's facts."""
        return facts.Reader(self.places, self.document)

    def keep_updater(self) -> None:
        """Store ourselves under our hash, so that this node can be recovered without anybody."""
        path = os.path.join(self.places.updaters, self.updater + ".pyz")
        if not os.path.exists(path):
            write_file(path, self.payload, 0o500)


def state_directory(request: Dict[str, Any]) -> str:
    """Where our state lives: as ordered, else by who we are (design.md, section 5)."""
    ordered = request.get("state_dir")
    if ordered:
        return str(ordered)
    if os.geteuid() == 0:
        return STATE_DIR
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "liftlock")


def refuse_disabled(call: Call) -> None:
    """Raises Refused on a node that a person marked as disabled (R20)."""
    if os.path.exists(call.places.disabled):
        raise Refused("disabled", "this node is marked disabled", call.places.disabled)
