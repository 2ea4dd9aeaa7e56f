"""The way forward: from BEGIN to the trial. Any failure on it is the way back.

Order (design.md, section 5): BEGIN, HOOK, INTENTS, backups durable, stop, effects, digest, start,
TRIAL. Before-images and backups are durable before anything they undo is changed.
"""

import logging
import os
from typing import Any, Callable, Dict, List, Optional

from backends.node import (
    clock,
    configuration,
    data,
    definition,
    health,
    health_file,
    hooks,
    leadership,
    living_on,
    monitor,
    parents,
    provenance,
    rollback,
    second_layer,
    standing,
    steps,
    wire,
)
from backends.node.journal import AppendFailed, JournalDamaged
from backends.node.layout import PointerUnreadable, Unfit
from backends.node.layouts import layout_of
from backends.node.ownership import NoSuchOwner
from backends.node.places import Places, sync_directory
from backends.node.transaction import Transaction, begin, next_name, side_file

_log = logging.getLogger("liftlock")

_NAMES = 50
"""So many paths are named in the journal."""


class StepFailed(Exception):
    """The way forward ends here; the text is the first error and stays visible."""


def drive(
    places: Places,
    order: Dict[str, Any],
    updater: str,
    began: Callable[[Transaction], None],
) -> str:
    """Install a staged version and watch it; the outcome word of design.md, section 4.

    The caller holds the driver lock. `order` is the command: product, run, version, digest,
    previous, policy, operator, reason.
    """
    decided = configuration.Decided(**order["decided"])
    document = configuration.settled(order["product"], decided, order["digest"])
    record = layout_of(document, places).coming(order["version"]) or {}
    plan = {
        "schema": "liftlock.transaction/1",
        "run": order["run"],
        "txn": next_name(places, order["run"]),
        "product": document,
        "from": order["previous"],
        "to": {
            "version": order["version"],
            "digest": order["digest"],
            "packaged": provenance.packaged(record),
            "path": places.tree(order["version"]),
        },
        "policy": order["policy"],
        "operator": order["operator"],
        "reason": order.get("reason", ""),
        "updater": updater,
    }
    transaction = begin(
        places,
        plan,
        txn=plan["txn"],
        run=plan["run"],
        source=plan["from"],
        target=plan["to"],
        updater=updater,
        operator=plan["operator"],
        reason=plan["reason"],
        **wire.request_of(order),
    )
    began(transaction)
    try:
        _forward(transaction)
    except (StepFailed, hooks.HookFailed, OSError, AppendFailed) as error:
        return rollback.decide_and_undo(transaction, str(error), "the updater")
    except Exception as error:  # a defect of ours must not leave a node half-way
        _log.exception("on the way forward")
        why = "a defect in the updater: %s: %s" % (type(error).__name__, error)
        return rollback.decide_and_undo(transaction, why, "the updater")
    if standing.decision(transaction.records) == "ROLLBACK":
        return rollback.undo(transaction)
    return monitor.watch(transaction)


def _forward(transaction: Transaction) -> None:
    second_layer.arm(transaction)
    _tell_configuration(transaction)
    _take_baseline(transaction)
    todo = _intend(transaction)
    for step in todo:
        parents.refuse_strayed(step, transaction.layout.top)
        steps.back_up(step)
    _sync_stores(todo)
    transaction.log("BACKUPS", steps=len(todo))
    if _was_stopped_by_order(transaction):
        return
    leadership.give_away(transaction)
    hooks.run(transaction, "before_stop")
    _stop_old(transaction)
    todo = living_on.keep(transaction, todo)
    _refuse_edited(transaction)  # now that it was looked at again, it comes back as it is
    data.copy(transaction)
    hooks.run(transaction, "after_stop")
    for step in todo:
        parents.refuse_strayed(step, transaction.layout.top)
        steps.apply(step)
        transaction.log("EFFECT", durable=False, step=step.number, what=step.title)
    for path in steps.touched_directories(todo):
        sync_directory(path)
    _check_target(transaction, todo)
    if _was_stopped_by_order(transaction):
        return
    not_enabled = definition.enable(transaction, todo)
    if not_enabled:
        raise StepFailed(not_enabled)
    hooks.run(transaction, "before_start")
    _start_new(transaction)
    hooks.run(transaction, "after_start")
    _begin_trial(transaction)


def _tell_configuration(transaction: Transaction) -> None:
    """Which edited configuration files stay, and beside which of them a new default is put."""
    decided = transaction.document["decided"]
    if decided["kept"]:
        shown = {name: decided[name][:_NAMES] for name in ("kept", "beside")}
        transaction.log("CONFIG", durable=False, **shown)


