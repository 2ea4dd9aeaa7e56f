"""Whether the switch will work here: tried in every directory before anything is changed.

Mounts, file systems and immutable files tell only by trial (notes on reliability, finding 10 and
rows 23 and 24). The trial files are ours and are gone when this returns.
"""

import array
import fcntl
import os
from typing import List, Tuple

from backends.node import data, keeping, parents, steps
from backends.node.layout import Layout, Unfit
from backends.node.ownership import NoSuchOwner
from backends.node.places import remove_if_there
from backends.node.services import service_of
from backends.node.steps import Step

Answer = Tuple[str, str]

_TRIAL = keeping.OURS + "-trial"

_GET_FLAGS = 0x80006601 | array.array("l").itemsize << 16
"""FS_IOC_GETFLAGS of Linux. Some rare processors number it otherwise: there nothing is found."""

_IMMUTABLE = 0x10
_APPEND_ONLY = 0x20


def check(layout: Layout, version: str) -> Answer:
    """Result and evidence: what the switch will do, or the path at which it would fail."""
    try:
        plan = [Step(intent) for intent in layout.compile(version, "trial")]
        parents.look_at(plan, layout.top)
        service = service_of(layout.document, layout.places, version)
        data.refuse_unfit(data.directories(service, layout.document), plan)
    except (Unfit, data.Unfit, NoSuchOwner, NotADirectoryError) as error:
        return "refused", str(error)
    places = {os.path.dirname(step.path) for step in plan} | {layout.top}
    has_links = True
    for place in sorted(places):
        try:
            has_links = _try(layout, place) and has_links
        except OSError as error:
            return "refused", "a rename into %s failed: %s" % (place, error)
    fixed = [path for path in _replaced(plan) + sorted(places) if _is_fixed(path)]
    if fixed:
        return "refused", "immutable (see lsattr): %s" % ", ".join(fixed[:20])
    text = _summary(plan)
    if not has_links:
        return "warn", "no hard links: backups are copies; %s" % text
    return "ok", "rename and link work; %s" % text


def _try(layout: Layout, place: str) -> bool:
    """A rename into a directory, and a link from there into the store; whether links work."""
    new = os.path.join(layout.places.new, _TRIAL)
    goal = os.path.join(place, _TRIAL)
    stored = os.path.join(layout.places.store, _TRIAL)
    try:
        with open(new, "wb") as stream:
            stream.write(b"trial\n")
        os.rename(new, goal)
        try:
            os.link(goal, stored)
        except OSError as error:
            if error.errno not in steps.NO_LINKS:
                raise
            return False
        return True
    finally:
        for path in (new, goal, stored):
            remove_if_there(path)


def _replaced(plan: List[Step]) -> List[str]:
    return [step.path for step in plan if step.before["kind"] in ("file", "dir")]


def _is_fixed(path: str) -> bool:
    """Whether a file or directory has a flag that stops renames, even by root."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # what cannot be opened is not ours to judge: the trial in its directory does
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(fd, _GET_FLAGS, flags, True)
    except OSError:
        return False  # this file system has no such flags
    finally:
        os.close(fd)
    return bool(flags[0] & (_IMMUTABLE | _APPEND_ONLY))


def _summary(plan: List[Step]) -> str:
    counts = {"create": 0, "replace": 0, "remove": 0, "give another mode": 0}
    for step in plan:
        word = {"remove": "remove", "mode": "give another mode"}.get(step.op)
        if word is None:
            word = "create" if step.before["kind"] == "absent" else "replace"
        counts[word] += 1
    said = ", ".join("%s %d" % (word, count) for word, count in counts.items() if count)
    return "to " + said if said else "nothing differs"
