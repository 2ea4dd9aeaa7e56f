"""What to do with a transaction that nobody drives. It needs no human and may itself crash.

Source: design.md, section 5, rule 3. The caller holds the driver lock, so no driver lives.
"""

from typing import Optional

from backends.node import finish, monitor, rollback, standing
from backends.node.places import Places
from backends.node.transaction import Transaction, forget_unborn, put_away


def needs_recovery(transaction: Transaction) -> bool:
    """Whether an acting command must start `recover` first."""
    if standing.last(transaction.records, "END"):
        return True
    if standing.decision(transaction.records) == "ACCEPT":
        return False
    return not standing.is_held(transaction.records)


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
    if not standing.last(records, "TRIAL"):
        why = "the updater died before the trial; last record %s" % records[-1]["t"]
        return rollback.decide_and_undo(transaction, why, "recover")
    if transaction.policy["if_operator_vanishes"] == "rollback":
        why = "the watcher died during the trial"
        return rollback.decide_and_undo(transaction, why, "recover")
    return monitor.resume(transaction)
