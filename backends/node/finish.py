"""FINALIZE, and what follows from it: marker, floor, then the backups are given up.

In this order, because after the marker is durable nothing needs the backups any more, and before
it they are the only way back (design.md, section 5).
"""

import os
from typing import Any, Dict, Iterator, List, Optional

from backends.node import data, definition, hooks, provenance, standing
from backends.node.places import (
    Places,
    make_directories,
    names_in,
    read_json,
    remove_any,
    remove_if_there,
    remove_tree,
    sync_directory,
    write_file,
    write_json,
)
from backends.node.transaction import Transaction, put_away


def decide_and_complete(transaction: Transaction, by: str, **said: Any) -> str:
    """Run the hooks before it, then record FINALIZE and carry it out; `ok`, or `failed`.

    `said` goes into the record beside who decided.

    A hook that fails leaves the node as it is, accepted and reversible.
    """
    try:
        hooks.run(transaction, "before_finalize")
    except hooks.HookFailed:
        hooks.undo(transaction, "before_finalize")
        return "failed"
    if transaction.decide("FINALIZE", by=by, **said) is not None:
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
    version, digest = transaction.to["version"], transaction.to["digest"]
    record = transaction.layout.coming(version)
    write_json(
        places.finalized,
        {
            "version": version,
            "digest": digest,
            "packaged": provenance.packaged(transaction.to),
            "reconfigured": _is_reconfigured(transaction),
            "run": transaction.run,
            "previous": _came_from(transaction),
            "time": decided["wt"] if decided else None,
        },
    )
    raise_floor(places, record)
    _give_up_store(transaction)
    _take_up_next(places, version, digest)
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


def _is_reconfigured(transaction: Transaction) -> bool:
    """Whether the default before this one was of the same version, with other configuration.

    Of what was installed again, as `_came_from`.
    """
    before, after = transaction.previous, transaction.to
    if before is None or before["version"] != after["version"]:
        return False
    if before["digest"] != after["digest"]:
        return True
    return bool((read_json(transaction.places.finalized) or {}).get("reconfigured"))


def _take_up_next(places: Places, version: str, digest: str) -> None:
    """What came beside the record of the same version takes its place.

    After the store: what was there before is told from what was edited by the record of then.
    """
    coming = read_json(places.next_manifest(version))
    if coming is not None and coming.get("digest") == digest:
        if os.path.lexists(places.next_default(version)):
            remove_tree(places.default(version))
            make_directories(places.defaults)
            os.rename(places.next_default(version), places.default(version))
            sync_directory(places.defaults)
        os.rename(places.next_manifest(version), places.manifest(version))
        sync_directory(places.manifests)
    remove_tree(places.next(version))


def raise_floor(places: Places, record: Optional[Dict[str, Any]]) -> None:
    """The release sequence below which nothing is installed without a person saying so."""
    sequence = (record or {}).get("sequence")
    if isinstance(sequence, int) and sequence > _floor(places.floor):
        write_file(places.floor, b"%d\n" % sequence)


def _floor(path: str) -> int:
    try:
        with open(path, "rb") as stream:
            return int(stream.read(64))
    except (FileNotFoundError, ValueError):
        return -1


def lost_with_store(transaction: Transaction) -> Iterator[Dict[str, str]]:
    """What of the backups is set aside before they are given up, step by step."""
    layout = transaction.layout
    previous = transaction.previous["version"] if transaction.previous else None
    for step in transaction.steps():
        if definition.is_one(step):
            shipped_before = layout.manifest(previous) if previous else None
            named = transaction.document["service"]["definition"]
            yield definition.lost_with(step, named, shipped_before)
        else:
            yield layout.lost_with(step, previous)


def backups(transaction: Transaction) -> List[str]:
    """Where the backups lie that are given up."""
    store = transaction.places.store
    begin = transaction.txn + "."
    return [os.path.join(store, name) for name in names_in(store) if name.startswith(begin)]


def _give_up_store(transaction: Transaction) -> None:
    places, layout = transaction.places, transaction.layout
    for found in lost_with_store(transaction):
        transaction.set_aside(found)
    for path in backups(transaction):
        remove_any(path)
    definition.forget_prepared(transaction)
    data.forget(transaction)
    layout.forget_prepared(transaction.txn)
    version = transaction.to["version"]
    remove_if_there(places.stage_mark(version))
    remove_tree(places.staged_tree(version))  # what both versions have was not moved from there
    sync_directory(places.store)
