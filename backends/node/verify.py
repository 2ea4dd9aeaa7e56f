"""`verify`: hold what runs against what was recorded and signed of it, every byte, now.

It changes nothing that runs and recovers nothing; what came of it is written into the product's
journal. While an upgrade is at work there is nothing to verify. Sources: features R11, R12.
"""

from typing import Any, Dict, Optional, Tuple

from backends.node import blobs, checks, checks_parse, images, locks, provenance, wire
from backends.node.call import OK, Answer, Call
from backends.node.canonical import files_digest
from backends.node.checks_order import Answer as Result
from backends.node.checks_order import Checks, Order
from backends.node.conflicts import first
from backends.node.journal import Journal
from backends.node.places import read_json
from backends.node.refusal import Refused
from backends.node.services import service_of

_KEPT_NAMES = 50
"""So many are written into the journal."""


def verify(call: Call) -> Answer:
    """Say each row, then what differs; ok when nothing does, failed when something does."""
    before = version, digest, _ = _at_rest(call)
    try:
        files = call.layout.recorded(version, digest)
    except ValueError as error:
        raise Refused(
            "record-damaged",
            "what is recorded of %s cannot be read" % version,
            str(error),
            "install the release again: --reinstall REASON",
        ) from error
    if files is None:
        raise Refused(
            "nothing-recorded", "nothing is recorded of %s here" % version, "", "adopt it first"
        )
    call.places.make_home()
    call.places.make_beside()
    looked = _Looked()
    with blobs.held(call.places):  # the parse command gets a tree of its own there
        about = dict(call.args, version=version, digest=digest)
        order = checks.Order(call.places, call.document, about)
        rows = []
        for row in checks.rows(order, looked.checks):
            rows.append(row)
            call.send(row)
    if _at_rest(call) != before:
        raise Refused("changed-meanwhile", "another version is in place by now")
    found = looked.found
    call.send(
        {
            "t": "verified",
            "version": version,
            "changed": first(found.changed),
            "missing": first(found.missing),
            "foreign": first(found.extra),
            "count": {
                "changed": len(found.changed),
                "missing": len(found.missing),
                "foreign": len(found.extra),
            },
        }
    )
    bad = [row for row in rows if row["result"] in checks.BAD]
    _remember(call, version, found, bad)
    if not bad:
        return OK
    return "failed", wire.problem(
        "drift" if not found.is_whole else "not-verified",
        "%s: %s" % (version, ", ".join(row["name"] for row in bad)),
        "\n".join("%s: %s" % (row["name"], row["evidence"]) for row in bad),
        "find out who did that; upgrade to the same release with --reinstall REASON repairs it"
        if not found.is_whole
        else "nothing is changed or missing; settle what the rows say",
    )


def _at_rest(call: Call) -> Tuple[str, Optional[str], Tuple[Any, ...]]:
    """The version that is selected, the digest that was decided on, and what came of it last.

    That is the digest of the accepted upgrade, else of what is finalized; None: of neither.

    Raises:
        Refused: An upgrade is at work, or was left in the middle.
    """
    if locks.is_held(call.places):
        raise locks.Busy(read_json(call.places.owner) or {})
    found = call.reader.quick()
    opened = found["transaction"]
    if found["state"] == "inconsistent" or (opened and opened["decision"] != "ACCEPT"):
        raise Refused("upgrade-open", "an upgrade is in the middle on this node")
    version = found["selected"]
    if not isinstance(version, str):
        why = version["unknown"] if version else "the product is not here"
        raise Refused("nothing-to-verify", why)
    decided = opened["to"] if opened else found["finalized"] or {}
    digest = decided.get("digest") if decided.get("version") == version else None
    last = ((opened or {}).get("txn"), found["last"], found["finalized"])
    return version, digest, last


class _Looked:
    """The rows of one look, and what the comparison of the files found."""

    def __init__(self) -> None:
        self.found = images.Comparison()
        self.checks: Checks = [
            ("recorded", _recorded),
            ("signature", _signature),
            ("installed files", self._files),
            ("parse", _parse),
        ]

    def _files(self, order: Order) -> Result:
        """Foreign files are named, and no drift: services write beside what was shipped."""
        self.found = order.layout.compare(order.args["version"], _files_of(order))
        return ("ok" if self.found.is_whole else "refused"), self.found.text()


def _recorded(order: Order) -> Result:
    """What we hold the files against is what was finalized, or accepted."""
    found, wanted = files_digest(_files_of(order)), order.args["digest"]
    if wanted is None:
        return "refused", "%s is selected, and neither accepted nor final" % order.args["version"]
    if found != wanted:
        return "refused", "the record was changed: its digest is %s, not %s" % (found, wanted)
    return "ok", found


def _signature(order: Order) -> Result:
    manifest: Dict[str, Any] = order.manifest or {}
    if manifest["source"] != "release":
        return "ok", "%s was adopted as it lay there: no release, no signature" % (
            order.args["version"]
        )
    return provenance.check(order.places, order.args["version"], manifest)


def _parse(order: Order) -> Result:
    version = order.args["version"]
    service = service_of(order.document, order.places, version)
    return checks_parse.check_live(
        order.layout, service, version, _files_of(order), order.document["check"]
    )


def _files_of(order: Order) -> Any:
    return (order.manifest or {})["files"]


def _remember(call: Call, version: str, found: images.Comparison, bad: Any) -> None:
    book = Journal(call.places.journal, create=True)
    try:
        book.append(
            "VERIFY",
            operator=call.args["operator"],
            version=version,
            ok=not bad,
            text=found.text(),
            changed=found.changed[:_KEPT_NAMES],
            missing=found.missing[:_KEPT_NAMES],
            foreign=len(found.extra),
            refused=[row["name"] for row in bad],
            **wire.request_of(call.args),
        )
    finally:
        book.close()
