"""`clean`: give back what we keep on the node, and say what goes before it goes."""

import os
from typing import Any, Dict, List, Sequence

from backends.node import data, images, second_layer, transaction
from backends.node.layout import Layout
from backends.node.places import (
    Places,
    names_in,
    read_json,
    remove_any,
    remove_tree,
    sync_directory,
)
from backends.node.refusal import Refused


def preview(
    places: Places, layout: Layout, everything: bool, beside: Sequence[str] = ()
) -> Dict[str, Any]:
    """What would be removed: paths, and foreign files that were kept here.

    `beside` are the data directories, which copies may lie beside.

    Raises:
        Refused: An upgrade is open; its backups are the way back.
    """
    opened = transaction.load(places)
    if opened is not None:
        opened.close()
        raise Refused(
            "upgrade-open",
            "run %s to %s is not finalized" % (opened.run, opened.to["version"]),
            "",
            "finalize it or roll it back first",
        )
    staged = (places.staging, places.blobs, places.staged, places.nexts)
    paths = [path for path in staged if names_in(path)]
    kept: List[str] = []
    if everything:
        paths = [path for path in (places.beside, places.home) if os.path.lexists(path)]
        paths += data.left_over(beside, places.product)
        kept = [
            os.path.join(places.conflicts, relative)
            for relative, _ in (
                images.walk(places.conflicts) if os.path.isdir(places.conflicts) else ()
            )
            if not os.path.isdir(os.path.join(places.conflicts, relative))
        ]
    trees = sorted({places.tree(version) for version in layout.installed()})
    return {
        "paths": paths,
        "kept": kept,
        "stays": trees if everything else [],
    }


def staged(places: Places) -> None:
    """Remove staged trees and blobs."""
    for path in (places.staging, places.blobs, places.staged, places.nexts):
        for name in names_in(path):
            remove_any(os.path.join(path, name))
        if os.path.isdir(path):
            sync_directory(path)


def everything(places: Places, beside: Sequence[str] = ()) -> None:
    """Remove every trace of ours; directories that existed before us stay."""
    origin = read_json(places.origin) or {"created": []}
    second_layer.disarm(places)
    for path in data.left_over(beside, places.product):
        remove_tree(path)
    for path in data.folders(beside):
        _remove_if_empty(path)
    remove_tree(places.beside)
    remove_tree(places.home)
    others = [
        name
        for name in names_in(places.state_dir)
        if name != "updater" and os.path.isdir(os.path.join(places.state_dir, name))
    ]
    if not others:
        remove_tree(places.updaters)
    for path in reversed(origin["created"]):
        _remove_if_empty(path)
    _remove_if_empty(places.state_dir)


def _remove_if_empty(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path):
        os.rmdir(path)
