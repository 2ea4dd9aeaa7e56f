"""`adopt` and `clean`: what is recorded of a product on the node, and what is given up of that."""

from backends.node import adopt as adopting
from backends.node import clean as cleaning
from backends.node import data, journal, transaction, wire
from backends.node.call import OK, Answer, Call
from backends.node.driving import take_lock
from backends.node.refusal import Refused
from backends.node.services import service_of


def adopt(call: Call) -> Answer:
    """Record what runs as final."""
    if transaction.is_open(call.places):
        raise Refused("upgrade-open", "an upgrade is open on this node")
    if call.args.get("preview"):
        released = bool(call.args.get("released"))
        found = adopting.preview(call.places, call.document, released)
    else:
        lock = take_lock(call)
        try:
            found = adopting.record(call.places, call.document, call.args)
            call.keep_updater()
        finally:
            lock.release()
    call.send(
        {
            "t": "adopted",
            "version": found["version"],
            "digest": found["digest"],
            "files": len(found["files"]),
            "own": found["own"][:1000],
            "changed": found["changed"][:1000],
            "missing": found["missing"][:1000],
        }
    )
    return OK


def clean(call: Call) -> Answer:
    """Give up what is staged, or everything but the product."""
    everything = bool(call.args["everything"])
    beside = data.directories(service_of(call.document, call.places, ""), call.document)
    found = cleaning.preview(call.places, call.layout, everything, beside)
    call.send(dict(found, t="clean"))
    if call.args.get("preview") or not found["paths"]:
        return OK
    lock = take_lock(call)
    try:
        if everything:
            cleaning.everything(call.places, beside)
        else:
            cleaning.staged(call.places)
            book = journal.Journal(call.places.journal, create=True)
            said = wire.request_of(call.args)
            book.append("CLEAN", operator=call.args["operator"], paths=found["paths"], **said)
            book.close()
    finally:
        lock.release()
    return OK
