"""The way back: reverse order, past failures, and it ends with a proof or says what is missing.

`undo` can be called again at any time and from any state that a crash left behind; every pass ends
in the old version. Backups are given up only after RESTORED is durable.
"""

import os
import time
from typing import Container, List, Optional, Tuple

from backends.node import (
    data,
    definition,
    evidence,
    hooks,
    images,
    living_on,
    parents,
    standing,
    steps,
)
from backends.node.journal import JournalDamaged
from backends.node.places import (
    names_in,
    remove_any,
    remove_if_there,
    sync_directory,
)
from backends.node.service import Service
from backends.node.transaction import Transaction, put_away

_ANSWER_SECONDS = 10.0
"""How long the old version may take to answer after its start, before that is called unproven."""


def decide_and_undo(transaction: Transaction, why: str, by: str) -> str:
    """Record ROLLBACK by ourselves, unless somebody decided meanwhile, and go back; the outcome.

    What a person accepted, only a person takes back.
    """
    reason = transaction.decide("ROLLBACK", standing.decision, why=why[:4000], by=by)
    if reason not in (None, "ROLLBACK"):
        return "ok"  # somebody accepted first: the first durable decision wins
    return undo(transaction)


def undo(transaction: Transaction) -> str:
    """Put everything back: `undone`, or `unproven` with the exact paths in the journal."""
    if not restore(transaction):
        return "unproven"
    return finish(transaction)


def restore(transaction: Transaction, at_boot: bool = False) -> bool:
    """Put every path back and prove it; whether that is so. The old version is not started.

    `at_boot` hooks wait: what they need may not be there yet, and files must not wait for them.
    """
    transaction.journal.sync()
    if standing.last(transaction.records, "RESTORED") is not None:
        return True
    try:
        transaction.steps()
    except JournalDamaged as error:
        transaction.log("UNPROVEN", paths=[str(error)])
        return False
    evidence.save(transaction)
    if not at_boot:
        hooks.undo(transaction, "after_start")  # one that fails is tried again in `finish`
    failures = _stop_what_runs(transaction) + definition.disable(transaction)
    if not at_boot:
        hooks.undo(transaction, "before_start")
    failures += _undo_steps(transaction)
    definition.read_again(transaction)
    if not _prove(transaction, failures):
        return False
    transaction.log("RESTORED", files=len(transaction.steps()))
    return True


def missing(transaction: Transaction) -> List[str]:
    """What the way back from an accepted version would not find as it was; nothing is changed.

    Asked while that version still serves: once it is stopped, nothing does until this is repaired.
    """
    try:
        todo, around = transaction.steps(), transaction.parents()
    except JournalDamaged as error:
        return [str(error)]
    found = []
    for step in todo:
        try:
            differs = steps.look_at_backup(step)
        except OSError as error:
            differs = [str(error)]
        found += ["%s: %s" % (step.path, text) for text in differs]
    made_again = {path for path in map(steps.from_hex, around) if not os.path.lexists(path)}
    return found + _compare_old_tree(transaction, made_again)[1]


def finish(transaction: Transaction) -> str:
    """After RESTORED: old version running again, store given up, END. May be repeated."""
    failures = hooks.undo(transaction, *hooks.FORWARD[1:])
    unfit = data.settle(transaction)
    is_running = not unfit and _start_old(transaction)
    failures += hooks.undo(transaction, hooks.FORWARD[0])
    if failures or unfit:
        transaction.log("UNPROVEN", paths=unfit + failures)
    if not is_running or failures:
        return "unproven"
    _clean(transaction)
    transaction.log("END", outcome="undone")
    put_away(transaction)
    return "undone"


def _stop_what_runs(transaction: Transaction) -> List[str]:
    """Stop the new version, and the old one where something started it meanwhile.

    Once the old one was seen gone, its files may have been changed: whatever the system started
    since then, at a boot say, must not run while they are put back, nor be taken for the old one.
    """
    if standing.last(transaction.records, "QUIET") is None:
        return []
    failures = []
    new, old = transaction.new_service, transaction.old_service
    if os.path.isdir(new.tree) and (new.living() or new.status()[0] != "stopped"):
        failures += _stop(transaction, new, "the new version")
    if old is not None and old.living():
        failures += _stop(transaction, old, "what was started meanwhile")
    return failures


def _stop(transaction: Transaction, service: Service, who: str) -> List[str]:
    gone, text = service.stop()
    if not gone and service.settings["pid_file"] and not service.living():
        gone = True  # its script says `started`, but no process of it is left
    transaction.note("UNDO", what="stop %s" % who, ok=gone, text=text)
    return [] if gone else ["%s still runs: %s" % (who, text)]


