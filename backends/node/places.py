"""Where things are on a node, and how a file gets there so that a power cut cannot half it."""

import errno
import hashlib
import json
import os
import shutil
import stat
from typing import Any, Dict, List, Optional

from backends.node import wire
from backends.node.canonical import canonical

STATE_DIR = "/var/lib/liftlock"
"""Where root's state is."""


class UnsafePlace(Exception):
    """Somebody else could change what lies there."""


class Places:
    """All paths of one product on this node.

    `<state_dir>/updater/` and `<state_dir>/<product>/` hold what must outlive everything;
    `.liftlock/` holds trees, beside what they serve so that a rename works: in the product's
    directory, or beside that when it is `swapped_whole`. In a `flat` product the version lies in
    the directory itself, else each version has a directory of its own in there.
    """

    def __init__(
        self,
        state_dir: str,
        product: str,
        directory: str,
        flat: bool = False,
        swapped_whole: bool = False,
    ) -> None:
        self.state_dir = state_dir
        self.product = product
        self.directory = directory
        self.flat = flat
        self.updaters = os.path.join(state_dir, "updater")
        self.home = os.path.join(state_dir, product)
        self.lock = os.path.join(self.home, "lock")
        self.owner = os.path.join(self.home, "owner")
        self.journal = os.path.join(self.home, "journal")
        self.log = os.path.join(self.home, "updater.log")
        self.run = os.path.join(self.home, "run.json")
        self.blobs = os.path.join(self.home, "blobs")
        self.manifests = os.path.join(self.home, "manifests")
        self.staged = os.path.join(self.home, "staged")
        self.finalized = os.path.join(self.home, "finalized.json")
        self.floor = os.path.join(self.home, "floor")
        self.started = os.path.join(self.home, "started.json")
        self.restarting = os.path.join(self.home, "restarting.json")
        self.last = os.path.join(self.home, "last.json")
        self.origin = os.path.join(self.home, "origin.json")
        self.disabled = os.path.join(self.home, "disabled")
        self.active = os.path.join(self.home, "active")
        self.active_new = os.path.join(self.home, ".new")
        self.done = os.path.join(self.home, "done")
        self.conflicts = os.path.join(self.home, "conflicts")
        self.selected = os.path.join(self.home, "selected")
        self.defaults = os.path.join(self.home, "defaults")
        self.nexts = os.path.join(self.home, "next")
        self.provenances = os.path.join(self.home, "provenance")
        # Products that are swapped whole may lie side by side: each has a folder of its own.
        around = os.path.join(os.path.dirname(directory), ".liftlock")
        inside = os.path.join(directory, ".liftlock")
        self.beside = os.path.join(around, product) if swapped_whole else inside
        self.staging = os.path.join(self.beside, "staging")
        self.store = os.path.join(self.beside, "store")
        self.new = os.path.join(self.beside, "new")

    @property
    def second_layer(self) -> str:
        """What the second layer of this product is called, once on a machine."""
        name = "liftlock-" + self.product
        if self.state_dir == STATE_DIR:
            return name
        return "%s-%s" % (name, hashlib.sha256(os.fsencode(self.home)).hexdigest()[:8])

    def tree(self, version: str) -> str:
        """Where a version lives."""
        return self.directory if self.flat else os.path.join(self.directory, version)

    def staged_tree(self, version: str) -> str:
        """Where a version lies before it is put in place."""
        return os.path.join(self.staging, version)

    def stage_mark(self, version: str) -> str:
        """What is recorded of a staged version: digest, run, whether it was checked."""
        return os.path.join(self.staged, version + ".json")

    def manifest(self, version: str) -> str:
        """What we know of a version's content."""
        return os.path.join(self.manifests, version + ".json")

    def default(self, version: str) -> str:
        """The configuration files of a version as they were shipped: a directory like its tree."""
        return os.path.join(self.defaults, version)

    def next(self, version: str) -> str:
        """What is known of the final version with other configuration, until that is final.

        A directory with what `manifest` and `default` are for any other content.
        """
        return os.path.join(self.nexts, version)

    def next_manifest(self, version: str) -> str:
        """What `manifest` is to be once it is final."""
        return os.path.join(self.next(version), "manifest.json")

    def next_default(self, version: str) -> str:
        """What `default` is to be once it is final."""
        return os.path.join(self.next(version), "defaults")

    def provenance(self, version: str) -> str:
        """Who vouches for a version: a directory with its signature."""
        return os.path.join(self.provenances, version)

    def make_home(self) -> None:
        """Create the state directories, private, and write down which did not exist before.

        Raises:
            UnsafePlace: Somebody else could change a directory on the way.
            OSError: It cannot be created.
        """
        created = make_directories(self.home, private=self.state_dir)
        refuse_unsafe(self.home)
        for path in (self.blobs, self.manifests, self.staged, self.done, self.conflicts):
            make_directories(path)
        make_directories(self.updaters, private=self.state_dir)
        self.note_created(created)

    def make_beside(self) -> None:
        """Create `.liftlock/`, and the directory that it lies in if that is missing.

        Raises:
            UnsafePlace: Somebody else made it, or a link in its place.
            OSError: It cannot be created.
        """
        private = self.beside
        while os.path.basename(private) != ".liftlock":
            private = os.path.dirname(private)
        created = [path for path in make_directories(self.beside, private) if path != self.beside]
        refuse_foreign(private)
        refuse_foreign(self.beside)
        for path in (self.staging, self.store, self.new):
            make_directories(path)
            refuse_foreign(path)
        self.note_created(created)

    def note_created(self, created: List[str]) -> None:
        """Remember directories that only exist because of us, for `clean`."""
        known = read_json(self.origin) or {"created": []}
        fresh = [path for path in created if path not in known["created"]]
        if fresh or not os.path.exists(self.origin):
            write_json(self.origin, {"created": known["created"] + fresh})


