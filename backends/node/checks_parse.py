"""The product's own look at what will run: its parse command, before the running one is touched.

It is run in a tree of its own, made of the staged files and of those that live on from the version
that runs: what the new program will read is what it is asked about. Whatever it writes there goes
with that tree. Source: feature R6; design.md, section 6.
"""

import errno
import os
import stat
from contextlib import suppress
from typing import Any, Dict, Tuple

from backends.node import images, keeping, processes
from backends.node.copying import copy_as_it_is, make_like
from backends.node.layout import Layout
from backends.node.places import remove_if_there, remove_tree
from backends.node.service import Service

Answer = Tuple[str, str]

_SPARE_BYTES = 64 << 20
"""What runs goes on to write meanwhile."""


def check(
    layout: Layout, service: Service, version: str, staged: str, settings: Dict[str, Any]
) -> Answer:
    """Run the command; 0 is a yes.

    Raises:
        OSError: The tree could not be made.
    """
    if not settings["parse"]:
        return "ok", "the profile names no parse command"
    tree = os.path.join(layout.places.staging, ".check-" + version)
    remove_tree(tree)
    _refuse_no_space(layout, staged)
    try:
        lives_on = _build(layout, staged, tree)
        argv = [service.expand(word) for word in settings["parse"]]
        ran = processes.run(argv, settings["timeout"], tree, service.environment())
    finally:
        remove_tree(tree)
    said = "%s; %d of the files live on" % (ran.said(), lives_on) if lives_on else ran.said()
    return ("ok" if ran.status == 0 else "refused"), said


def _refuse_no_space(layout: Layout, staged: str) -> None:
    """What it takes must not fill the disk of what runs.

    Raises:
        OSError: There is no room for it.
    """
    needed = sum(about.st_size for _, about in images.walk(staged))
    selected = layout.selected()
    if selected is not None:
        old = layout.places.tree(selected)
        needed += sum(
            about.st_size
            for relative, about in images.walk(old)
            if layout.is_kept(relative) and not keeping.ours(relative)
        )
    found = os.statvfs(layout.places.staging)
    free = found.f_bavail * found.f_frsize
    if free < needed * 1.1 + _SPARE_BYTES:
        raise OSError(
            errno.ENOSPC, "%d bytes free, %d are needed to ask it" % (free, needed), staged
        )


def _build(layout: Layout, staged: str, tree: str) -> int:
    """The tree that will be there; how many of its files live on from the old version."""
    make_like(staged, tree)
    for relative, about in images.walk(staged):
        source, goal = os.path.join(staged, relative), os.path.join(tree, relative)
        if stat.S_ISDIR(about.st_mode):
            make_like(source, goal)
        else:
            copy_as_it_is(source, goal)
    selected = layout.selected()
    if selected is None:
        return 0

    def lives_on(path: str) -> bool:
        return layout.is_kept(path) and not keeping.ours(path)

    found = layout.living_on(layout.places.tree(selected), tree, lives_on)
    for source, goal in sorted(found.items()):
        if not os.path.isdir(os.path.dirname(goal)):
            os.makedirs(os.path.dirname(goal), 0o755)
        if os.path.isdir(source) and not os.path.islink(source):
            make_like(source, goal)
        else:
            remove_if_there(goal)
            with suppress(FileNotFoundError):  # the service runs, and removes what it likes
                copy_as_it_is(source, goal)
    return len(found)
