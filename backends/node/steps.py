"""One step of a transaction: what is backed up, what is done, and how it is taken back.

A step owns one path. Undo depends only on the step's intent (its before-image) and on what lies
in its store, so it can be done again and again, from wherever a crash left it. Source: notes on
reliability, sections 4.3 and 4.4; the table is theirs.
"""

import errno
import os
import shutil
from typing import Any, Dict, List, Optional, Tuple

from backends.node import images
from backends.node.places import make_directories, remove_if_there, sync_directory, write_all

Intent = Dict[str, Any]
"""`{i, op, path, store, new, before: Image, after: Image}`; paths as hexadecimal bytes.

`tree` places a directory, `put` a file or link; both are renamed from `new`. `remove` takes a path
away. `mode` gives a directory another mode and owner. `keep` changes nothing itself: it is a file
that lives on across versions, copied so that it comes back as it was."""


NO_LINKS = (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP)
"""Errors of a link that a copy gets around: no hard links here, too many, another mount."""


class UndoFailed(Exception):
    """A path could not be put back; the text names it."""


def to_hex(path: str) -> str:
    """A path as it is journaled: no name is lost, whatever its bytes."""
    return os.fsencode(path).hex()


def from_hex(path: str) -> str:
    """The path again."""
    return os.fsdecode(bytes.fromhex(path))


class Step:
    """An intent with its paths decoded."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.number = int(intent["i"])
        self.op: str = intent["op"]
        self.path = from_hex(intent["path"])
        self.store = from_hex(intent["store"])
        self.new = from_hex(intent["new"])
        self.before: images.Image = intent["before"]
        self.after: images.Image = intent["after"]

    @property
    def title(self) -> str:
        """The step in words."""
        word = {"remove": "remove", "mode": "mode of", "keep": "keep"}.get(self.op)
        if word is None:
            word = "create" if self.before["kind"] == "absent" else "replace"
        return "%s %s" % (word, self.path)

    @property
    def parks(self) -> bool:
        """Whether a directory is moved into the store as it is."""
        return bool(self.before["kind"] == "dir" and self.op != "mode")


def intend(number: int, op: str, path: str, new: Optional[str], store: str) -> Intent:
    """The intent of a step, with the path's before-image taken now; `new` None puts nothing there.

    Raises:
        OSError: The path or what shall take its place cannot be read.
    """
    return {
        "i": number,
        "op": op,
        "path": to_hex(path),
        "new": to_hex(new or ""),
        "store": to_hex(store),
        "before": images.image(path),
        "after": images.image(new) if new else {"kind": "absent"},
    }


def intend_mode(number: int, path: str, after: images.Image, store: str) -> Intent:
    """The intent of a step that gives a directory the mode and owner of `after`."""
    intent = intend(number, "mode", path, None, store)
    return dict(intent, after=dict(intent["before"], **after))


def intend_keep(number: int, path: str, store: str) -> Intent:
    """The intent of a step for a file that lives on across versions."""
    intent = intend(number, "keep", path, None, store)
    return dict(intent, after=intent["before"])


def back_up(step: Step) -> None:
    """Keep the old file beside: a hard link, or a copy where links do not work.

    What lives on is always copied, because services write such files in place. Directories are
    not touched here: their own step moves them into the store.
    """
    if step.before["kind"] not in ("file", "link"):
        return
    if step.op == "keep":
        copy_exactly(step.path, step.store)
        return
    try:
        os.link(step.path, step.store, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if step.before.get("links", 1) > 1:
            # A copy could not bring back that it is one file under several names.
            raise OSError(
                error.errno, "has other names, and cannot be linked", step.path
            ) from error
        copy_exactly(step.path, step.store)


def apply(step: Step) -> None:
    """Put the new thing in place, by renames only."""
    if step.op == "mode":
        _set_mode(step.path, step.after)
        return
    if step.parks:
        os.rename(step.path, step.store)
    elif step.before["kind"] != "absent" and step.op in ("tree", "remove"):
        os.unlink(step.path)
    if step.op != "remove":
        os.rename(step.new, step.path)


def undo(step: Step, conflicts: str) -> str:
    """Put the path back as it was; what was done, in words.

    Foreign things in the way are moved to `conflicts`, never removed.

    Raises:
        OSError, UndoFailed: It could not be done; nothing was lost, and it can be tried again.
    """
    now = images.image(step.path, content=False)
    kind = step.before["kind"]
    if step.op == "mode":
        return _undo_mode(step, now)
    if kind == "absent":
        return _clear(step, now, conflicts) or "was not there, is not there"
    if not os.path.lexists(step.store):
        return "untouched"
    if kind == "dir":
        cleared = _clear(step, now, conflicts)
        os.rename(step.store, step.path)
        return (cleared + ", " if cleared else "") + "directory moved back"
    stored = images.image(step.store, content=False)
    if images.is_same_inode(now, stored):
        return "is the old one"
    kept = ""
    if now["kind"] == "dir":
        _clear(step, now, conflicts)
    elif now["kind"] != "absent" and _holds(step.path, step.before):
        if not _other_differences(step.before, images.image(step.path)):
            return "is the old one"
    elif now["kind"] != "absent" and not _holds(step.path, step.after):
        kept = ", what was there is kept as %s" % _keep_second(step, conflicts)
    _put_back(step)
    return "old one put back" + kept


def prove(step: Step) -> List[str]:
    """How the path differs from its before-image; an empty list is the proof."""
    now = images.image(step.path)
    if "links" in now and images.is_same_inode(now, images.image(step.store, content=False)):
        now["links"] = now["links"] - 1  # our backup is one of them, and goes away
    found = images.differences(step.before, now)
    digest = step.intent.get("digest")
    if digest is not None and digest != images.tree_digest(step.path):
        found.append("content")
    return found


def look_again(step: Step) -> Intent:
    """The intent of a step that parks a directory, with the directory as it is now.

    Taken once the service is seen gone: until then it may have written in there.
    """
    before = images.image(step.path)
    return dict(step.intent, before=before, digest=images.tree_digest(step.path))


def touched_directories(steps: List[Step]) -> List[str]:
    """Directories whose names a plan changes, each once."""
    found: List[str] = []
    for step in steps:
        for path in (step.path, step.store, step.new):
            parent = os.path.dirname(path)
            if parent not in found and os.path.isdir(parent):
                found.append(parent)
    return found


def set_aside(path: str, conflicts: str, name: str = "") -> str:
    """Move something that is not ours into `conflicts`, under its own name; where it went."""
    conflicts = os.path.normpath(conflicts)
    make_directories(conflicts)
    name = name or os.path.basename(path)
    goal = os.path.join(conflicts, name)
    number = 1
    while os.path.lexists(goal):
        number += 1
        goal = os.path.join(conflicts, "%s.%d" % (name, number))
    try:
        os.rename(path, goal)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(path, goal)
    sync_directory(conflicts)
    return goal


def _clear(step: Step, now: images.Image, conflicts: str) -> str:
    if now["kind"] == "absent":
        return ""
    if not (images.is_same_inode(now, step.after) and _holds(step.path, step.after)):
        return "something foreign was there, kept as %s" % set_aside(step.path, conflicts)
    if os.path.lexists(step.new):
        raise UndoFailed("%s is there twice, also as %s" % (step.path, step.new))
    os.rename(step.path, step.new)
    return "taken away again"


def _set_mode(path: str, wanted: images.Image) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if (found.st_uid, found.st_gid) != (wanted["uid"], wanted["gid"]):
            os.fchown(fd, wanted["uid"], wanted["gid"])
        os.fchmod(fd, wanted["mode"])
        os.fsync(fd)
    finally:
        os.close(fd)


def _undo_mode(step: Step, now: images.Image) -> str:
    if now["kind"] != "dir":
        raise UndoFailed("%s is no directory any more" % step.path)
    _set_mode(step.path, step.before)
    os.utime(step.path, ns=(os.stat(step.path).st_atime_ns, step.before["mtime"]))
    sync_directory(step.path)
    return "mode put back"


def _holds(path: str, expected: images.Image) -> bool:
    """Whether a path has the content of an image; an inode's number alone is soon used again."""
    now = images.image(path)
    return all(now.get(name) == expected.get(name) for name in ("kind", "sha256", "target"))


