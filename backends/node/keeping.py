"""Which files live on across versions: the `keep` list of a profile.

A pattern without a slash is held against the last part of a path, in any directory; one with a
slash against the whole path, part by part. What matches as a directory covers all below it.
"""

import fnmatch
from typing import Callable, List

Leave = Callable[[str], bool]
"""Says of a path, relative to the tree, whether it does not count."""

OURS = ".liftlock"
"""Our own folder and trial files begin like this; they are never part of a product."""


def kept(patterns: List[str]) -> Leave:
    """Says of a path, relative to the tree, whether it is on the keep-list.

    >>> is_kept = kept(["config.yaml", "etc/*.conf", "data"])
    >>> is_kept("a/config.yaml"), is_kept("etc/x.conf"), is_kept("etc/x/y.conf"), is_kept("data/1")
    (True, True, False, True)
    """
    split = [pattern.split("/") for pattern in patterns]

    def is_kept(path: str) -> bool:
        parts = path.split("/")
        return any(_matches(pattern, parts) for pattern in split)

    return is_kept


def kept_or(patterns: List[str], paths: List[str]) -> Leave:
    """As `kept`, or one of these very paths; of paths there may be many."""
    matches, exact = kept(patterns), frozenset(paths)
    return lambda path: path in exact or matches(path)


def _matches(pattern: List[str], parts: List[str]) -> bool:
    if len(pattern) == 1:
        return any(fnmatch.fnmatchcase(part, pattern[0]) for part in parts)
    return len(parts) >= len(pattern) and all(
        fnmatch.fnmatchcase(part, glob) for part, glob in zip(parts, pattern)
    )


def ours(path: str) -> bool:
    """Whether a path, relative to the product's directory, is ours and not the product's."""
    return path.split("/", 1)[0].startswith(OURS)
