"""Commands that only look: the facts, a watch, the journal, how a run was begun, the conflicts."""

from backends.node import conflicts as kept_aside
from backends.node import watch as watching
from backends.node import wire
from backends.node.call import OK, Answer, Call
from backends.node.places import read_json


def status(call: Call) -> Answer:
    """All facts, read now."""
    call.send(dict(call.reader.full(), t="facts"))
    return OK


def watch(call: Call) -> Answer:
    """The facts, and again whenever they have changed."""
    watching.watch(call.reader, call.args, call.send)
    return OK


def journal(call: Call) -> Answer:
    """A journal's records, from an offset on."""
    outcome = watching.follow(call.reader, call.args, call.send)
    if outcome == "failed":
        return outcome, wire.problem("driver-gone", "the updater died while it was followed")
    return outcome, None


def begun_as(call: Call) -> Answer:
    """What the operator's side wrote down of a run when it staged; null where it did not."""
    try:
        found = read_json(call.places.run) or {}
    except wire.WireError:
        found = {}
    call.send({"t": "begun_as", "run": found if found.get("run") == call.args["run"] else None})
    return OK


def conflicts(call: Call) -> Answer:
    """What was kept aside, with what it differs from."""
    facts, marker = call.reader.quick(), read_json(call.places.finalized) or {}
    previous = facts["previous"]
    if facts["transaction"] is None and marker.get("reconfigured"):
        previous = None  # the default before this one was of the same version, and is gone
    for found in kept_aside.listed(call.layout, previous["version"] if previous else None):
        call.send(found)
    return OK
