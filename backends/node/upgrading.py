"""The commands of an upgrade: install, accept, extend, roll back, finalize.

Each decision is appended to the journal by whoever asks, under the journal's lock; a driver, the
living one or a new one, carries it out.
"""

import os
import select
import time
from typing import Any, Dict, Optional

from backends.node import (
    clock,
    configuration,
    data,
    finality,
    hooks,
    images,
    locks,
    recover,
    rollback,
    second_layer,
    standing,
    takeover,
    transaction,
    wire,
)
from backends.node.call import OK, Answer, Call, refuse_disabled
from backends.node.canonical import files_digest
from backends.node.driving import start
from backends.node.layout import PointerUnreadable
from backends.node.places import read_json
from backends.node.refusal import Refused

_CONFIGURATION_CHARACTERS = 100000
"""Of all paths together; each may take six bytes of the line."""


def begin(call: Call) -> Answer:
    """`install`: start the transaction of a staged and checked version."""
    args = call.args
    opened = transaction.load(call.places)
    if opened is not None:
        opened.close()
        if (opened.run, opened.to["digest"]) == (args["run"], args["digest"]):
            call.send({"t": "begun", "txn": opened.txn, "already": True})
            return OK
        raise Refused(
            "upgrade-open",
            "run %s to %s is open on this node" % (opened.run, opened.to["version"]),
            "begun by %s" % opened.plan["operator"],
            "finish it, roll it back, or take it over",
        )
    refuse_disabled(call)
    previous = _previous(call)
    mark = read_json(call.places.stage_mark(args["version"]))
    if mark is None or mark["digest"] != args["digest"] or not mark["checked"]:
        raise Refused("not-checked", "%s is not staged and checked here" % args["version"])
    _refuse_changed(call)
    decided = _decided(call)
    _refuse_unheard()
    call.keep_updater()
    return start(call, "install", previous=previous, decided=decided._asdict())


def _decided(call: Call) -> configuration.Decided:
    """What becomes of each configuration file; it travels in one line to the driver."""
    found = configuration.decide(call.layout, call.args["version"], call.args["digest"])
    if sum(len(path) for paths in found for path in paths) > _CONFIGURATION_CHARACTERS:
        raise Refused(
            "too-much-configuration",
            "%d configuration files were edited" % len(found.kept),
            "",
            "name fewer of them in `config`, and whole directories of one's own in `keep`",
        )
    return found


def _refuse_changed(call: Call) -> None:
    """What was checked is what is switched to: read once more, before the service is stopped."""
    version, digest = call.args["version"], call.args["digest"]
    manifest = call.layout.record_of(version, digest) or {"files": []}
    if files_digest(manifest["files"]) != digest:
        raise Refused("staged-changed", "what is recorded of %s was changed" % version)
    staged = call.places.staged_tree(version)
    if os.path.lexists(staged):
        found = images.compare(staged, manifest["files"])
    else:
        found = call.layout.compare(version, manifest["files"])  # it is in place from before
    if not found.is_exact:
        raise Refused(
            "staged-changed",
            "%s was changed here since it was checked" % version,
            found.text(),
            "nothing was changed; find out who did that, then stage it again",
        )


def _refuse_unheard() -> None:
    """To read a tree takes time. Whoever gave up meanwhile was told nothing, so nothing begins."""
    poll = select.poll()
    poll.register(1, 0)
    if poll.poll(0):  # an end that nobody reads is told without being asked for
        raise Refused("nobody-waits", "whoever asked for the install has gone; nothing was begun")


def _previous(call: Call) -> Optional[Dict[str, Any]]:
    """The exact undo target, recorded before anything changes; None for a first install."""
    marker = read_json(call.places.finalized)
    try:
        selected = call.layout.selected()
    except PointerUnreadable as error:
        raise Refused("pointer-unreadable", str(error)) from error
    if selected is None and marker is None:
        return None
    if marker is None or marker["version"] != selected:
        raise Refused(
            "not-finalized",
            "%s is selected, %s is finalized"
            % (selected, marker["version"] if marker else "nothing"),
            "",
            "finalize, roll back or adopt first",
        )
    path = call.places.tree(marker["version"])
    return {"version": marker["version"], "digest": marker["digest"], "path": path}


