"""The service's definition: a file of the release that becomes the unit or the init script.

It is one step of the transaction like any other, with a before-image and a backup of its own, so
that the way back ends with the very unit that was there. A definition that was not there before is
enabled at the start, and disabled again on the way back. Source: design.md, section 5, "Services";
features B10 and B21: a definition that was changed half-way is undone, too.
"""

import os
from typing import Dict, List, Optional

from backends.node import contexts, images
from backends.node.layout import Manifest, Unfit
from backends.node.places import remove_if_there, sync_directory, write_file
from backends.node.service import Service
from backends.node.steps import Intent, Step, intend
from backends.node.transaction import Transaction

_ROLE = "definition"


def intend_place(
    service: Service, staged_tree: str, number: int, txn: str, store: str
) -> Optional[Intent]:
    """The step that puts the staged version's definition in place; None when nothing differs.

    Raises:
        Unfit: The release has no such file, or what lies in its place is none.
        OSError: It cannot be prepared.
    """
    named, goal = service.settings["definition"], service.definition_place()
    if not named or goal is None:
        return None
    top = staged_tree if os.path.isdir(staged_tree) else service.tree
    source = os.path.join(top, named)
    if not os.path.isfile(source) or os.path.islink(source):
        raise Unfit("the release has no file %s for the definition of the service" % named)
    now = images.image(goal)
    if now["kind"] not in ("absent", "file", "link"):
        raise Unfit("%s is a %s, no definition of a service" % (goal, now["kind"]))
    with open(source, "rb") as stream:
        content = stream.read()
    new = _prepared(goal, txn)
    write_file(new, content, service.definition_mode, part=_part(new))
    contexts.follow(new, goal)
    made = images.image(new)
    if all(made.get(name) == now.get(name) for name in ("kind", "sha256", "mode")):
        os.unlink(new)
        return None
    return dict(intend(number, "put", goal, new, store), role=_ROLE)


def of(steps: List[Step]) -> Optional[Step]:
    """The step of a plan that places the definition, if there is one."""
    for step in steps:
        if step.intent.get("role") == _ROLE:
            return step
    return None


def enable(transaction: Transaction, done: List[Step]) -> str:
    """Have a definition that was not there before started at boot; why not, or nothing.

    Raises:
        journal.AppendFailed: It is not recorded, so nothing was done.
    """
    step, service = of(done), transaction.new_service
    if step is None:
        return ""
    service.read_definitions()
    if step.before["kind"] != "absent" or service.is_enabled():
        return ""
    transaction.log("SVC", verb="enable", ok=None, text=step.path)
    text = service.set_enabled(True)
    ok = service.is_enabled()
    transaction.log("SVC", durable=False, verb="enabled", ok=ok, text=text)
    return "" if ok else "the service cannot be enabled: %s" % text


def disable(transaction: Transaction) -> List[str]:
    """On the way back: what was enabled is disabled, while its definition is still there."""
    service = transaction.new_service
    if not _was_enabled(transaction) or not service.is_enabled():
        return []
    text = service.set_enabled(False)
    ok = not service.is_enabled()
    transaction.note("UNDO", what="do not start it at boot", ok=ok, text=text)
    return [] if ok else ["the service is still enabled: %s" % text]


def read_again(transaction: Transaction) -> None:
    """On the way back: the service manager has the definitions that are in place now."""
    if of(transaction.steps()) is not None:
        transaction.new_service.read_definitions()


def forget_prepared(transaction: Transaction) -> None:
    """Remove what `intend_place` has prepared and was not needed."""
    step, service = of(transaction.steps()), transaction.new_service
    goal = step.path if step else service.settings["definition"] and service.definition_place()
    if not goal:
        return
    new = _prepared(goal, transaction.txn)
    if [path for path in (_part(new), new) if remove_if_there(path)]:
        sync_directory(os.path.dirname(goal))


def lost_with(step: Step, named: str, manifest: Optional[Manifest]) -> Dict[str, str]:
    """A replaced definition that the old release did not ship: path -> name to keep it under."""
    if step.before["kind"] == "absent" or not os.path.lexists(step.store):
        return {}
    known = manifest["files"] if manifest and manifest["source"] == "release" else []
    shipped = [entry["sha256"] for entry in known if entry["path"] == named]
    if images.image(step.store).get("sha256") in shipped:
        return {}
    return {step.store: os.path.join("definition", os.path.basename(step.path))}


def is_one(step: Step) -> bool:
    """Whether a step places a definition."""
    return step.intent.get("role") == _ROLE


def _was_enabled(transaction: Transaction) -> bool:
    records = transaction.records
    return any(record["t"] == "SVC" and record["verb"] == "enable" for record in records)


def _prepared(goal: str, txn: str) -> str:
    """Beside its goal: a rename must do. Neither systemd nor init reads a name like that."""
    return os.path.join(os.path.dirname(goal), ".liftlock-%s" % txn)


def _part(new: str) -> str:
    return new + ".part"
