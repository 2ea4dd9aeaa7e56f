"""What to do with a transaction that nobody drives. It needs no human and may itself crash.

Source: design.md, section 5, rule 3. The caller holds the driver lock, so no driver lives.
"""

from typing import Optional

from backends.node import clock, finish, monitor, rollback, standing
from backends.node.places import Places
from backends.node.transaction import Transaction, forget_unborn, put_away


def needs_recovery(transaction: Transaction) -> bool:
    """Whether an acting command must start `recover` first."""
    if standing.last(transaction.records, "END"):
        return True
    if standing.decision(transaction.records) == "ACCEPT":
        return False
    return not standing.is_held(transaction.records)


def why_back(transaction: Transaction) -> Optional[str]:
    """Why an undecided transaction that nobody drives goes back; None when it does not."""
    records = transaction.records
    newest = records[-1]
    is_new_boot = newest["bid"] != clock.boot_id()
    if not standing.last(records, "TRIAL"):
        who = "the node was restarted" if is_new_boot else "the updater died"
        return "%s before the trial; last record %s" % (who, newest["t"])
    if transaction.policy["if_operator_vanishes"] == "rollback":
        who = "the node was restarted" if is_new_boot else "the watcher died"
        return "%s during the trial" % who
    return None


def before_the_service(transaction: Transaction) -> None:
    """At boot: have everything back in place that is to go back, before the service starts.

    Starting the old version and giving up the backups is for later: it may wait for the boot.

    Raises:
        OSError, AppendFailed, JournalDamaged: Not all is back; the next look goes on.
    """
    records = transaction.records
    decided = standing.decision(records)
    if standing.last(records, "END") or decided in ("ACCEPT", "FINALIZE"):
        return
    if decided is None:
        why = None if standing.is_held(records) else why_back(transaction)
        if why is None or transaction.decide("ROLLBACK", standing.decision, why=why, by="recover"):
            return
    rollback.restore(transaction, at_boot=True)


def recover(places: Places, transaction: Optional[Transaction]) -> str:
    """Bring the node to rest: the outcome word, `ok` when there is nothing to do.

    Raises:
        journal.JournalDamaged, OSError: Nothing more could be done; nothing was lost.
    """
    if transaction is None:
        forget_unborn(places)
        return "ok"
    records = transaction.records
    decided = standing.decision(records)
    if standing.last(records, "END"):
        put_away(transaction)
        return "ok"
    if decided == "FINALIZE":
        finish.complete(transaction)
        return "ok"
    if decided == "ROLLBACK":
        return rollback.undo(transaction)
    if decided == "ACCEPT" or standing.is_held(records):
        return "ok"
    why = why_back(transaction)
    if why is not None:
        return rollback.decide_and_undo(transaction, why, "recover")
    return monitor.resume(transaction)