def accept(call: Call) -> Answer:
    """Stop the dead-man timer; said twice it is still said once.

    A trial that nobody watches is not accepted: its health is not known.
    """
    opened = _the_transaction(call)
    try:
        if recover.needs_recovery(opened) and not locks.is_held(call.places):
            raise Refused(
                "driver-gone",
                "the updater on the node died at %s; nobody watches the trial"
                % opened.records[-1]["t"],
                "",
                "upgrade or rollback first brings the node back to rest",
            )
        unhealthy_too = bool(call.args.get("reason"))
        reason = opened.decide(
            "ACCEPT",
            lambda records: standing.why_not_accept(records, clock.since_boot(), unhealthy_too),
            by=call.args["operator"],
            how=call.args["how"],
            reason=call.args.get("reason", ""),
            **wire.request_of(call.args),
        )
        if reason is not None and standing.decision(opened.records) != "ACCEPT":
            return "refused", wire.problem(
                "not-acceptable", reason, standing.first_error(opened.records)
            )
    finally:
        opened.close()
    return OK


def extend(call: Call) -> Answer:
    """Move the end of the accept window, only ever to a later time."""
    opened = _the_transaction(call)
    try:
        until = round(clock.since_boot() + float(call.args["seconds"]), 3)
        ends = standing.deadline(opened.records) or 0.0
        if until <= ends:
            raise Refused("not-later", "the window already ends later; it cannot be shortened")
        record, reason = opened.journal.append_unless(
            lambda records: standing.why_not_extend(records, clock.since_boot()),
            "EXTEND",
            until=until,
            by=call.args["operator"],
            why=call.args.get("reason", ""),
            **wire.request_of(call.args),
        )
        if record is None:
            raise Refused("not-extendable", reason)
        held = not locks.is_held(call.places)
    finally:
        opened.close()
    return start(call, "watch") if held else OK


def roll_back(call: Call) -> Answer:
    """Decide ROLLBACK; the living driver or a new one carries it out."""
    opened = _the_transaction(call)
    try:
        chosen = call.args.get("data")
        if chosen is None and data.copied(opened.records) and _is_undecided(opened):
            raise Refused(
                "data-undecided",
                "data was copied before the switch: keep what is newer, or restore the copy?",
                _data_in_words(opened),
                "say --data keep or --data restore",
            )
        _refuse_nothing_to_go_back_to(opened, chosen)
        _be_taken_up(call, opened, standing.why_not_roll_back)
        said = wire.request_of(call.args)
        reason = opened.decide(
            "ROLLBACK", why=call.args["why"], by=call.args["operator"], data=chosen, **said
        )
        if reason is not None and chosen not in (None, data.choice(opened)):
            opened.log("CHOICE", data=chosen, by=call.args["operator"], **said)
        if reason is not None and standing.decision(opened.records) != "ROLLBACK":
            raise Refused(
                "not-reversible", reason, "", "a finalized version is upgraded, not undone"
            )
        call.send({"t": "begun", "txn": opened.txn})
    finally:
        opened.close()
    return _carry_out(call)


def _refuse_nothing_to_go_back_to(opened: transaction.Transaction, chosen: Optional[str]) -> None:
    """What was accepted serves: it is not stopped for an old version that cannot come back.

    In a trial the way back begins by itself sooner or later, and ends with what is missing.
    """
    if standing.decision(opened.records) != "ACCEPT":
        return
    found = rollback.missing(opened)
    if chosen == "restore":
        found += data.missing(opened.records)
    if found:
        raise Refused(
            "old-version-changed",
            "the way back from %s is not whole; nothing was stopped" % opened.to["version"],
            "; ".join(found)[:2000],
            "put back what is named and roll back again, or upgrade to another release",
        )


def _is_undecided(opened: transaction.Transaction) -> bool:
    return standing.decision(opened.records) in (None, "ACCEPT")


