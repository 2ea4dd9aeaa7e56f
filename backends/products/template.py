"""Which placeholders a profile's texts may hold; `backends.node.expand` puts the values in."""

from typing import Annotated

from pydantic import AfterValidator

from backends.node.expand import ExpandError, placeholders
from backends.settings.fields import Text
from backends.settings.toml_keys import nearest

PLACEHOLDERS = ("node", "address", "role", "directory", "version")
"""Besides these, `vars.X` for each key X of a node's `vars`."""


def check_template(text: str, allowed: tuple[str, ...] = PLACEHOLDERS) -> str:
    """Refuse a placeholder that does not exist, naming the nearest that does.

    Raises ValueError in words for the operator.
    """
    try:
        names = placeholders(text)
    except ExpandError as error:
        raise ValueError(str(error)) from error
    for name in names:
        prefix, dot, variable = name.partition(".")
        if name in allowed or (prefix == "vars" and dot and variable):
            continue
        near = nearest(name, [*allowed])
        hint = f"did you mean {{{near}}}?" if near else f"valid here: {_listed(allowed)}"
        if prefix.lower() in ("var", "vars"):
            hint = f"did you mean {{vars.{variable or 'X'}}}?"
        raise ValueError(f"unknown placeholder {{{name}}}; {hint}")
    return text


def same_for_all(text: str) -> str:
    """Refuse a placeholder that may stand for something else on each node.

    Raises ValueError in words for the operator.
    """
    check_template(text)
    for name in placeholders(text):
        if name != "version":
            raise ValueError(f"is the same for all nodes, so {{{name}}} cannot stand in it")
    return text


def _listed(names: tuple[str, ...]) -> str:
    return " ".join(f"{{{name}}}" for name in (*names, "vars.X"))


def _argv_word(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL inside")
    return check_template(text)


Template = Annotated[Text, AfterValidator(check_template)]
"""One line of text in which placeholders are expanded."""

TemplateWord = Annotated[str, AfterValidator(_argv_word)]
"""One argument of a command: may be empty or hold several lines, placeholders are expanded."""
