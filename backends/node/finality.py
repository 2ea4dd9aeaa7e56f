"""What FINALIZE would give up on this node, and what is known of the time since ACCEPT; read only.

Nobody watches a node after it was accepted: what is not recorded is not called well.
"""

import os
import stat
from functools import partial
from typing import Any, Container, Dict, Iterable, Iterator, List, Optional

from backends.node import clock, data, finish, images, standing, transaction
from backends.node.call import OK, Answer, Call
from backends.node.conflicts import first
from backends.node.journal import Journal, JournalDamaged
from backends.node.layout import PointerUnreadable
from backends.node.places import read_json
from backends.node.refusal import Refused
from backends.node.wire import WireError

_EVENTS = 20
"""So many of what was recorded since are told, the newest ones."""

_SINCE = ("VERIFY", "RESTARTED")
"""Records of the product's own journal that say how it was since."""

_BLOCK = 512


def preview(call: Call) -> Answer:
    """Say what would become final here, what is freed, and how the time since was.

    Raises:
        Refused: Nothing that could be made final is open here.
    """
    opened = transaction.load(call.places)
    if opened is None:
        marker = read_json(call.places.finalized)
        if marker is None:
            raise Refused("no-upgrade-open", "no upgrade is open on this node")
        call.send({"t": "already", "version": marker["version"], "run": marker["run"]})
        return OK
    opened.close()
    accepted = standing.last(opened.records, "ACCEPT")
    reason = standing.why_not_finalize(opened.records)
    if accepted is None or reason is not None:
        raise Refused("not-accepted", reason or "not accepted", "", "only that is finalized")
    aside: Dict[str, str] = {}
    for lost in finish.lost_with_store(opened):
        aside.update(lost)
    copies = [store for _, store, _ in data.copied(opened.records)]
    staged = [call.places.staged_tree(opened.to["version"])]
    installed = call.layout.installed()
    call.send(
        {
            "t": "finality",
            "version": opened.to["version"],
            "run": opened.run,
            "since": accepted["wt"],
            "seconds": _age(accepted),
            "frees": {
                "backups_bytes": freed(finish.backups(opened), aside),
                "staged_bytes": freed(staged),
                "data_bytes": freed(copies),
            },
            "aside": first(list(aside.values())),
            "count": len(aside),
            "stays": [name for name in installed if name != opened.to["version"]],
            "irreversible": _irreversible(call, opened.run),
            "process": _process(call, opened.txn),
            "trial": {
                "unhealthy": _count(opened.records, "UNHEALTHY"),
                "restarts": _count(opened.records, "RESTART"),
            },
            "events": _events(call, accepted),
        }
    )
    return OK


def freed(paths: Iterable[str], aside: Iterable[str] = ()) -> int:
    """Bytes that the file system gets back when these go, without what is set `aside`.

    A file that has another name elsewhere is not freed by losing one of its names.
    """
    seen, total = {}, 0  # type: Dict[Any, int], int
    for found in _all(paths, frozenset(aside)):
        if stat.S_ISDIR(found.st_mode):
            total += found.st_blocks * _BLOCK
            continue
        names = seen[found.st_dev, found.st_ino] = seen.get((found.st_dev, found.st_ino), 0) + 1
        if names == found.st_nlink:
            total += found.st_blocks * _BLOCK
    return total


def _all(paths: Iterable[str], kept: Container[str]) -> Iterator[os.stat_result]:
    for top in paths:
        if not os.path.lexists(top) or top in kept:
            continue
        yield os.lstat(top)
        if os.path.isdir(top) and not os.path.islink(top):
            leave_out = partial(_is_kept, top, kept)
            for _, found in images.walk(top, leave_out):
                yield found


def _is_kept(top: str, kept: Container[str], path: str) -> bool:
    return os.path.join(top, path) in kept


def _age(accepted: Dict[str, Any]) -> float:
    """Seconds since; by the clock that nobody sets, where the node was not restarted since."""
    if accepted["bid"] == clock.boot_id():
        return round(clock.since_boot() - float(accepted["bt"]), 1)
    return round(max(0.0, clock.wall() - float(accepted["wt"])), 1)


def _irreversible(call: Call, run: str) -> Optional[List[str]]:
    """What the release says does not come back; None where the run did not write that down."""
    try:
        found = read_json(call.places.run) or {}
    except WireError:
        return None
    said = found.get("irreversible") if found.get("run") == run else None
    return None if said is None else first([str(text) for text in said])


def _process(call: Call, txn: str) -> str:
    """Whether what runs is the process that was accepted: `same`, `other`, `none`, `unknown`."""
    try:
        service = call.reader.service(call.layout.selected())
        started = read_json(call.places.started)
    except (PointerUnreadable, WireError):
        return "unknown"
    now = service.identity() if service is not None else None
    if now is None or started is None:
        return "none" if now is None else "unknown"
    return "same" if (started["txn"], started["start_id"]) == (txn, now) else "other"


def _count(records: List[Dict[str, Any]], kind: str) -> int:
    return len([record for record in records if record["t"] == kind])


def _events(call: Call, accepted: Dict[str, Any]) -> Optional[List[Dict[str, Any]]]:
    """What was recorded of the product since it was accepted; None where that cannot be read."""
    if not os.path.exists(call.places.journal):
        return []
    try:
        book = Journal(call.places.journal)
    except JournalDamaged:
        return None
    book.close()
    found = [
        {"t": record["t"], "time": record["wt"], "ok": record["ok"], "text": record["text"][:500]}
        for record in book.records
        if record["t"] in _SINCE and _is_behind(record, accepted)
    ]
    return found[-_EVENTS:]


def _is_behind(record: Dict[str, Any], accepted: Dict[str, Any]) -> bool:
    if record["bid"] == accepted["bid"]:
        return bool(record["bt"] >= accepted["bt"])
    return bool(record["wt"] >= accepted["wt"])
