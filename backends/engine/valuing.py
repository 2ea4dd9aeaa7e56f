"""A value that the profile names, as one node says it: JSON, cleaned, or why it is unknown."""

from backends.domain.clean import line
from backends.domain.facts import Unknown
from backends.domain.problem import Problem
from backends.engine.contact import Contact


async def value_of(contact: Contact, name: str) -> object:
    """Its value on one node: a text, number, truth value or None; `Unknown`; or a `Problem`."""
    answer = await contact.ask("value", name=name)
    if not answer.is_ok:
        return answer.problem or Problem("no-end", f"{contact.node}: the answer broke off")
    for message in answer.all("value"):
        found = message.get("value")
        if isinstance(found, dict) and set(found) == {"unknown"}:
            return Unknown(line(str(found["unknown"])))
        if isinstance(found, str):
            return line(found)
        if found is None or isinstance(found, bool | int | float):
            return found
    return Problem("bad-answer", f"{contact.node}: it said no value of {name}")
