"""`check`: one row a check, and what came of those of a staged release is remembered."""

from typing import Any

from backends.node import blobs, checks, journal, wire
from backends.node.call import OK, Answer, Call
from backends.node.places import read_json, write_json


def check(call: Call) -> Answer:
    """Do the checks of a scope; each row is sent as it comes."""
    if call.args["scope"] != "staged":
        return _checked(call)
    call.places.make_home()
    with blobs.held(call.places):  # it builds a tree, and records what came of it
        return _checked(call)


def _checked(call: Call) -> Answer:
    order = checks.Order(call.places, call.document, call.args)
    scope = call.args["scope"]
    rows = []
    for row in checks.run(order, scope):
        rows.append(row)
        call.send(row)
    bad = [row for row in rows if row["result"] in ("refused", "unknown")]
    if scope == "staged":
        _remember_check(call, rows, not bad)
    if not bad:
        return OK
    busy_elsewhere = any(row["name"] == "lock" for row in bad)
    return "refused", wire.problem(
        "locked" if busy_elsewhere else "check-refused",
        "%s: %s" % (bad[0]["name"], bad[0]["result"]),
        "\n".join("%s: %s" % (row["name"], row["evidence"]) for row in bad),
        "nothing was changed; repair it, then start again",
    )


def _remember_check(call: Call, rows: Any, passed: bool) -> None:
    path = call.places.stage_mark(call.args["version"])
    mark = read_json(path)
    if mark is None:
        return
    write_json(path, dict(mark, checked=passed))
    book = journal.Journal(call.places.journal, create=True)
    try:
        for row in rows:
            book.append(
                "ROW",
                durable=False,
                run=call.args["run"],
                **wire.request_of(call.args),
                **{key: row[key] for key in ("name", "result", "evidence", "seconds")},
            )
    finally:
        book.close()
