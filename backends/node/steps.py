"""One step of a transaction: what is backed up, what is done, and how it is taken back.

A step owns one path. Undo depends only on the step's intent (its before-image) and on what lies
in its store, so it can be done again and again, from wherever a crash left it. Source: notes on
reliability, sections 4.3 and 4.4; the table is theirs.
"""

import errno
import os
from typing import Any, Dict, List, Optional, Tuple

from backends.node import images
from backends.node.copying import copy_exactly, other_differences, set_aside
from backends.node.places import make_directories, remove_if_there, sync_directory

Intent = Dict[str, Any]
"""`{i, op, path, store, new, before: Image, after: Image}`; paths as hexadecimal bytes.

`tree` places a directory, `put` a file or link; both are renamed from `new`. `remove` takes a path
away. `mode` gives a directory another mode and owner. `keep` changes nothing itself: it is a file
that lives on across versions, copied so that it comes back as it was."""


NO_LINKS = (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP)
"""Errors of a link that a copy gets around: no hard links here, too many, another mount."""


_QUICK = ("kind", "ino", "dev", "size", "mtime", "mode", "uid", "gid", "target")
"""What is compared of a path without reading it."""


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
        part = step.store + ".part"
        copy_exactly(step.path, part)
        os.rename(part, step.store)  # half a copy never looks like one
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
    elif now["kind"] != "absent" and holds(step.path, step.before):
        if not other_differences(step.before, images.image(step.path)):
            return "is the old one"
    elif now["kind"] != "absent" and not holds(step.path, step.after):
        kept = ", what was there is kept as %s" % _keep_second(step, conflicts)
    _put_back(step)
    return "old one put back" + kept


Names = Dict[Tuple[int, int], int]
"""Device and inode -> how many of our backups are names of that file."""


def names_of_backups(steps: List[Step]) -> Names:
    """How many names each file has in the store: they go away, and do not count as its own."""
    found: Names = {}
    for step in steps:
        stored = images.image(step.store, content=False)
        if stored["kind"] == "file":
            inode = (stored["dev"], stored["ino"])
            found[inode] = found.get(inode, 0) + 1
    return found


def prove(step: Step, backups: Optional[Names] = None) -> List[str]:
    """How the path differs from its before-image; an empty list is the proof."""
    now = images.image(step.path)
    untouched = step.parks and "digest" not in step.intent and not os.path.lexists(step.store)
    if untouched and images.is_same_inode(step.before, now):
        return []  # the service was never seen gone: it may write into its own directory
    if "links" in now:
        backups = names_of_backups([step]) if backups is None else backups
        now["links"] -= backups.get((now["dev"], now["ino"]), 0)
    found = images.differences(step.before, now)
    digest = step.intent.get("digest")
    if digest is not None and digest != images.tree_digest(step.path):
        found.append("content")
    return found


def look_at_backup(step: Step) -> List[str]:
    """How what lies in the store of a step that was done differs from its before-image.

    Raises:
        OSError: It cannot be read.
    """
    if step.before["kind"] == "absent" or step.op == "mode":
        return []
    now = images.image(step.store)
    if now["kind"] == "absent":
        return ["its backup is gone"]
    found = list(other_differences(step.before, now))
    digest = step.intent.get("digest")
    if digest is not None and digest != images.tree_digest(step.store):
        found.append("content")
    return ["its backup was changed: %s" % ", ".join(found)] if found else []


def look_again(step: Step, backups: Names) -> Optional[Intent]:
    """The intent anew, if the path is not what it was; taken once the service is seen gone.

    Until then a service writes: into its directories, and into files that a release ships.

    Raises:
        OSError: Something appeared, or became something else, that this step was not made for.
    """
    if step.parks:
        before = images.image(step.path)
        return dict(step.intent, before=before, digest=images.tree_digest(step.path))
    now = images.image(step.path, content=False)
    if all(now.get(name) == step.before.get(name) for name in _QUICK):
        return None
    if step.op == "mode" and now["kind"] == "dir":
        return None  # names in it came or went
    if now["kind"] not in ("file", "link") or step.before["kind"] not in ("file", "link"):
        raise OSError(
            errno.EBUSY, "became a %s while the service stopped" % now["kind"], step.path
        )
    now = images.image(step.path)
    if now["kind"] == "file":
        now["links"] -= backups.get((now["dev"], now["ino"]), 0)
    return dict(step.intent, before=now)


def back_up_again(step: Step) -> None:
    """Back up what the path is now; the backup of what it was is given up.

    Only once the new intent is durable: without a backup the path counts as untouched, as it is.
    """
    if step.parks or images.is_same_inode(
        images.image(step.path, content=False), images.image(step.store, content=False)
    ):
        return
    remove_if_there(step.store)
    back_up(step)


def touched_directories(steps: List[Step]) -> List[str]:
    """Directories whose names a plan changes, each once."""
    found = {os.path.dirname(path) for step in steps for path in (step.path, step.store, step.new)}
    return sorted(path for path in found if os.path.isdir(path))


def _clear(step: Step, now: images.Image, conflicts: str) -> str:
    if now["kind"] == "absent":
        return ""
    if not (images.is_same_inode(now, step.after) and holds(step.path, step.after)):
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


def holds(path: str, expected: images.Image) -> bool:
    """Whether a path has the content of an image; an inode's number alone is soon used again."""
    now = images.image(path)
    return all(now.get(name) == expected.get(name) for name in ("kind", "sha256", "target"))


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
    name = ".liftlock-%s" % os.path.basename(step.store)
    beside = os.path.join(os.path.dirname(step.path), name)
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


def _link_or_copy(source: str, goal: str) -> None:
    try:
        os.link(source, goal, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        copy_exactly(source, goal)
