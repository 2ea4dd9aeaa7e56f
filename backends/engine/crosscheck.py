"""Two journals, the operator's and the node's, held against each other (notes on peers, 2.5).

What a node has written and this history does not have is added; what this history has and the node
has not is a finding: one of the two is not what it was.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from backends.domain.problem import Problem
from backends.engine import telling
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.scribe import Scribe

_NAMED = 10


async def cross_check(contact: Contact, scribe: Scribe, run: str) -> None:
    """Compare the journals of a node's open transaction, and tell what differs."""
    reading = await contact.read()
    opened = reading.facts.transaction if reading.read and reading.facts else None
    if opened is None or opened.run != run:
        return
    node, txn = contact.node, opened.txn
    messages: list[Mapping[str, Any]] = []
    answer = await contact.journal(txn, messages.append)
    if not answer.is_ok:
        why = answer.problem.code if answer.problem is not None else str(answer.outcome)
        scribe.say(Kind.RESULT, f"its journal was not compared: {why}", node=node)
        return
    events = [telling.event(each, run=run, node=node, txn=txn) for each in messages]
    theirs = {event.key: event for event in events if event is not None}
    ours = scribe.keys(node, f"{txn}.{node}.")
    missing = [key for key in theirs if key not in ours]
    for message, event in zip(messages, events, strict=True):
        if event is not None and event.key in missing:
            scribe.record(message, node=node, txn=txn)
    unknown = sorted(ours - theirs.keys())
    if unknown:
        _tell_unknown(scribe, node, unknown)
    elif missing and ours:
        text = f"journals compared: {len(missing)} records of the node were not here; added"
        scribe.say(Kind.RESULT, text, node=node, data={"finding": "node only", "keys": missing})
    elif missing:
        text = f"journals compared: nothing of it was here; {len(missing)} records added"
        scribe.say(Kind.RESULT, text, node=node, data={"finding": "node only", "keys": missing})
    else:
        scribe.say(Kind.RESULT, "journals compared: they say the same", node=node)


def _tell_unknown(scribe: Scribe, node: str, unknown: Sequence[str]) -> None:
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    scribe.problem(
        Problem(
            "journals-differ",
            f"{node}: this history has {len(unknown)} records that the node's journal has not.",
            f"{', '.join(unknown[:_NAMED])}{more}",
            "What the node says counts. Look at its journal before you trust this history: was "
            "its state put back, or replaced?",
        ),
        node=node,
    )
