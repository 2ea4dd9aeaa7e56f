"""Data of the product: copied while nobody writes it, kept or put back when the node goes back.

The copy is made once the old service is seen gone, beside the data, so that a rename puts it back.
It is given up at FINALIZE. On the way back a person says whether newer data is kept or the copy
put back; where nobody is asked, the profile does. Data that is set aside goes to `conflicts/`.
Source: design.md, section 5, "Layouts" and "Transaction", rule 4.
"""

import os
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from backends.node import images, processes, standing
from backends.node.copying import copy_tree, set_aside
from backends.node.keeping import OURS
from backends.node.places import (
    make_directories,
    refuse_foreign,
    remove_any,
    sync_directory,
)
from backends.node.service import Service
from backends.node.steps import Step, from_hex, to_hex
from backends.node.transaction import Transaction

BYTES_A_SECOND = 100 << 20
"""What a copy is reckoned at, for people: no decision depends on it."""


class Unfit(Exception):
    """A data directory cannot be copied and put back; the text says which and why."""


class Size(NamedTuple):
    """How much there is."""

    files: int
    bytes: int


def directories(service: Service, document: Dict[str, Any]) -> List[str]:
    """The data directories of a product on this node."""
    return [os.path.normpath(service.expand(path)) for path in document["data"]["directories"]]


def size_of(path: str) -> Size:
    """How much lies in a directory; nothing, where there is none."""
    found = [about for _, about in images.walk(path)] if os.path.isdir(path) else []
    return Size(len(found), sum(about.st_size for about in found))


def refuse_unfit(paths: List[str], steps: List[Step]) -> None:
    """Raises Unfit when a directory cannot be put back by a rename, or the switch changes it."""
    for path in paths:
        if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
            raise Unfit("%s is no directory of its own" % path)
        if os.path.ismount(path):
            raise Unfit("%s is a mount: name the directories in it" % path)
        for step in steps:
            parked = step.parks and (path + "/").startswith(step.path + "/")
            if parked or (step.path + "/").startswith(path + "/"):
                raise Unfit("%s is data, and the release changes %s" % (path, step.path))


def copy(transaction: Transaction) -> None:
    """Copy what there is, durably. The service is gone; nothing of the product was changed yet.

    Raises:
        OSError: It is not all copied.
        journal.AppendFailed: It is not recorded.
    """
    began = time.monotonic()
    found = []
    for number, path in enumerate(directories(transaction.new_service, transaction.document)):
        store = _store(path, transaction, number)
        entry: Dict[str, Any] = {"path": to_hex(path), "store": to_hex(store), "digest": None}
        if os.path.lexists(path):
            _make_beside(transaction, store)
            _forget_one(store)
            copy_tree(path, _part(store))
            os.rename(_part(store), store)
            sync_directory(os.path.dirname(store))
            entry["digest"] = images.tree_digest(store)
            if entry["digest"] != images.tree_digest(path):
                raise OSError("%s changed while it was copied" % path)
        size = size_of(path)
        entry.update(files=size.files, bytes=size.bytes)
        found.append(entry)
    if found:
        transaction.log("DATA", copied=found, seconds=round(time.monotonic() - began, 1))


def copied(records: List[Dict[str, Any]]) -> List[Tuple[str, str, Optional[str]]]:
    """What was copied: path, copy, and the digest (None: there was nothing)."""
    record = standing.last(records, "DATA")
    return [
        (from_hex(entry["path"]), from_hex(entry["store"]), entry["digest"])
        for entry in (record["copied"] if record else [])
    ]