def make_directories(path: str, private: Optional[str] = None) -> List[str]:
    """Create `path` and its missing parents; those that were missing, outermost first.

    From `private` (default: `path` itself) on inwards they are 0700, outside of it 0755.
    """
    top = private or path
    missing = []
    probe = path
    while not os.path.lexists(probe):
        missing.append(probe)
        probe = os.path.dirname(probe)
    for item in reversed(missing):
        inside = item == top or item.startswith(top + "/")
        os.mkdir(item, 0o700 if inside else 0o755)
        sync_directory(os.path.dirname(item))
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", path)
    return list(reversed(missing))


def refuse_unsafe(path: str) -> None:
    """Walk to `path` by descriptors, without following links; every part must be ours or root's.

    Raises:
        UnsafePlace: A part is a link, belongs to somebody else, or others may write to it
            (a sticky directory such as /tmp is let through: nobody can rename our part of it).
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = os.open("/", flags)
    walked = ""
    try:
        for part in [part for part in os.path.realpath(path).split("/") if part]:
            walked += "/" + part
            try:
                inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                raise UnsafePlace("%s: %s" % (walked, error.strerror)) from error
            os.close(fd)
            fd = inner
            found = os.fstat(fd)
            if found.st_uid not in (0, os.geteuid()):
                raise UnsafePlace("%s belongs to user %d" % (walked, found.st_uid))
            if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
                raise UnsafePlace("%s can be written by others" % walked)
    finally:
        os.close(fd)


def refuse_foreign(path: str) -> None:
    """Refuse a directory that is a link, is not ours, or that others may write to.

    Raises:
        UnsafePlace: It is one of these.
    """
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafePlace("%s is no directory" % path)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise UnsafePlace("%s is somebody else's or can be written by others" % path)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: str, content: bytes, mode: int = 0o600, part: str = "") -> None:
    """Put a file in place in one rename; when this returns it is durable.

    `part` is what it is called before that, where a crash must not leave something unknown.
    """
    beside = part or "%s.part-%d" % (path, os.getpid())
    try:
        fd = os.open(
            beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode
        )
        try:
            write_all(fd, content)
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(beside, path)
    except OSError:
        remove_if_there(beside)
        raise
    sync_directory(os.path.dirname(path))


def write_all(fd: int, content: bytes) -> None:
    """Write all of `content`; a short write is continued, not believed."""
    view = memoryview(content)
    while len(view):
        view = view[os.write(fd, view) :]


def write_json(path: str, value: Dict[str, Any]) -> None:
    """Put a JSON file in place, durably."""
    write_file(path, canonical(value) + b"\n")


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """A JSON file of ours, or None when there is none.

    Raises:
        wire.WireError: It is there and is no JSON object of ours.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        value = json.loads(content.decode("ascii"))
    except ValueError as error:
        raise wire.WireError("%s: %s" % (path, error)) from error
    if not isinstance(value, dict):
        raise wire.WireError("%s: no JSON object" % path)
    return value


def remove_if_there(path: str) -> bool:
    """Unlink a file; False when there was none."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove_tree(path: str) -> None:
    """Remove a directory of ours and all in it, without following links."""
    if os.path.islink(path):
        raise UnsafePlace("%s is a link" % path)
    if os.path.lexists(path):
        shutil.rmtree(path)


def remove_any(path: str) -> None:
    """Remove whatever of ours lies there: a file, a link itself, a directory and all in it."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        remove_if_there(path)


def names_in(path: str) -> List[str]:
    """Sorted names in a directory; none when it does not exist."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
