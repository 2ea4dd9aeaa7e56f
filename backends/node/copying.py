"""Copies that are as good as the original, and moves that may have to be copies.

Used where a rename or a hard link does not do: for what lives on, across mounts, and to keep
foreign things aside.
"""

import errno
import fcntl
import os
import stat
from typing import BinaryIO, Tuple

from backends.node import images
from backends.node.places import (
    make_directories,
    remove_any,
    sync_directory,
    write_all,
)

_CLONE = 0x40049409
"""FICLONE of Linux."""


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
    elif found["kind"] == "file":
        _copy_file(source, goal, found, times)
    else:
        raise OSError(errno.EINVAL, "neither a file nor a link", source)
    changed = other_differences(found, images.image(goal))
    if changed:
        raise OSError(errno.EIO, "the copy differs in %s" % ", ".join(changed), goal)


def copy_as_it_is(source: str, goal: str) -> None:
    """A copy with owner, mode and times of what may change meanwhile, for a look and no more.

    It need not last, and need not be like its source at any one moment.

    Raises:
        OSError: It could not be made; FileNotFoundError, it is gone.
    """
    about = os.lstat(source)
    if stat.S_ISLNK(about.st_mode):
        os.symlink(os.readlink(source), goal)
    elif stat.S_ISREG(about.st_mode):
        fd = os.open(goal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(source, "rb", buffering=0) as stream:
                if not _cloned(stream.fileno(), fd):
                    _copy_content(stream, fd)
            os.fchown(fd, about.st_uid, about.st_gid)
            os.fchmod(fd, stat.S_IMODE(about.st_mode))
        finally:
            os.close(fd)
        os.utime(goal, ns=(about.st_atime_ns, about.st_mtime_ns))


def other_differences(before: images.Image, now: images.Image) -> Tuple[str, ...]:
    """How a copy differs; it never has the other names of the original."""
    return tuple(name for name in images.differences(before, now) if name != "links")


def _copy_file(source: str, goal: str, found: images.Image, times: Tuple[int, int]) -> None:
    fd = os.open(goal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(source, "rb", buffering=0) as stream:
            if not _cloned(stream.fileno(), fd):
                _copy_content(stream, fd)
        os.fchown(fd, found["uid"], found["gid"])
        os.fchmod(fd, found["mode"])  # after chown, which drops the setuid bits
        for name, value in found["xattrs"].items():
            os.setxattr(fd, name, bytes.fromhex(value))
        os.utime(fd, ns=times)
        os.fsync(fd)
    finally:
        os.close(fd)


def _cloned(source: int, goal: int) -> bool:
    """Whether the file system shares the content between both: no time, no space."""
    try:
        fcntl.ioctl(goal, _CLONE, source)
    except OSError:
        return False  # most cannot, or not between these two
    return True


def _copy_content(stream: BinaryIO, fd: int) -> None:
    """All bytes; holes of a sparse file stay holes."""
    about = os.fstat(stream.fileno())
    has_holes = about.st_blocks * 512 < about.st_size
    for piece in iter(lambda: stream.read(1 << 20), b""):
        if has_holes and not any(piece):
            os.lseek(fd, len(piece), os.SEEK_CUR)
        else:
            write_all(fd, piece)
    if has_holes:
        os.ftruncate(fd, about.st_size)


def make_like(source: str, goal: str) -> None:
    """A directory with owner, mode and extended attributes of another one, if it is not there."""
    found = images.image(source, content=False)
    if not os.path.isdir(goal):
        os.mkdir(goal, 0o700)
    os.chown(goal, found["uid"], found["gid"])
    os.chmod(goal, found["mode"])
    for name, value in found["xattrs"].items():
        os.setxattr(goal, name, bytes.fromhex(value))
    sync_directory(goal)


def copy_tree(source: str, goal: str) -> None:
    """A copy of a directory and all in it, each file as `copy_exactly` does it.

    Raises:
        OSError: It could not be made; there may be a part of it.
    """
    _copy_all(source, goal)


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


def _move_across(path: str, goal: str) -> None:
    """To another file system: the original goes only when the whole copy is durable."""
    beside = goal + ".part"
    remove_any(beside)
    _copy_all(path, beside)
    os.rename(beside, goal)
    sync_directory(os.path.dirname(goal))
    remove_any(path)


def _copy_all(source: str, goal: str) -> None:
    mode = os.lstat(source).st_mode
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        copy_exactly(source, goal)
    elif stat.S_ISDIR(mode):
        make_like(source, goal)
        for name in os.listdir(source):
            _copy_all(os.path.join(source, name), os.path.join(goal, name))
        about = os.stat(source)
        os.utime(goal, ns=(about.st_atime_ns, about.st_mtime_ns))
        sync_directory(goal)
    elif stat.S_ISSOCK(mode):
        return  # an address without a process behind it holds nothing
    else:
        os.mknod(goal, mode, os.lstat(source).st_rdev)