def _other_differences(before: images.Image, now: images.Image) -> List[str]:
    """How a copy differs; it never has the other names of the original."""
    return [name for name in images.differences(before, now) if name != "links"]


def _keep_second(step: Step, conflicts: str) -> str:
    """Keep it under a second name, so that the name itself never vanishes."""
    folder = step.store + ".kept"
    beside = os.path.join(folder, os.path.basename(step.path))
    make_directories(folder)
    remove_if_there(beside)
    _link_or_copy(step.path, beside)
    goal = set_aside(beside, conflicts)
    os.rmdir(folder)
    return goal


def _put_back(step: Step) -> None:
    beside = os.path.join(os.path.dirname(step.path), ".u-%d" % step.number)
    remove_if_there(beside)
    try:
        os.link(step.store, beside, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _put_back_without_links(step, beside)
        return
    os.rename(beside, step.path)
    # A rename between two names of one file does nothing and leaves both.
    remove_if_there(beside)


def _put_back_without_links(step: Step, beside: str) -> None:
    """Move the backup itself: without it the path counts as untouched, and so it is then."""
    try:
        os.rename(step.store, step.path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_exactly(step.store, beside)
        os.rename(beside, step.path)


def _move_across(path: str, goal: str) -> None:
    """Copy to another file system; the original goes only when the copy is durable."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.copytree(path, goal, symlinks=True)
        os.sync()
        shutil.rmtree(path)
        return
    shutil.copy2(path, goal, follow_symlinks=False)
    os.sync()
    os.unlink(path)


def _link_or_copy(source: str, goal: str) -> None:
    try:
        os.link(source, goal, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        copy_exactly(source, goal)


def copy_exactly(source: str, goal: str) -> None:
    """A copy with owner, mode, times and extended attributes, durable and read again.

    Raises:
        OSError: It could not be made, or is not like its source; there may be a part of it.
    """
    found = images.image(source)
    times = (os.lstat(source).st_atime_ns, found["mtime"])
    if found["kind"] == "link":
        os.symlink(found["target"], goal)
        os.chown(goal, found["uid"], found["gid"], follow_symlinks=False)
        os.utime(goal, ns=times, follow_symlinks=False)
    else:
        _copy_file(source, goal, found, times)
    changed = _other_differences(found, images.image(goal))
    if changed:
        raise OSError(errno.EIO, "the copy differs in %s" % ", ".join(changed), goal)


def _copy_file(source: str, goal: str, found: images.Image, times: Tuple[int, int]) -> None:
    fd = os.open(goal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(source, "rb", buffering=0) as stream:
            for piece in iter(lambda: stream.read(1 << 20), b""):
                write_all(fd, piece)
        os.fchown(fd, found["uid"], found["gid"])
        os.fchmod(fd, found["mode"])  # after chown, which drops the setuid bits
        for name, value in found["xattrs"].items():
            os.setxattr(fd, name, bytes.fromhex(value))
        os.utime(fd, ns=times)
        os.fsync(fd)
    finally:
        os.close(fd)