def in_words(records: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """What was copied, for people: directories, bytes, and when; None when nothing was."""
    record = standing.last(records, "DATA")
    if record is None:
        return None
    return {
        "directories": [path for path, _, _ in copied(records)],
        "bytes": sum(entry["bytes"] for entry in record["copied"]),
        "since": record["wt"],
    }


def settle(transaction: Transaction) -> List[str]:
    """On the way back, once the files are: put the data back or see that it can be read.

    What is not as it must be, in words; it may be said again after that was repaired.
    """
    found = copied(transaction.records)
    if not found:
        return []
    if choice(transaction) == "keep":
        return _see_readable(transaction)
    failures = []
    for path, store, digest in found:
        if _is_back(transaction, path):
            continue
        try:
            failures += _put_back(transaction, path, store, digest)
        except OSError as error:
            failures.append("%s: %s" % (path, error))
    return failures


def missing(records: List[Dict[str, Any]]) -> List[str]:
    """Which copies are not what was copied, before one is put back; it reads all of them."""
    found = []
    for path, store, digest in copied(records):
        try:
            is_whole = digest is None or digest == images.tree_digest(store)
            why = "" if is_whole else "its copy is gone or was changed"
        except OSError as error:
            why = str(error)
        found += ["%s: %s" % (path, why)] if why else []
    return found


def choice(transaction: Transaction) -> str:
    """`keep` or `restore`, as a person said, else as the profile does."""
    said = standing.last(transaction.records, "CHOICE", "ROLLBACK") or {}
    return str(said.get("data") or transaction.document["data"]["unattended"])


def forget(transaction: Transaction) -> None:
    """Give up the copies, and what was begun of them."""
    for number, path in enumerate(directories(transaction.new_service, transaction.document)):
        store = _store(path, transaction, number)
        _forget_one(store)
        folder = os.path.dirname(store)
        if os.path.isdir(folder):
            sync_directory(folder)


def left_over(paths: Sequence[str], product: str) -> List[str]:
    """Copies of ours beside the data, whichever transaction they are of."""
    found = []
    for path in sorted({_folder(path) for path in paths}):
        names = sorted(os.listdir(path)) if os.path.isdir(path) else []
        found += [os.path.join(path, name) for name in names if name.startswith(product + "-")]
    return found


def folders(paths: Sequence[str]) -> List[str]:
    """The folders that copies lie in, the inner ones first."""
    inner = sorted({_folder(path) for path in paths})
    return inner + sorted({os.path.dirname(path) for path in inner})


def _see_readable(transaction: Transaction) -> List[str]:
    settings, old = transaction.document["data"], transaction.old_service
    if not settings["old_can_read"] or old is None:
        return []
    argv = [old.expand(word) for word in settings["old_can_read"]]
    cwd = old.tree if os.path.isdir(old.tree) else "/"
    ran = processes.run(argv, settings["timeout"], cwd, old.environment())
    ok = ran.status == 0
    transaction.note("PROOF", what="the old version can read the data", ok=ok, text=ran.said())
    if ok:
        return []
    return [
        "the old version cannot read the data as it is: %s. Roll back with the data of before: "
        "`rollback --data restore`" % ran.said()
    ]


def _put_back(transaction: Transaction, path: str, store: str, digest: Optional[str]) -> List[str]:
    if os.path.lexists(store) or digest is None:
        if os.path.lexists(path):
            kept = set_aside(path, os.path.join(transaction.conflicts, "data"))
            transaction.note("CONFLICT", what=path, kept=kept, during="rollback")
        if digest is not None:
            os.rename(store, path)
        sync_directory(os.path.dirname(path))
    ok = images.tree_digest(path) == digest
    said = "" if ok else "not the data of before"
    # Durable before the old version is started, which writes into it.
    transaction.note("PROOF", durable=True, what=path, ok=ok, text=said)
    return [] if ok else ["%s: not the data of before" % path]


def _is_back(transaction: Transaction, path: str) -> bool:
    """Whether it was proven on this way back: by now the old version may have written into it."""
    decisive = (
        record["t"] == "PROOF" and bool(record["ok"])
        for record in reversed(transaction.records)
        if record["t"] in ("ROLLBACK", "CHOICE")
        or (record["t"] == "PROOF" and record["what"] == path)
    )
    return next(decisive, False)


def _store(path: str, transaction: Transaction, number: int) -> str:
    name = "%s-%s.%d" % (transaction.places.product, transaction.txn, number)
    return os.path.join(_folder(path), name)


def _folder(path: str) -> str:
    return os.path.join(os.path.dirname(path), OURS, "data")


def _part(store: str) -> str:
    return store + ".part"


def _make_beside(transaction: Transaction, store: str) -> None:
    folder = os.path.dirname(store)
    created = make_directories(folder, private=os.path.dirname(folder))
    for place in (os.path.dirname(folder), folder):
        refuse_foreign(place)
    transaction.places.note_created(created)


def _forget_one(store: str) -> None:
    for path in (store, _part(store)):
        remove_any(path)
