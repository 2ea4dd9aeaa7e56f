"""`value`: a value that the profile names, read now. It only looks, within the limits of facts."""

from typing import Any, Dict

from backends.node import probe
from backends.node.call import OK, Answer, Call
from backends.node.facts import unknown
from backends.node.layout import PointerUnreadable
from backends.node.refusal import Refused


def value(call: Call) -> Answer:
    """Say the value, or why it could not be read: unknown is an answer, too."""
    name = call.args["name"]
    how = call.document["named"].get(name)
    if how is None:
        raise Refused("value-unknown", "the profile names no value %s" % name)
    call.send({"t": "value", "name": name, "value": _read(call, how)})
    return OK


def _read(call: Call, how: Dict[str, Any]) -> Any:
    try:
        service = call.reader.service(call.layout.selected())
    except PointerUnreadable as error:
        return unknown(str(error))
    if service is None:
        return unknown("the product is not installed")
    try:
        return probe.plain(how, service, service.settings["request_timeout"])
    except probe.NoAnswer as error:
        return unknown(str(error))
