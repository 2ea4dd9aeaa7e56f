"""What lies in place, held against what was recorded of it, again and again while a watch lasts.

Cheap first: a file whose inode, size and times are those of its last reading is taken to be what
it was then; whatever differs is read. After `every` seconds each byte is read again, because a
disk can lose bytes without a trace. All of it in small pieces between the looks of a watch. It
writes nothing, and rests while an upgrade is at work. Sources: features R11, R12.
"""

import hashlib
import os
import stat
import time
from typing import Any, Dict, Generator, Iterator, List, Optional, Tuple

from backends.node import clock, images
from backends.node.layout import Entry, Layout
from backends.node.wire import WireError

CHEAP_SECONDS = 10.0
"""So often names, sizes and times are looked at; more often where `every` is shorter."""

NAMES = 20
"""So many paths are told; the others are counted."""

_SLICE_SECONDS = 0.025
"""How long one look may take from its watch, which looks twice a second."""

_PIECE = 1 << 20
"""Bytes that are read in one go."""

_LOOK = 1 << 14
"""A look at a name counts as so many bytes."""

Word = Optional[str]
"""`changed`, `missing`, why it could not be read; None: it is as recorded."""

Pieces = Iterator[None]


class Patrol:
    """Looks after the version that the next start will run."""

    found: Any = None
    """None: not looked at yet. Else as in `facts`: what differs, or that it is unknown."""

    def __init__(self, layout: Layout, every: float) -> None:
        """`every`: seconds from one full reading to the next."""
        self._layout = layout
        self._every = every
        self._about: Any = None
        self._begin(None)

    def look(self, facts: Dict[str, Any]) -> None:
        """Go on a little, if what lies there is at rest; else forget all that was found."""
        about = self._what_rests(facts)
        if about != self._about:
            self._begin(about)
        if about is None:
            return
        ends = time.monotonic() + _SLICE_SECONDS
        while self._goes_on() and time.monotonic() < ends:
            pass

    def _what_rests(self, facts: Dict[str, Any]) -> Any:
        """Version and identity of its record; None while somebody changes what lies there."""
        version, opened = facts["selected"], facts["transaction"]
        if not isinstance(version, str) or facts["state"] == "inconsistent":
            return None
        if opened is not None and (opened["driver"] or opened["decision"] != "ACCEPT"):
            return None
        try:
            record = os.stat(self._layout.places.manifest(version))
        except OSError:
            return version, None
        return version, (record.st_ino, record.st_mtime_ns)

    def _begin(self, about: Any) -> None:
        self._about = about
        self.found = None
        self._round: Optional[Pieces] = None
        self._is_whole = True
        self._whole_at = self._cheap_at = 0.0
        self._read_at: Optional[float] = None
        self._known: Dict[str, Tuple[Any, Word]] = {}
        self._words: Dict[str, str] = {}
        self._spent = 0

    def _goes_on(self) -> bool:
        """Do one piece; whether there is more to do now."""
        now = time.monotonic()
        if self._round is None:
            if now < min(self._whole_at, self._cheap_at):
                return False
            self._is_whole = now >= self._whole_at
            self._round = self._look_at_all(self._about[0])
        try:
            next(self._round)
        except StopIteration:
            self._round = None
            self._cheap_at = now + min(CHEAP_SECONDS, self._every)
            if self._is_whole:
                self._whole_at = now + self._every
                self._read_at = clock.wall()
            return False
        return True

    def _look_at_all(self, version: str) -> Pieces:
        try:
            manifest = self._layout.manifest(version)
        except (OSError, WireError) as error:
            self.found = {"unknown": "what is recorded of %s: %s" % (version, error)}
            return
        if manifest is None:
            self.found = {"unknown": "nothing is recorded of %s" % version}
            return
        top = self._layout.places.tree(version)
        files = [each for each in manifest["files"] if not self._layout.is_kept(each["path"])]
        for entry in files:
            if self._is_spent(_LOOK):
                yield
            word = yield from self._look_at(top, entry)
            if word is None:
                self._words.pop(entry["path"], None)
            else:
                self._words[entry["path"]] = word
        self.found = self._told(version, len(files))

    def _look_at(self, top: str, entry: Entry) -> Generator[None, None, Word]:
        path = os.path.join(top, entry["path"])
        try:
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode):
                return None if images.is_as_listed(path, entry) else "changed"
            seen = tuple(found)[:7] + (found.st_mtime_ns, found.st_ctime_ns)
            known = self._known.get(entry["path"])
            if known is not None and known[0] == seen and not self._is_whole:
                return known[1]
            word = yield from self._read(path, entry, found)
            self._known[entry["path"]] = seen, word
            return word
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        except OSError as error:
            return "%s: %s" % (entry["path"], error.strerror)

    def _read(self, path: str, entry: Entry, found: os.stat_result) -> Generator[None, None, Word]:
        """Hold the bytes of a file against its entry, piece by piece."""
        if (entry["type"], entry["mode"], entry["size"]) != (
            "file",
            stat.S_IMODE(found.st_mode),
            found.st_size,
        ):
            return "changed"
        sha = hashlib.sha256()
        with open(path, "rb", buffering=0) as stream:
            while True:
                piece = stream.read(_PIECE)
                if not piece:
                    return None if sha.hexdigest() == entry["sha256"] else "changed"
                sha.update(piece)
                if self._is_spent(len(piece)):
                    yield

    def _is_spent(self, count: int) -> bool:
        """Whether it is time to look at the clock: so many bytes more were read."""
        self._spent += count
        if self._spent < _PIECE:
            return False
        self._spent = 0
        return True

    def _told(self, version: str, count: int) -> Dict[str, Any]:
        by_word: Dict[str, List[str]] = {"changed": [], "missing": []}
        unread = []
        for path, word in sorted(self._words.items()):
            if word in by_word:
                by_word[word].append(path)
            else:
                unread.append(word)
        if unread and not any(by_word.values()):
            return {"unknown": "; ".join(unread[:3])}
        return {
            "version": version,
            "files": count,
            "changed": by_word["changed"][:NAMES],
            "missing": by_word["missing"][:NAMES],
            "count": sum(map(len, by_word.values())),
            "read": clock.wall() if self._is_whole else self._read_at,
        }
