"""The `check` command: each check a named row with a result and its evidence; none is silent.

`preflight`, `fitness` (what `doctor` asks besides) and `installed` read only and leave nothing;
`staged` looks at the staged tree, tries what the switch will need, rehearses the way back, and
asks the product and the operator's own checks. The rows of `verify` are made here, too.
Source: design.md, section 6.
"""

import time
from typing import Any, Dict, Iterator

from backends.node import (
    checks_fitness,
    checks_installed,
    checks_preflight,
    checks_staged,
    checks_user,
)
from backends.node.checks_order import Answer, Check, Checks, Order
from backends.node.layout import PointerUnreadable

__all__ = ["Order", "rows", "run"]

Row = Dict[str, Any]

BAD = ("refused", "unknown")


def run(order: Order, scope: str) -> Iterator[Row]:
    """The rows of a scope.

    `preflight` is about the node before anything is sent to it, `staged` about the staged version
    before the switch, `installed` about the version that runs. Nothing of a staged version is run
    when a check before it has not passed.
    """
    bad = ""
    for row in rows(order, _SCOPES[scope]):
        bad = bad or (row["name"] if row["result"] in BAD else "")
        yield row
    if scope == "staged" and order.document["check"]["directory"]:
        yield from _of_the_operator(order, bad)


def rows(order: Order, checks: Checks) -> Iterator[Row]:
    """The rows of these checks; nothing of the product is run behind one that has not passed."""
    bad = ""
    for name, check in checks:
        row = _row(name, _not_asked(bad) if bad and name in _RUNS else check, order)
        bad = bad or (name if row["result"] in BAD else "")
        yield row


def _of_the_operator(order: Order, bad: str) -> Iterator[Row]:
    if bad:
        yield _row("user checks", _not_asked(bad), order)
        return
    began = time.monotonic()
    for name, answer in checks_user.run(*checks_staged.asked_of_the_operator(order)):
        yield _told(name, answer, began)
        began = time.monotonic()


def _not_asked(because: str) -> Check:
    return lambda order: ("unknown", "not asked: %s has not passed" % because)


def _row(name: str, check: Check, order: Order) -> Row:
    began = time.monotonic()
    try:
        answer = check(order)
    except (OSError, ValueError, PointerUnreadable) as error:
        answer = "unknown", str(error)
    return _told(name, answer, began)


def _told(name: str, answer: Answer, began: float) -> Row:
    return {
        "t": "row",
        "name": name,
        "result": answer[0],
        "evidence": answer[1][:2000],
        "seconds": round(time.monotonic() - began, 3),
    }


_RUNS = frozenset(["service", "parse"])
"""Checks that run something of the staged version."""

_SCOPES: Dict[str, Checks] = {
    "preflight": checks_preflight.CHECKS,
    "fitness": checks_fitness.CHECKS,
    "staged": checks_staged.CHECKS,
    "installed": checks_installed.CHECKS,
}
