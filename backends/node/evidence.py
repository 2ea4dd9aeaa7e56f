"""What the new version said before it is undone: kept first, because undoing destroys it."""

from typing import Any, Dict

from backends.node import health, processes
from backends.node.transaction import Transaction, side_file


def save(transaction: Transaction) -> None:
    """Write the service's state, its last log lines and its start's output beside the journal.

    A part that cannot be had is said to be missing; it never keeps the node from going back.
    """
    service = transaction.new_service
    found: Dict[str, Any] = {}
    for name, ask in (
        ("service", lambda: "%s: %s" % service.status()),
        ("pids", service.living),
        ("log", service.log_tail),
        (
            "checks",
            lambda: [check.row() for check in health.run_all(transaction.document, service)],
        ),
        (
            "start",
            lambda: processes.tail(transaction.file("start.out"), 8192).decode("utf-8", "replace"),
        ),
    ):
        try:
            found[name] = ask()
        except Exception as error:  # whatever it is: it is not what the way back waits for
            found[name] = "could not be read: %s" % error
    try:
        digest = side_file(transaction, "evidence.json", found)
    except OSError as error:
        transaction.note("EVIDENCE", file=None, why=str(error))
        return
    transaction.note("EVIDENCE", file=digest, log=str(found["log"])[-4000:])
