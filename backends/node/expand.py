"""Placeholders in a profile's texts, expanded alike for the plan and on the node.

`{node}` stands for a value; `{{` and `}}` are literal braces. A value is never looked at for
placeholders again. Python 3.6, standard library only.
"""

import re
from typing import List, Mapping, Optional

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{|\}")


class ExpandError(ValueError):
    """A text cannot be expanded: an unknown placeholder, or a brace without its partner."""

    def __init__(self, template: str, placeholder: Optional[str]) -> None:
        self.template = template
        self.placeholder = placeholder
        if placeholder is None:
            text = "a single brace (write {{{{ or }}}} for a literal one) in {!r}".format(template)
        else:
            text = "unknown placeholder {{{}}} in {!r}".format(placeholder, template)
        super().__init__(text)


def expand(template: str, values: Mapping[str, str]) -> str:
    """The text with each placeholder replaced by its value.

    Raises ExpandError (a ValueError) with the first placeholder that has no value, or with
    `placeholder` None for a single brace.
    """
    parts: List[str] = []
    end = 0
    for match in _PIECE.finditer(template):
        parts.append(template[end : match.start()])
        parts.append(_replacement(template, match.group(0), match.group(1), values))
        end = match.end()
    parts.append(template[end:])
    return "".join(parts)


def placeholders(template: str) -> List[str]:
    """The names of all placeholders, in order, each as often as it occurs.

    Raises ExpandError with `placeholder` None for a single brace.
    """
    names: List[str] = []
    for match in _PIECE.finditer(template):
        if match.group(0) in ("{", "}"):
            raise ExpandError(template, None)
        if match.group(1) is not None:
            names.append(match.group(1))
    return names


def _replacement(template: str, piece: str, name: Optional[str], values: Mapping[str, str]) -> str:
    if piece in ("{{", "}}"):
        return piece[0]
    if name is None:
        raise ExpandError(template, None)
    if name not in values:
        raise ExpandError(template, name)
    return values[name]
