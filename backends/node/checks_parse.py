"""The product's own look at what will run: its parse command, before the running one is touched.

It is run in a tree of its own, made of the staged files and of those that live on from the version
that runs: what the new program will read is what it is asked about. Whatever it writes there goes
with that tree. `verify` asks again about what runs, in the same way: the files that live on may
have been edited. Sources: features R6, R11; design.md, section 6.
"""

import errno
import os
import stat
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, Tuple

from backends.node import images, keeping, processes
from backends.node.copying import copy_as_it_is, make_like
from backends.node.layout import Entry, Layout
from backends.node.places import remove_if_there, remove_tree
from backends.node.service import Service

Answer = Tuple[str, str]

_SPARE_BYTES = 64 << 20
"""What runs goes on to write meanwhile."""


Member = Tuple[str, os.stat_result]
"""A path relative to a tree, parents first, and what lies there."""


def check(
    layout: Layout, service: Service, version: str, source: str, settings: Dict[str, Any]
) -> Answer:
    """Ask about a staged tree: run the command; 0 is a yes.

    Raises:
        OSError: The tree could not be made.
    """
    return _ask(layout, service, version, source, lambda: images.walk(source), settings)


def check_live(
    layout: Layout, service: Service, version: str, files: List[Entry], settings: Dict[str, Any]
) -> Answer:
    """Ask about what runs: of its tree what the manifest names, and what lives on.

    Raises:
        OSError: The tree could not be made.
    """
    source = layout.places.tree(version)

    def named() -> Iterator[Member]:
        for path in sorted(entry["path"] for entry in files):
            whole = os.path.join(source, path)
            if os.path.lexists(whole) or not layout.is_kept(path):
                yield path, os.lstat(whole)

    return _ask(layout, service, version, source, named, settings)


def _ask(
    layout: Layout,
    service: Service,
    version: str,
    source: str,
    members: Callable[[], Iterator[Member]],
    settings: Dict[str, Any],
) -> Answer:
    """Run the command; 0 is a yes.

    Raises:
        OSError: The tree could not be made.
    """
    if not settings["parse"]:
        return "ok", "the profile names no parse command"
    tree = os.path.join(layout.places.staging, ".check-" + version)
    remove_tree(tree)
    _refuse_no_space(layout, members())
    try:
        lives_on = _build(layout, source, members(), tree)
        argv = [service.expand(word) for word in settings["parse"]]
        ran = processes.run(argv, settings["timeout"], tree, service.environment())
    finally:
        remove_tree(tree)
    said = "%s; %d of the files live on" % (ran.said(), lives_on) if lives_on else ran.said()
    return ("ok" if ran.status == 0 else "refused"), said


def _refuse_no_space(layout: Layout, members: Iterator[Member]) -> None:
    """What it takes must not fill the disk of what runs.

    Raises:
        OSError: There is no room for it.
    """
    needed = sum(about.st_size for _, about in members)
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
            errno.ENOSPC,
            "%d bytes free, %d are needed to ask it" % (free, needed),
            layout.places.staging,
        )


def _build(layout: Layout, source: str, members: Iterator[Member], tree: str) -> int:
    """The tree that will be there; how many of its files live on from the version that runs."""
    make_like(source, tree)
    for relative, about in members:
        one, goal = os.path.join(source, relative), os.path.join(tree, relative)
        if stat.S_ISDIR(about.st_mode):
            make_like(one, goal)
        else:
            _make_parents(goal)
            copy_as_it_is(one, goal)
    selected = layout.selected()
    if selected is None:
        return 0

    def lives_on(path: str) -> bool:
        return layout.is_kept(path) and not keeping.ours(path)

    found = layout.living_on(layout.places.tree(selected), tree, lives_on)
    for one, goal in sorted(found.items()):
        _make_parents(goal)
        if os.path.isdir(one) and not os.path.islink(one):
            make_like(one, goal)
        else:
            remove_if_there(goal)
            with suppress(FileNotFoundError):  # the service runs, and removes what it likes
                copy_as_it_is(one, goal)
    return len(found)


def _make_parents(path: str) -> None:
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path), 0o755)
