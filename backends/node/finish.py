"""FINALIZE, and what follows from it: marker, floor, then the backups are given up.

In this order, because after the marker is durable nothing needs the backups any more, and before
it they are the only way back (design.md, section 5).
"""

import os
from typing import Any, Dict, Optional

from backends.node import data, definition, hooks, standing
from backends.node.places import (
    Places,
    names_in,
    read_json,
    remove_if_there,
    remove_tree,
    sync_directory,
    write_file,
    write_json,
)
from backends.node.transaction import Transaction, put_away


def decide_and_complete(transaction: Transaction, by: str) -> str:
    """Run the hooks before it, then record FINALIZE and carry it out; `ok`, or `failed`.

    A hook that fails leaves the node as it is, accepted and reversible.
    """
    try:
        hooks.run(transaction, "before_finalize")
    except hooks.HookFailed:
        hooks.undo(transaction, "before_finalize")
        return "failed"
    if transaction.decide("FINALIZE", by=by) is not None:
        hooks.undo(transaction, "before_finalize")  # somebody takes it back
        return "failed"
    complete(transaction)
    return "ok"


def complete(transaction: Transaction) -> None:
    """Carry out a recorded FINALIZE. May be repeated after any crash."""
    if standing.decision(transaction.records) != "FINALIZE":
        raise AssertionError("complete() without FINALIZE")
    transaction.journal.sync()
    places = transaction.places
    decided = standing.last(transaction.records, "FINALIZE")
    write_json(
        places.finalized,
        {
            "version": transaction.to["version"],
            "digest": transaction.to["digest"],
            "run": transaction.run,
            "previous": _came_from(transaction),
            "time": decided["wt"] if decided else None,
        },
    )
    raise_floor(places, transaction.to["version"])
    _give_up_store(transaction)
    transaction.log("END", outcome="ok")
    put_away(transaction)


def _came_from(transaction: Transaction) -> Optional[Dict[str, Any]]:
    """The version before this one; of one that was installed again, what it came from before."""
    previous = transaction.previous
    if previous is None or previous["version"] != transaction.to["version"]:
        return previous
    marker = read_json(transaction.places.finalized) or {}
    found: Optional[Dict[str, Any]] = marker.get("previous")
    return found


def raise_floor(places: Places, version: str) -> None:
    """The release sequence below which nothing is installed without a person saying so."""
    manifest = read_json(places.manifest(version)) or {}
    sequence = manifest.get("sequence")
    if isinstance(sequence, int) and sequence > _floor(places.floor):
        write_file(places.floor, b"%d\n" % sequence)


def _floor(path: str) -> int:
    try:
        with open(path, "rb") as stream:
            return int(stream.read(64))
    except (FileNotFoundError, ValueError):
        return -1


def _give_up_store(transaction: Transaction) -> None:
    places, layout = transaction.places, transaction.layout
    previous = transaction.previous["version"] if transaction.previous else None
    for step in transaction.steps():
        if definition.is_one(step):
            shipped_before = layout.manifest(previous) if previous else None
            named = transaction.document["service"]["definition"]
            transaction.set_aside(definition.lost_with(step, named, shipped_before))
        else:
            transaction.set_aside(layout.lost_with(step, previous))
    for name in names_in(places.store):
        if name.startswith(transaction.txn + "."):
            path = os.path.join(places.store, name)
            if os.path.isdir(path) and not os.path.islink(path):
                remove_tree(path)
            else:
                remove_if_there(path)
    definition.forget_prepared(transaction)
    data.forget(transaction)
    layout.forget_prepared(transaction.txn)
    version = transaction.to["version"]
    remove_if_there(places.stage_mark(version))
    remove_tree(places.staged_tree(version))  # what both versions have was not moved from there
    sync_directory(places.store)
