"""Edited configuration files beside which a new default lies: shown as differences, read only.

Source: feature list of the seeds, `.rpmnew` files that are to be looked at before it is final.
"""

import difflib
import os
from typing import Any, Dict, Iterator, List, Optional

from backends.node import images, keeping
from backends.node.layout import NEW, Layout, PointerUnreadable
from backends.node.refusal import Refused

_TEXT_BYTES = 64 << 10
"""A longer file is not compared line by line."""

_LINES = 1000
_CHARACTERS = 25000
"""Three of these go into one line of the wire, and a letter may take six bytes of it."""

_LINE_CHARACTERS = 500


def listed(layout: Layout, previous: Optional[str]) -> Iterator[Dict[str, Any]]:
    """One message for each, in order of path.

    `previous` is the version whose defaults are the base of both differences.

    Raises:
        Refused: It is not known what lies there.
    """
    try:
        selected = layout.selected()
    except PointerUnreadable as error:
        raise Refused("pointer-unreadable", str(error)) from error
    if selected is None or not layout.document["config"]:
        return
    tree = layout.places.tree(selected)
    is_config = layout.is_config
    for path, _ in images.walk(tree, keeping.ours) if os.path.isdir(tree) else ():
        beside = os.path.join(tree, path + NEW)
        if is_config(path) and os.path.isfile(beside):
            yield _conflict(layout, previous, path, os.path.join(tree, path), beside)


def _conflict(
    layout: Layout, previous: Optional[str], path: str, live: str, beside: str
) -> Dict[str, Any]:
    base = os.path.join(layout.places.default(previous), path) if previous else ""
    before, now, new = _lines_of(base), _lines_of(live), _lines_of(beside)
    return {
        "t": "conflict",
        "path": path,
        "yours": _diff(before, now, "old default", "yours"),
        "theirs": _diff(before, new, "old default", "new default"),
        "both": _diff(now, new, "yours", "new default"),
    }


def _lines_of(path: str) -> Optional[List[str]]:
    """The lines of a text file; None when there is none, or it is something else."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        content = stream.read(_TEXT_BYTES + 1)
    if len(content) > _TEXT_BYTES or b"\0" in content:
        return None
    text = content.decode("utf-8", "replace")
    return [line[:_LINE_CHARACTERS] for line in text.splitlines()]


def _diff(
    one: Optional[List[str]], other: Optional[List[str]], before: str, after: str
) -> Optional[List[str]]:
    """The unified difference; None when one of them is not known, or is no text."""
    if one is None or other is None:
        return None
    found = list(difflib.unified_diff(one, other, before, after, lineterm="", n=2))
    shown = first(found)
    more = len(found) - len(shown)
    return shown + (["... and %d lines more" % more] if more else [])


def first(lines: List[str]) -> List[str]:
    """The first lines, as many as there is room for in a message."""
    room, found = _CHARACTERS, []  # type: int, List[str]
    for line in lines[:_LINES]:
        room -= len(line)
        if room < 0:
            break
        found.append(line)
    return found
