"""The directories that a plan's paths lie in: looked at before, made good on the way back.

A path is only ever followed through real directories. A link on the way, put there before or
during the trial, would lead a rename somewhere else (plan rule of the notes on reliability, 4.3).
"""

import os
from typing import Any, Dict, Iterable, List

from backends.node import images
from backends.node.steps import Step, UndoFailed, from_hex, to_hex

Parents = Dict[str, images.Image]
"""Path as hexadecimal bytes -> what the directory looked like."""


def look_at(steps: Iterable[Step], top: str) -> Parents:
    """The directories from `top` down to each step's own, as they are now.

    Paths outside of `top` are not the product's and have none.

    Raises:
        OSError: One of them is no directory, or cannot be read.
    """
    found: Parents = {}
    for step in steps:
        for path in _between(top, step.path) + ([step.path] if step.op == "mode" else []):
            # The product's directory itself may be a link: it is about what that leads to.
            real = os.path.realpath(path) if path == top else path
            if to_hex(real) not in found:
                image = images.image(real, content=False)
                if image["kind"] != "dir":
                    raise NotADirectoryError(20, "not a directory of its own", path)
                found[to_hex(real)] = image
    return found


def refuse_strayed(step: Step, top: str) -> None:
    """Raises OSError when something on the way from `top` to the step's path is no directory."""
    for path in _between(top, step.path)[1:]:
        if os.path.islink(path) or not os.path.isdir(path):
            raise NotADirectoryError(20, "not a directory of its own", path)


def make_good(parents: Parents) -> List[str]:
    """Create again what was removed of them; those that were created.

    Raises:
        UndoFailed: Something else lies there now.
    """
    made = []
    for name, image in sorted(parents.items(), key=lambda item: from_hex(item[0])):
        path = from_hex(name)
        now = images.image(path, content=False)["kind"]
        if now == "absent":
            os.mkdir(path, image["mode"])
            os.chown(path, image["uid"], image["gid"])
            os.chmod(path, image["mode"])
            for attribute, value in image["xattrs"].items():
                os.setxattr(path, attribute, bytes.fromhex(value))
            made.append(path)
        elif now != "dir" and image["kind"] == "dir":
            raise UndoFailed("%s was a directory and is a %s now" % (path, now))
    return made


def restore_times(parents: Parents) -> None:
    """The times of the directories, which every change of a name in them has changed; durable."""
    for name, image in parents.items():
        fd = os.open(from_hex(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.utime(fd, ns=(os.fstat(fd).st_atime_ns, image["mtime"]))
            os.fsync(fd)
        finally:
            os.close(fd)


def _between(top: str, path: str) -> List[str]:
    """Directories from `top` down to the one that `path` lies in; none when it is elsewhere."""
    here = os.path.dirname(path)
    if here != top and not here.startswith(top + "/"):
        return []
    found: List[Any] = []
    while here != top:
        found.append(here)
        here = os.path.dirname(here)
    return [top] + found[::-1]
