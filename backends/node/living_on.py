"""Files that live on across versions: kept once the service is gone, because it writes them.

In place (`overlay`) a copy makes sure that they come back as they were. Where the tree changes
(`versions`, `swap`) they are copied into the new one, and the old one keeps its own.
Source: design.md, section 5, "Transaction", rule 1.
"""

import os
from typing import List

from backends.node import images, parents, steps
from backends.node.places import remove_if_there, sync_directory
from backends.node.steps import Step, from_hex, to_hex
from backends.node.transaction import Transaction, side_file


def keep(transaction: Transaction, todo: List[Step]) -> None:
    """Record what lies there now that nobody writes any more, then copy what lives on.

    Raises:
        OSError, AppendFailed: It is not all kept; nothing of the product has been changed.
    """
    layout, version = transaction.layout, transaction.to["version"]
    kept = layout.kept_in_place(version, transaction.txn, len(todo))
    previous = transaction.previous
    carried = layout.carried(previous["version"], version) if previous else {}
    found = {
        "kept": kept,
        "parents": parents.look_at((Step(intent) for intent in kept), layout.top),
        "carried": [
            [to_hex(source), to_hex(goal), images.image(source)]
            for source, goal in sorted(carried.items())
        ],
        "parked": [steps.look_again(step) for step in todo if step.parks],
    }
    digest = side_file(transaction, "quiet.json", found)
    transaction.log("QUIET", file=digest, kept=len(kept) + len(carried))
    for intent in kept:
        steps.back_up(Step(intent))
    sync_directory(transaction.places.store)
    for source, goal in sorted(carried.items()):
        _carry(source, goal)


def _carry(source: str, goal: str) -> None:
    parent = os.path.dirname(goal)
    if not os.path.isdir(parent):
        _make_like(os.path.dirname(source), parent)
    remove_if_there(goal)  # the release's own, which a file that lives on takes the place of
    steps.copy_exactly(source, goal)
    sync_directory(parent)


def _make_like(old: str, new: str) -> None:
    if not os.path.isdir(os.path.dirname(new)):
        _make_like(os.path.dirname(old), os.path.dirname(new))
    found = os.stat(old)
    os.mkdir(new)
    os.chown(new, found.st_uid, found.st_gid)
    os.chmod(new, found.st_mode & 0o7777)
    sync_directory(os.path.dirname(new))


def take_out(transaction: Transaction) -> None:
    """On the way back: remove our copies from the staged tree; a changed one stays there."""
    for _, goal, image in transaction.quiet()["carried"]:
        path = from_hex(goal)
        now = images.image(path)
        if now["kind"] != "absent" and all(
            now.get(name) == image.get(name) for name in ("kind", "sha256", "target")
        ):
            os.unlink(path)
