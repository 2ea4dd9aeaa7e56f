"""Which layout a product has, and where its things are because of it."""

from typing import Any, Dict

from backends.node.layout import Layout
from backends.node.layout_overlay import OverlayLayout
from backends.node.layout_swap import SwapLayout
from backends.node.layout_versions import VersionsLayout
from backends.node.places import Places

_LAYOUTS = {"versions": VersionsLayout, "overlay": OverlayLayout, "swap": SwapLayout}


def layout_of(document: Dict[str, Any], places: Places) -> Layout:
    """The layout that the profile names."""
    found: Layout = _LAYOUTS[document["layout"]](document, places)
    return found


def places_of(state_dir: str, document: Dict[str, Any]) -> Places:
    """Where the product's things are on this node."""
    layout = document["layout"]
    return Places(
        state_dir,
        document["name"],
        document["directory"],
        flat=layout != "versions",
        swapped_whole=layout == "swap" and not document["directories"],
    )
