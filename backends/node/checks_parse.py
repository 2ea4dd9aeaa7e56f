"""The product's own look at what will run: its parse command, before the running one is touched.

It is run in a tree of its own, made of the staged files and of those that live on from the version
that runs: what the new program will read is what it is asked about. Whatever it writes there goes
with that tree. Source: feature R6; design.md, section 6.
"""

import os
import stat
from typing import Any, Dict, Tuple

from backends.node import images, keeping, processes
from backends.node.copying import copy_exactly, make_like
from backends.node.layout import Layout
from backends.node.places import remove_if_there, remove_tree
from backends.node.service import Service

Answer = Tuple[str, str]


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
    try:
        lives_on = _build(layout, staged, tree)
        argv = [service.expand(word) for word in settings["parse"]]
        ran = processes.run(argv, settings["timeout"], tree, service.environment())
    finally:
        remove_tree(tree)
    said = "%s; %d of the files live on" % (ran.said(), lives_on) if lives_on else ran.said()
    return ("ok" if ran.status == 0 else "refused"), said


def _build(layout: Layout, staged: str, tree: str) -> int:
    """The tree that will be there; how many of its files live on from the old version."""
    make_like(staged, tree)
    for relative, about in images.walk(staged):
        source, goal = os.path.join(staged, relative), os.path.join(tree, relative)
        if stat.S_ISDIR(about.st_mode):
            make_like(source, goal)
        else:
            _have_too(source, goal)
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
            copy_exactly(source, goal)
    return len(found)


def _have_too(source: str, goal: str) -> None:
    """By another name for it: a release may be large, and is read again before the switch."""
    try:
        os.link(source, goal, follow_symlinks=False)
    except OSError:
        copy_exactly(source, goal)  # file systems without hard links, or too many of them