def _undo_steps(transaction: Transaction) -> List[str]:
    failures = []
    todo = transaction.steps()
    around = transaction.parents()
    try:
        for path in parents.make_good(around):
            transaction.note("UNDO", what=path, ok=True, text="the directory was gone, made again")
    except (OSError, steps.UndoFailed) as error:
        failures.append(str(error))
    for step in reversed(todo):
        try:
            parents.refuse_strayed(step, transaction.layout.top)
            text, ok = steps.undo(step, transaction.conflicts_of(step)), True
        except (OSError, steps.UndoFailed) as error:
            text, ok = str(error), False
            failures.append("%s: %s" % (step.path, error))
        transaction.note("UNDO", step=step.number, what=step.path, ok=ok, text=text)
    try:
        for path in steps.touched_directories(todo):
            sync_directory(path)
        parents.restore_times(around)
    except OSError as error:
        failures.append(str(error))
    return failures


def _prove(transaction: Transaction, failures: List[str]) -> bool:
    """Compare every path of the plan and the old version's tree with what they were."""
    problems = list(failures)
    todo = transaction.steps()
    backups = steps.names_of_backups(todo)
    for step in todo:
        try:
            found = steps.prove(step, backups)
        except OSError as error:
            found = [str(error)]
        transaction.note("PROOF", what=step.path, ok=not found, text=", ".join(found))
        problems.extend("%s: %s" % (step.path, what) for what in found)
    seen, differs = _compare_old_tree(transaction, ())
    if seen is not None and transaction.previous is not None:
        tree = transaction.places.tree(transaction.previous["version"])
        transaction.note("PROOF", what=tree, ok=seen.is_whole, text=seen.text())
    problems.extend(differs)
    if problems:
        transaction.log("UNPROVEN", paths=[problem[:500] for problem in problems[:100]])
    return not problems


def _compare_old_tree(
    transaction: Transaction, come_back: Container[str]
) -> Tuple[Optional[images.Comparison], List[str]]:
    """What no step owns of the old version, if there is any, and how it differs.

    `come_back` are directories that the way back makes again, they are not looked at.
    """
    if transaction.previous is None:
        return None, []
    layout, version = transaction.layout, transaction.previous["version"]
    files = layout.untouched(version, transaction.to["version"], transaction.steps())
    if files is None:
        return None, ["the manifest of %s is gone: its tree cannot be proven" % version]
    tree = transaction.places.tree(version)
    files = [entry for entry in files if os.path.join(tree, entry["path"]) not in come_back]
    if not files:
        return None, []  # each path has a step, and was proven with it
    try:
        found = layout.compare_old(version, files)
    except OSError as error:
        return None, ["%s: %s" % (tree, error)]
    return found, [] if found.is_whole else ["%s: %s" % (tree, found.text())]


def _was_reached(transaction: Transaction, verb: str) -> bool:
    return any(record["t"] == "SVC" and record["verb"] == verb for record in transaction.records)


def _start_old(transaction: Transaction) -> bool:
    """Start the old version if it ran before, and hear it answer."""
    stopped = [record for record in transaction.records if record.get("verb") == "stop"]
    old = transaction.old_service
    if old is None or not stopped or stopped[0]["was"] != "started":
        return True
    if not old.living() or old.status()[0] != "started":
        if old.denies(stopped[0]["start_id"]):
            left = "process %s of the old version never stopped, and its service says: %s"
            said = left % (stopped[0]["start_id"].split(":")[0], old.status()[1])
            transaction.log("UNPROVEN", paths=[said])
            return False
        ok, text = old.start(transaction.file("restart.out"))
        transaction.note("UNDO", what="start the old version", ok=ok, text=text)
    give_up = time.monotonic() + _ANSWER_SECONDS
    word, text = old.status()
    while word != "started" and time.monotonic() < give_up:
        time.sleep(0.2)
        word, text = old.status()
    ok = word == "started" and old.identity() is not None
    transaction.note(
        "PROOF", what="the old version runs", ok=ok, text=text, start_id=old.identity()
    )
    if not ok:
        transaction.log("UNPROVEN", paths=["the old version does not run: %s" % text[:500]])
        return False
    transaction.remember_start(old)
    return True


def _clean(transaction: Transaction) -> None:
    """Give up store and prepared files; foreign files in the staged tree go to `conflicts`."""
    places = transaction.places
    for name in names_in(places.store):
        if name.startswith(transaction.txn + "."):
            remove_any(os.path.join(places.store, name))
    definition.forget_prepared(transaction)
    data.forget(transaction)
    transaction.layout.forget_prepared(transaction.txn)
    if transaction.previous is None and _was_reached(transaction, "start"):
        transaction.set_aside(transaction.layout.left_by_a_first_install())
    version = transaction.to["version"]
    manifest = transaction.layout.coming(version)
    staged = places.staged_tree(version)
    if manifest is None or not os.path.isdir(staged):
        return
    living_on.take_out(transaction)
    found = images.compare(staged, manifest["files"])
    transaction.set_aside(
        {
            os.path.join(staged, path): os.path.join(version, path)
            for path in found.extra + found.changed
        }
    )
    if not found.is_whole:
        remove_if_there(places.stage_mark(version))
