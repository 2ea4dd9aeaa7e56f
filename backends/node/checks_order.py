"""What a check is about, and what every check answers."""

from typing import Any, Callable, Dict, List, Optional, Tuple

from backends.node import configuration
from backends.node.layout import Layout
from backends.node.layouts import layout_of
from backends.node.places import Places

Answer = Tuple[str, str]
"""Result (`ok | warn | refused | unknown`) and evidence."""


class Order:
    """What a check is about."""

    def __init__(self, places: Places, document: Dict[str, Any], args: Dict[str, Any]) -> None:
        self.places = places
        self.document = document
        self.args = args
        self._decided: Optional[configuration.Decided] = None

    @property
    def layout(self) -> Layout:
        """How the product's versions lie on this node."""
        return layout_of(self.document, self.places)

    @property
    def decided(self) -> configuration.Decided:
        """What becomes of each configuration file; all checks are about the same decision."""
        if self._decided is None:
            self._decided = configuration.decide(
                self.layout, self.args["version"], self.args.get("digest")
            )
        return self._decided

    @property
    def upgrading(self) -> Layout:
        """The layout as the upgrade will have it: only what was edited lives on."""
        settled = configuration.settled(self.document, self.decided, self.args.get("digest"))
        return layout_of(settled, self.places)

    @property
    def manifest(self) -> Optional[Dict[str, Any]]:
        """What is recorded of the content that it is about."""
        return self.layout.record_of(self.args["version"], self.args.get("digest"))

    @property
    def release(self) -> Dict[str, Any]:
        """What the release says of itself; empty when none is asked about."""
        found: Dict[str, Any] = self.args.get("release") or {}
        return found


Check = Callable[[Order], Answer]

Checks = List[Tuple[str, Check]]
"""Each with its name, in the order in which they are made."""
