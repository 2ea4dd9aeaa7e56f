"""Look through a directory that is to become a release; name everything that may not be in one."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.archive import ArchiveError, Tree, shown

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a fifo",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the directory."""

    path: str
    """Relative, with slashes."""

    type: str
    """"file", "dir" or "link"."""

    mode: int
    size: int
    """Bytes; 0 for anything but a file."""

    mtime_ns: int
    """Nanoseconds since 1970."""

    target: str | None


def look_through(directory: Path) -> tuple[Found, ...]:
    """Every entry below the directory, sorted by path.

    Raises LiftlockError, exit 2: `release-source-missing`, `release-source-empty` (no file in
    it), `release-source-unreadable`, and `release-source-unsafe` with all of: sockets, fifos,
    devices, links that leave the tree, names that the strict reader would refuse.
    """
    if not directory.is_dir():
        raise _refusal("release-source-missing", f"{directory} is not a directory.")
    try:
        seen = sorted(_walk(directory, ""), key=lambda each: each[0])
    except OSError as error:
        raise unreadable(error, str(error.filename or directory)) from error
    found: list[Found] = []
    complaints: list[str] = []
    tree = Tree()
    for path, state, target in seen:
        try:
            found.append(_found(path, state, target, tree))
        except ArchiveError as error:
            complaints.append(str(error))
    if complaints:
        raise _unsafe(directory, complaints)
    if not any(each.type == "file" for each in found):
        raise _refusal("release-source-empty", f"There is no file in {directory}.")
    return tuple(found)


def unreadable(error: OSError, path: str) -> LiftlockError:
    """The refusal for something that this account cannot read."""
    return _refusal(
        "release-source-unreadable",
        f"{shown(path)} cannot be read.",
        error.strerror or str(error),
    )


def changed(path: str) -> LiftlockError:
    """The refusal for a file that became another while it was read."""
    return _refusal(
        "release-source-changed", f"{shown(path)} changed while the release was built."
    )


def _walk(top: Path, inside: str) -> Iterator[tuple[str, os.stat_result, str | None]]:
    with os.scandir(top / inside) as entries:
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            state = entry.stat(follow_symlinks=False)
            target = os.readlink(entry.path) if stat.S_ISLNK(state.st_mode) else None
            yield path, state, target
            if stat.S_ISDIR(state.st_mode):
                yield from _walk(top, path)


def _found(path: str, state: os.stat_result, target: str | None, tree: Tree) -> Found:
    form = stat.S_IFMT(state.st_mode)
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}
    kind = kinds.get(form)
    if kind is None:
        raise ArchiveError("type", path, f"is {_KINDS.get(form, 'of an unknown type')}")
    size = state.st_size if kind == "file" else 0
    tree.add(path, kind, size, target)
    return Found(path, kind, state.st_mode, size, state.st_mtime_ns, target)


def _unsafe(directory: Path, complaints: list[str]) -> LiftlockError:
    more = f" and {len(complaints) - 1} more" if len(complaints) > 1 else ""
    return _refusal(
        "release-source-unsafe",
        f"{directory} cannot become a release: {complaints[0]}{more}",
        "\n".join(complaints[:_SHOWN]),
        "A release holds files, directories, and relative links that stay inside.",
    )


def _refusal(code: str, summary: str, evidence: str = "", advice: str = "") -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
