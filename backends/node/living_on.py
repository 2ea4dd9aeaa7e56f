"""Files that live on across versions: kept once the service is gone, because it writes them.

In place (`overlay`) a copy makes sure that they come back as they were. Where the tree changes
(`versions`, `swap`) they are copied into the new one, and the old one keeps its own.
Source: design.md, section 5, "Transaction", rule 1.
"""

import os
from typing import List

from backends.node import images, parents, steps
from backends.node.copying import copy_exactly, make_like
from backends.node.layout import NEW
from backends.node.places import remove_if_there, sync_directory
from backends.node.steps import Step, from_hex, to_hex
from backends.node.transaction import Transaction, side_file


def keep(transaction: Transaction, todo: List[Step]) -> List[Step]:
    """Record what lies there now that nobody writes any more, then copy what lives on.

    Returns:
        The steps whose effects come next, as recorded.

    Raises:
        OSError, AppendFailed: It is not all kept; nothing of the product has been changed.
    """
    layout, version = transaction.layout, transaction.to["version"]
    kept = layout.kept_in_place({step.path for step in todo}, transaction.txn, len(todo))
    previous = transaction.previous
    carried = layout.carried(previous["version"], version) if previous else {}
    backups = steps.names_of_backups(todo)
    looked = [steps.look_again(step, backups) for step in todo]
    again = [intent for intent in looked if intent is not None]
    found = {
        "kept": kept,
        "parents": parents.look_at((Step(intent) for intent in kept), layout.top),
        "carried": [
            [to_hex(source), to_hex(goal), images.image(source)]
            for source, goal in sorted(carried.items())
        ],
        "again": again,
    }
    digest = side_file(transaction, "quiet.json", found)
    transaction.log("QUIET", file=digest, kept=len(kept) + len(carried))
    for intent in again:
        steps.back_up_again(Step(intent))
    for intent in kept:
        steps.back_up(Step(intent))
    for path in sorted({os.path.dirname(step.store) for step in todo}):
        sync_directory(path)
    beside = {os.path.join(layout.places.staged_tree(version), path) for path in layout.beside}
    for source, goal in sorted(carried.items()):
        _carry(source, goal, goal in beside)
    return [step for step in transaction.steps() if step.op != "keep"]


def _carry(source: str, goal: str, beside: bool) -> None:
    """Copy one into the new tree; with `beside` the release's own is kept there, too."""
    parent = os.path.dirname(goal)
    if not os.path.isdir(parent):
        _make_all_like(os.path.dirname(source), parent)
    if os.path.isdir(source) and not os.path.islink(source):
        make_like(source, goal)
    else:
        if beside:
            os.rename(goal, goal + NEW)
        remove_if_there(goal)  # the release's own, whose place a file that lives on takes
        copy_exactly(source, goal)
    sync_directory(parent)


def _make_all_like(old: str, new: str) -> None:
    if not os.path.isdir(os.path.dirname(new)):
        _make_all_like(os.path.dirname(old), os.path.dirname(new))
    make_like(old, new)
    sync_directory(os.path.dirname(new))


def take_out(transaction: Transaction) -> None:
    """On the way back: remove our copies from the staged tree; a changed one stays there."""
    layout, version = transaction.layout, transaction.to["version"]
    beside = {os.path.join(layout.places.staged_tree(version), path) for path in layout.beside}
    for _, goal, image in reversed(transaction.quiet()["carried"]):
        path = from_hex(goal)
        now = images.image(path)
        if now["kind"] == "dir" == image["kind"]:
            if not os.listdir(path):
                os.rmdir(path)
        elif now["kind"] != "absent" and all(
            now.get(name) == image.get(name) for name in ("kind", "sha256", "target")
        ):
            os.unlink(path)
        if path in beside and not os.path.lexists(path) and os.path.lexists(path + NEW):
            os.rename(path + NEW, path)