def _take_baseline(transaction: Transaction) -> None:
    """Which soft checks fail with the old version: the new one is not asked about those."""
    old, document = transaction.old_service, transaction.document
    if old is None or all(settings["level"] == "hard" for settings in document["health"]):
        return
    checks = health.run_all(document, old)
    failing = [check.name for check in checks if check.level == "soft" and not check.ok]
    transaction.log("BASELINE", durable=False, failing=failing)


def _intend(transaction: Transaction) -> List[steps.Step]:
    """The steps of this plan, once all of their before-images are durable."""
    layout, version, txn = transaction.layout, transaction.to["version"], transaction.txn
    try:
        intents = layout.compile(version, txn)
        defined = definition.intend_place(
            transaction.new_service,
            transaction.places.staged_tree(version),
            len(intents),
            txn,
            layout.store(txn, len(intents)),
        )
        intents += [defined] if defined else []
        intents.append(layout.point(len(intents), version, txn))
    except (Unfit, NoSuchOwner, PointerUnreadable) as error:
        raise StepFailed(str(error)) from error
    around = parents.look_at((steps.Step(intent) for intent in intents), layout.top)
    digest = side_file(transaction, "intents.json", {"steps": intents, "parents": around})
    transaction.log("INTENTS", file=digest, steps=len(intents))
    return transaction.steps()


def _sync_stores(todo: List[steps.Step]) -> None:
    for path in sorted({os.path.dirname(step.store) for step in todo}):
        sync_directory(path)


def _was_stopped_by_order(transaction: Transaction) -> bool:
    """Whether somebody decided ROLLBACK before the trial began."""
    try:
        transaction.journal.refresh()
    except JournalDamaged as error:
        raise StepFailed(str(error)) from error
    return standing.decision(transaction.records) == "ROLLBACK"


def _stop_old(transaction: Transaction) -> None:
    old = transaction.old_service
    if old is None:
        transaction.log("SVC", verb="stop", was="absent", ok=True, text="first install")
        return
    was, text = old.status()
    living = old.living()
    if was == "stopped" and not living:
        transaction.log("SVC", verb="stop", was="stopped", ok=True, text=text)
        return
    # Written first: from here on an undo must start the old version again.
    transaction.log(
        "SVC", verb="stop", was="started", ok=None, pids=living, start_id=old.identity(), text=text
    )
    gone, text = old.stop()
    transaction.log("SVC", durable=False, verb="stopped", ok=gone, text=text)
    if not gone:
        raise StepFailed("the service did not stop: %s" % text)


def _refuse_edited(transaction: Transaction) -> None:
    """What was edited since it was decided about would be replaced: it is decided anew instead."""
    try:
        edited = configuration.edited_since(transaction.layout)
    except PointerUnreadable as error:
        raise StepFailed(str(error)) from error
    if edited:
        raise StepFailed(
            "edited since the upgrade began, start it again: %s" % ", ".join(edited[:_NAMES])
        )


def _check_target(transaction: Transaction, done: List[steps.Step]) -> None:
    """Read what is in place once more: it must be the release, to the byte."""
    version = transaction.to["version"]
    manifest = transaction.layout.coming(version)
    if manifest is None:
        raise StepFailed("the manifest of %s is gone" % version)
    found = transaction.layout.compare(version, manifest["files"])
    pointer = _selected(transaction)
    if not found.is_exact or pointer != version:
        raise StepFailed("not what was staged: %s; the pointer names %s" % (found.text(), pointer))
    for step in done:
        if step.op == "remove" and os.path.lexists(step.path):
            raise StepFailed("%s was removed and is there again" % step.path)
        if definition.is_one(step) and not steps.holds(step.path, step.after):
            raise StepFailed("%s is not the definition of the release" % step.path)
    transaction.log("TARGET", digest=transaction.to["digest"], files=found.equal)


def _selected(transaction: Transaction) -> Optional[str]:
    try:
        return transaction.layout.selected()
    except PointerUnreadable as error:
        raise StepFailed(str(error)) from error


def _start_new(transaction: Transaction) -> None:
    new = transaction.new_service
    start: Dict[str, Any] = {"verb": "start", "ok": None, "text": ""}
    stale = health_file.signatures(transaction.document, new)
    if stale:
        start["stale"] = stale
    transaction.log("SVC", **start)
    ok, text = new.start(transaction.file("start.out"))
    transaction.log(
        "SVC", durable=False, verb="started", ok=ok, text=text, start_id=new.identity()
    )
    if not ok:
        raise StepFailed("the new version did not start: %s" % text)


def _begin_trial(transaction: Transaction) -> None:
    now = clock.since_boot()
    window = float(transaction.limits["accept_window"])
    transaction.log("TRIAL", until=round(now + window, 3), window=window, spent=0.0)
