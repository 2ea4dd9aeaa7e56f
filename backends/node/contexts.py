"""SELinux contexts of new files: those of what they replace, else of the directory they come into.

A staged tree is labelled for where it was staged, and a rename does not change that. Without this
a confined service could not read, or not execute, its own new files. Source: design.md, section 5,
"Transaction", rule 1.
"""

import os
from typing import Optional

from backends.node import images

NAME = "security.selinux"


def follow(new: str, live: str) -> None:
    """Give a new file, link or tree the contexts that lie at `live`, path by path.

    Raises:
        OSError: There is a context and it may not be given.
    """
    while not os.path.lexists(live):
        live = os.path.dirname(live)
    _give(new, _of(live))
    if os.path.isdir(new) and not os.path.islink(new):
        for relative, _ in images.walk(new):
            path, before = os.path.join(new, relative), os.path.join(live, relative)
            _give(path, _of(before if os.path.lexists(before) else os.path.dirname(path)))


def _of(path: str) -> Optional[bytes]:
    try:
        return os.getxattr(path, NAME, follow_symlinks=False)
    except OSError:
        return None  # it has none, or this system knows none


def _give(path: str, context: Optional[bytes]) -> None:
    if context is not None and _of(path) != context:
        os.setxattr(path, NAME, context, follow_symlinks=False)