def _data_in_words(opened: transaction.Transaction) -> str:
    found = data.in_words(opened.records) or {"directories": [], "since": 0}
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(found["since"]))
    return "%s, as of %s" % (", ".join(found["directories"]), since)


def finalize(call: Call) -> Answer:
    """Decide FINALIZE for exactly the content that was named; with `preview` only say what of."""
    if call.args.get("preview"):
        return finality.preview(call)
    if not transaction.is_open(call.places):
        marker = read_json(call.places.finalized) or {}
        if marker.get("digest") == call.args["digest"]:
            call.send({"t": "already"})
            return OK
    opened = _the_transaction(call)
    try:
        if opened.to["digest"] != call.args["digest"]:
            raise Refused("other-version", "%s is open here" % opened.to["version"])
        if hooks.are_due(opened, "before_finalize"):
            return _finalize_behind_hooks(call, opened)
        _be_taken_up(call, opened, standing.why_not_finalize)
        said = wire.request_of(call.args)
        reason = opened.decide("FINALIZE", by=call.args["operator"], **said)
        if reason is not None and standing.decision(opened.records) != "FINALIZE":
            raise Refused("not-accepted", reason, "", "only what was accepted is finalized")
        call.send({"t": "begun", "txn": opened.txn})
    finally:
        opened.close()
    return _carry_out(call)


def _finalize_behind_hooks(call: Call, opened: transaction.Transaction) -> Answer:
    """Have a driver run the hooks first: only what they agree to is decided."""
    reason = standing.why_not_finalize(opened.records)
    if reason is not None:
        raise Refused("not-accepted", reason, "", "only what was accepted is finalized")
    call.send({"t": "begun", "txn": opened.txn})
    return start(call, "finalize")


def recover_or_take_over(call: Call) -> Answer:
    """`recover`: the node was brought to rest before, or there was nothing to do."""
    return take_over(call) if call.args.get("takeover") else OK


def take_over(call: Call) -> Answer:
    """End the driver that has the lock, by a person's word, and have another one go on.

    A trial is watched on with its deadline unchanged; anything else goes the way that a recovery
    takes it.
    """
    opened = _the_transaction(call)
    in_trial = (
        standing.last(opened.records, "TRIAL") is not None
        and standing.decision(opened.records) is None
        and not standing.is_held(opened.records)
    )
    opened.close()
    if not locks.is_held(call.places):
        raise Refused("nothing-to-take-over", "no updater is at work on this node")
    said = wire.request_of(call.args)
    if not takeover.take_over(call.places, call.args["reason"], call.args["operator"], **said):
        raise Refused(
            "not-ended",
            "the updater that holds the lock could not be ended",
            "see %s and %s on the node" % (call.places.owner, call.places.log),
        )
    return start(call, "watch" if in_trial else "recover")


def _be_taken_up(
    call: Call, opened: transaction.Transaction, objection: transaction.Objection
) -> None:
    """Arm the second layer before a decision that no living driver will carry out.

    The power may be gone before a new driver has armed it: what is decided must not wait for a
    person then.
    """
    if objection(opened.records) is None and not locks.is_held(call.places):
        second_layer.arm_if_possible(opened)


def _carry_out(call: Call) -> Answer:
    """Have a recorded decision carried out by the driver that lives, or by a new one.

    One that is just leaving looks once more after it let go of the lock, see `drivers.drive`.
    """
    if locks.is_held(call.places):
        return OK
    outcome, problem = start(call, "recover")
    if problem is not None and problem["code"] == "locked":
        return OK
    return outcome, problem


def _the_transaction(call: Call) -> transaction.Transaction:
    opened = transaction.load(call.places)
    if opened is None:
        last = read_json(call.places.last) or {}
        raise Refused(
            "no-upgrade-open",
            "no upgrade is open on this node",
            "the last one, %s, ended %s: %s"
            % (last.get("txn"), last.get("outcome"), last.get("why"))
            if last
            else "",
        )
    if call.args.get("run") not in (None, opened.run):
        opened.close()
        raise Refused("other-run", "run %s is open here, not %s" % (opened.run, call.args["run"]))
    return opened
