"""What a path looked like: enough to put it back exactly and to prove that it is back."""

import errno
import hashlib
import os
import stat
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from backends.node.canonical import files_digest
from backends.node.keeping import Leave

Image = Dict[str, Any]

_SAME = ("kind", "mode", "uid", "gid", "size", "mtime", "sha256", "target", "xattrs", "links")
"""What must be equal before and after. Inode and device are not: a copy is as good."""


def image(path: str, content: bool = True) -> Image:
    """The image of a path: kind `absent | file | link | dir | other`, mode, owner, times, content.

    Raises:
        OSError: It is there but cannot be read.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "absent"}
    seen: Image = {
        "kind": _kind(found.st_mode),
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mtime": found.st_mtime_ns,
        "dev": found.st_dev,
        "ino": found.st_ino,
        "xattrs": _xattrs(path),
    }
    if seen["kind"] == "file":
        seen["size"] = found.st_size
        seen["links"] = found.st_nlink
        if content:
            seen["sha256"] = hash_file(path)
    elif seen["kind"] == "link":
        seen["target"] = os.readlink(path)
    return seen


def differences(before: Image, now: Image) -> List[str]:
    """Which properties of a path differ; none means that it is exactly as it was."""
    return [name for name in _SAME if before.get(name) != now.get(name)]


def is_same_inode(one: Image, other: Image) -> bool:
    """Whether two images show the very same file."""
    return "ino" in one and (one["dev"], one["ino"]) == (other.get("dev"), other.get("ino"))


def hash_file(path: str) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    sha = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while True:
            piece = stream.read(1 << 20)
            if not piece:
                return sha.hexdigest()
            sha.update(piece)


def nothing(path: str) -> bool:
    """Leave nothing out."""
    return False


def walk(top: str, leave_out: Leave = nothing) -> Iterator[Tuple[str, os.stat_result]]:
    """All paths below `top` (not itself), relative, parents first, names in order.

    What `leave_out` says yes to does not come, nor anything below it.
    """
    stack = [""]
    while stack:
        here = stack.pop()
        below = []
        for name in _names_in(top, here):
            relative = os.path.join(here, name)
            if leave_out(relative):
                continue
            try:
                found = os.lstat(os.path.join(top, relative))
            except FileNotFoundError:
                continue  # a service at work removes its own files
            yield relative, found
            if stat.S_ISDIR(found.st_mode):
                below.append(relative)
        stack.extend(reversed(below))


def _names_in(top: str, here: str) -> List[str]:
    try:
        return sorted(os.listdir(os.path.join(top, here)))
    except FileNotFoundError:
        if not here:
            raise
        return []


def listing(top: str, leave_out: Leave = nothing) -> List[Dict[str, Any]]:
    """The content of a tree in the words of a release manifest, in order of path.

    What `leave_out` says yes to is not listed. Names that are no UTF-8 keep their bytes as
    surrogates, so that nothing is overlooked.

    Raises:
        OSError: Something in the tree cannot be read.
    """
    files = []
    for relative, found in walk(top, leave_out):
        try:
            files.append(_entry(os.path.join(top, relative), relative, found))
        except FileNotFoundError:
            continue  # a service at work removes its own files
    return sorted(files, key=lambda entry: str(entry["path"]))


def _entry(whole: str, relative: str, found: os.stat_result) -> Dict[str, Any]:
    entry: Dict[str, Any] = {
        "path": relative,
        "type": "other",
        "mode": stat.S_IMODE(found.st_mode),
        "size": 0,
        "sha256": None,
        "target": None,
    }
    if stat.S_ISREG(found.st_mode):
        entry.update(type="file", size=found.st_size, sha256=hash_file(whole))
    elif stat.S_ISDIR(found.st_mode):
        entry.update(type="dir")
    elif stat.S_ISLNK(found.st_mode):
        entry.update(type="link", target=os.readlink(whole), mode=0o777)
    return entry


class Comparison:
    """How a tree differs from its manifest."""

    def __init__(self) -> None:
        self.equal = 0
        self.missing: List[str] = []
        self.changed: List[str] = []
        self.extra: List[str] = []

    @property
    def is_whole(self) -> bool:
        """Whether everything the manifest names is there and right; extra files may be."""
        return not self.missing and not self.changed

    @property
    def is_exact(self) -> bool:
        """Whether the tree is exactly what the manifest says, and nothing else."""
        return self.is_whole and not self.extra

    def add(self, other: "Comparison", under: str) -> None:
        """Take in the comparison of a directory inside the tree."""
        self.equal += other.equal
        for own, more in (
            (self.missing, other.missing),
            (self.changed, other.changed),
            (self.extra, other.extra),
        ):
            own.extend(os.path.join(under, path) for path in more)

    def text(self) -> str:
        """In words, at most five paths of each kind."""
        parts = []
        for word, paths in (
            ("missing", self.missing),
            ("changed", self.changed),
            ("extra", self.extra),
        ):
            if paths:
                more = " and %d more" % (len(paths) - 5) if len(paths) > 5 else ""
                parts.append("%s: %s%s" % (word, ", ".join(paths[:5]), more))
        whole = self.equal + len(self.missing) + len(self.changed)
        return "; ".join(["%d of %d as recorded" % (self.equal, whole)] + parts)


def compare(
    top: str,
    files: List[Dict[str, Any]],
    leave_out: Leave = nothing,
    named_only: bool = False,
) -> Comparison:
    """Hold a tree against a manifest's list of files.

    What `leave_out` says yes to does not count, nor does a directory that is only there because
    of it. With `named_only` what the manifest does not name is not even looked at: nothing is
    extra.

    Raises:
        OSError: Something in the tree cannot be read.
    """
    result = Comparison()
    wanted = {entry["path"]: entry for entry in files if not leave_out(entry["path"])}
    carriers: Set[str] = set()

    def leaves_out(path: str) -> bool:
        if not leave_out(path):
            return False
        carriers.update(directories_above(path))
        return True

    if not os.path.isdir(top):
        result.missing = sorted(wanted)
        return result
    for entry in _named(top, wanted) if named_only else listing(top, leaves_out):
        expected = wanted.pop(entry["path"], None)
        if expected is None:
            result.extra.append(entry["path"])
        elif _comparable(expected) == _comparable(entry):
            result.equal += 1
        else:
            result.changed.append(entry["path"])
    result.missing = sorted(wanted)
    result.extra = [path for path in result.extra if path not in carriers]
    return result


def directories_above(path: str) -> List[str]:
    """The directories that a relative path lies in, outermost first.

    >>> directories_above("a/b/c")
    ['a', 'a/b']
    """
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def is_as_listed(path: str, expected: Dict[str, Any]) -> bool:
    """Whether what lies there is what a manifest's entry says."""
    try:
        found = _entry(path, expected["path"], os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return _comparable(found) == _comparable(expected)


def _named(top: str, paths: Iterable[str]) -> Iterator[Dict[str, Any]]:
    for path in sorted(paths):
        whole = os.path.join(top, path)
        try:
            yield _entry(whole, path, os.lstat(whole))
        except (FileNotFoundError, NotADirectoryError):
            continue


def tree_digest(top: str) -> Optional[str]:
    """The digest of all that is in a tree, or None when there is no such directory."""
    return files_digest(listing(top)) if os.path.isdir(top) else None


def _comparable(entry: Dict[str, Any]) -> Tuple[Any, ...]:
    if entry["type"] == "link":
        return ("link", entry["target"])
    if entry["type"] == "dir":
        return ("dir", entry["mode"])
    return (entry["type"], entry["mode"], entry["size"], entry["sha256"])


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISLNK(mode):
        return "link"
    return "dir" if stat.S_ISDIR(mode) else "other"


def _xattrs(path: str) -> Dict[str, str]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return {}  # the file system has none
        raise
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}
