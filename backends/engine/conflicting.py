"""What a node says about configuration beside which a new default lies."""

from collections.abc import Mapping
from typing import Any

from backends.domain.clean import clean, line
from backends.domain.conflicts import Conflict, Difference
from backends.domain.problem import Problem
from backends.engine import reading
from backends.engine.contact import Contact

_CHARACTERS = 2_000


async def conflicts_of(contact: Contact) -> tuple[Conflict, ...] | Problem:
    """The conflicts of one node, or why they are not known."""
    answer = await contact.ask("conflicts")
    if not answer.is_ok:
        return answer.problem or Problem("no-end", f"{contact.node}: the answer broke off")
    try:
        return tuple(_conflict(contact.node, each) for each in answer.all("conflict"))
    except reading.NO_SENSE as error:
        why = line(f"{type(error).__name__}: {error}")
        return Problem("bad-answer", f"{contact.node}: its conflicts make no sense", why)


def _conflict(node: str, message: Mapping[str, Any]) -> Conflict:
    return Conflict(
        node,
        line(message["path"]),
        _difference(message["yours"]),
        _difference(message["theirs"]),
        _difference(message["both"]),
    )


def _difference(found: Any) -> Difference:
    if found is None:
        return None
    if not isinstance(found, list):
        raise TypeError("no list of lines")
    # Blanks at the front are what YAML and Python are about.
    return tuple(clean(str(each), _CHARACTERS).expandtabs(4).replace("\n", " ") for each in found)
