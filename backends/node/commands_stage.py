"""`stage`: a release comes onto the node."""

from backends.node import blobs, transaction
from backends.node import stage as staging
from backends.node.call import OK, Answer, Call, refuse_disabled
from backends.node.refusal import Refused


def stage(call: Call) -> Answer:
    """Have a release in the staged tree, beside what runs."""
    if transaction.is_open(call.places):
        raise Refused("upgrade-open", "an upgrade is open on this node; nothing is staged over it")
    refuse_disabled(call)
    call.places.make_home()
    with blobs.held(call.places):
        call.keep_updater()
        call.send(dict(staging.stage(call.layout, call.args, call.source, call.send), t="staged"))
    return OK
