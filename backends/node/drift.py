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
        """Version, its content's digest, and identity of what is recorded of it; None while
        somebody changes what lies there.

        A record counts once the version was accepted or is final: staging writes one, too.
        """
        version, opened = facts["selected"], facts["transaction"]
        if not isinstance(version, str) or facts["state"] == "inconsistent":
            return None
        if opened is not None and (opened["driver"] or opened["decision"] != "ACCEPT"):
            return None
        decided = opened["to"] if opened is not None else facts["finalized"] or {}
        if decided.get("version") != version:
            return version, None, None
        places = self._layout.places
        seen = [_seen(path) for path in (places.manifest(version), places.next_manifest(version))]
        return version, decided.get("digest"), seen if any(seen) else None

    def forget(self) -> None:
        """Begin anew at the next look."""
        self._begin(None)

    def _begin(self, about: Any) -> None:
        self._about = about
        self.found = None
        self._entries: Optional[List[Entry]] = None
        self._whole: Optional[Pieces] = None
        self._cheap: Optional[Pieces] = None
        self._whole_at = self._cheap_at = 0.0
        self._read_at: Optional[float] = None
        self._known: Dict[str, Tuple[Any, Word]] = {}
        self._words: Dict[str, str] = {}
        self._spent = 0
        self._was_cheap = False
        """Whether the last piece ended a cheap round: then a whole one that waits goes on."""

    def _goes_on(self) -> bool:
        """Do one piece; whether there is more to do now. A cheap round does not wait for a whole
        one, once there was one."""
        now = time.monotonic()
        if self._whole is None and now >= self._whole_at:
            self._whole = self._look_at_all(True)
        if self._cheap is None and self._read_at is not None and now >= self._cheap_at:
            self._cheap = self._look_at_all(False)
        if self._cheap is not None and not (self._whole is not None and self._was_cheap):
            if _is_over(self._cheap):
                self._cheap, self._was_cheap = None, True
                self._cheap_at = now + min(CHEAP_SECONDS, self._every)
            return True
        self._was_cheap = False
        if self._whole is None:
            return False
        if _is_over(self._whole):
            self._whole = None
            self._whole_at = now + self._every
            self._cheap_at = now + min(CHEAP_SECONDS, self._every)
        return True

    def _look_at_all(self, whole: bool) -> Pieces:
        version, digest, seen = self._about
        try:
            if self._entries is None and seen is not None:
                self._entries = self._recorded(version, digest)
        except (OSError, ValueError) as error:
            self.found = {"unknown": "what is recorded of %s: %s" % (version, error)}
            return
        if self._entries is None:
            self.found = {"unknown": "nothing is recorded of %s" % version}
            return
        top = self._layout.places.tree(version)
        for entry in self._entries:
            if self._is_spent(_LOOK):
                yield
            word = yield from self._look_at(top, entry, whole)
            if word is None:
                self._words.pop(entry["path"], None)
            else:
                self._words[entry["path"]] = word
        if whole:
            self._read_at = clock.wall()
        self.found = self._told(version, len(self._entries))

    def _recorded(self, version: str, digest: Optional[str]) -> Optional[List[Entry]]:
        """What counts of the record; None when there is none."""
        files = self._layout.recorded(version, digest)
        return None if files is None else self._layout.counted(files)

    def _look_at(self, top: str, entry: Entry, whole: bool) -> Generator[None, None, Word]:
        path = os.path.join(top, entry["path"])
        try:
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode):
                return None if images.is_as_listed(path, entry) else "changed"
            seen = tuple(found)[:7] + (found.st_mtime_ns, found.st_ctime_ns)
            known = self._known.get(entry["path"])
            if known is not None and known[0] == seen and not whole:
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
            "read": self._read_at,
        }


def _seen(path: str) -> Optional[Tuple[int, int]]:
    """Which file lies there; None: none that could be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _is_over(pieces: Pieces) -> bool:
    """Do the next piece; whether there was none."""
    try:
        next(pieces)
    except StopIteration:
        return True
    return False
