"""The node's journal: framed, checksummed, hash-chained records in an append-only file.

A record is `LEN8 CRC8 JSON newline`: length and CRC-32 of the JSON as eight hexadecimal digits
each, then canonical ASCII JSON. Fields of every record: `t` type, `n` number, `p` the first 16
hexadecimal digits of the SHA-256 of the previous line, `bt` seconds since boot, `bid` boot id,
`wt` wall time (for people only). Whoever only reads needs no lock: a record that is being written
looks like a torn tail.

Reading: a torn tail never happened; damage with a valid record behind it is refused.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import time
import zlib
from typing import Any, Callable, Dict, List, Optional, Tuple

from backends.node import clock
from backends.node.canonical import canonical

MAX_RECORD = 1 << 20
"""Bytes of one record; anything larger goes into a side file named by its hash."""

_NO_RECORD_BEFORE = "0" * 16
_HEADER = re.compile(rb"[0-9a-f]{8} [0-9a-f]{8} \{")
_OWN_FIELDS = frozenset(["t", "n", "p", "bt", "bid", "wt"])
_LOCK_SECONDS = 5.0

Record = Dict[str, Any]


class JournalDamaged(Exception):
    """There is a valid record behind bytes that are none: nothing may be touched."""


class AppendFailed(Exception):
    """The record is not in the journal; the file ends where it ended before."""


class Scan:
    """What a journal's bytes say."""

    def __init__(self, records: List[Record], end: int, last: str, torn: int) -> None:
        self.records = records
        self.end = end
        """Bytes up to the end of the last whole record."""
        self.last = last
        """The `p` of the next record."""
        self.torn = torn
        """Bytes of a record that was never finished."""


def frame(record: Record) -> bytes:
    """A record as its line."""
    body = canonical(record)
    return b"%08x %08x " % (len(body), zlib.crc32(body)) + body + b"\n"


def link(line: bytes) -> str:
    """What the next record must carry as `p`."""
    return hashlib.sha256(line).hexdigest()[:16]


def scan(data: bytes, number: int = 0, last: str = _NO_RECORD_BEFORE) -> Scan:
    """Read the records of a journal, or those behind record `number - 1`.

    Raises:
        JournalDamaged: A valid record stands behind bytes that are none.
    """
    records: List[Record] = []
    offset = 0
    while offset < len(data):
        line = _line_at(data, offset)
        record = None if line is None else _parse(line)
        if line is None or record is None or record["n"] != number or record["p"] != last:
            _refuse_damage(data, offset)
            break
        records.append(record)
        number, last, offset = number + 1, link(line), offset + len(line)
    return Scan(records, offset, last, len(data) - offset)


def _line_at(data: bytes, offset: int) -> Optional[bytes]:
    """The frame that starts at `offset`, if its length and checksum fit."""
    if not _HEADER.match(data, offset):
        return None
    length = int(data[offset : offset + 8], 16)
    line = data[offset : offset + 18 + length + 1]
    body = line[18:-1]
    if length > MAX_RECORD or len(body) != length or line[-1:] != b"\n":
        return None
    return line if line[:18] == b"%08x %08x " % (length, zlib.crc32(body)) else None


def _parse(line: bytes) -> Optional[Record]:
    try:
        record = json.loads(line[18:-1].decode("ascii"))
    except ValueError:
        return None
    if not isinstance(record, dict) or not _OWN_FIELDS.issubset(record):
        return None
    return record if canonical(record) == line[18:-1] else None


def _refuse_damage(data: bytes, offset: int) -> None:
    for found in _HEADER.finditer(data, offset + 1):
        if _line_at(data, found.start()) is not None:
            raise JournalDamaged("bytes from %d on are damaged" % offset)


def _open(path: str, create: bool) -> int:
    """The file's descriptor; one that can only read where nothing can be written."""
    flags = os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except OSError as error:
        if create or error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return os.open(path, flags | os.O_RDONLY)


class Journal:
    """One journal file, open for reading and appending.

    Each append takes the file's own kernel lock and reads first what others appended, so a
    confirmation never waits for the watcher and two decisions are never recorded.
    """

    def __init__(self, path: str, create: bool = False) -> None:
        self.path = path
        self.records: List[Record] = []
        self._fd = _open(path, create)
        self._end = 0
        self._last = _NO_RECORD_BEFORE
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def refresh(self) -> List[Record]:
        """Read what was appended since, by anybody; the new records.

        Raises:
            JournalDamaged: See `scan`.
        """
        return self._catch_up()[0]

    def sync(self) -> None:
        """Make durable what was read, also what another process has only just appended.

        Whoever acts on a decision calls this first: a power cut must not take it back afterwards.

        Raises:
            AppendFailed: The disk said no; the decision must not be acted upon.
        """
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise AppendFailed("%s: %s" % (self.path, error)) from error

    def append(self, kind: str, durable: bool = True, **fields: Any) -> Record:
        """Add a record; when this returns it is on the disk (if `durable`).

        Raises:
            AppendFailed: It is not there; the first error is the cause.
            JournalDamaged: See `scan`.
        """
        record, _ = self.append_unless(lambda records: None, kind, durable, **fields)
        if record is None:
            raise AssertionError("an append without a condition was refused")
        return record

    def append_unless(
        self,
        objection: Callable[[List[Record]], Optional[str]],
        kind: str,
        durable: bool = True,
        **fields: Any,
    ) -> Tuple[Optional[Record], str]:
        """Add a record unless `objection(records)`, asked under the lock, names a reason.

        Returns:
            The record and "", or None and the reason.

        Raises:
            AppendFailed: It is not there.
            JournalDamaged: See `scan`.
        """
        if _OWN_FIELDS.intersection(fields):
            raise ValueError("these fields are the journal's own: %r" % sorted(_OWN_FIELDS))
        self._lock()
        try:
            torn = self._catch_up()[1]
            reason = objection(self.records)
            if reason is not None:
                return None, reason
            if torn:
                self._cut_torn_tail()
            record = dict(fields, t=kind, n=len(self.records), p=self._last, **clock.stamp())
            line = frame(record)
            if len(line) > MAX_RECORD:
                raise ValueError("a record of %d bytes belongs into a side file" % len(line))
            self._write(line, durable)
            self.records.append(record)
            self._end += len(line)
            self._last = link(line)
            return record, ""
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _lock(self) -> None:
        give_up = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise AppendFailed("the journal was locked for %g s" % _LOCK_SECONDS) from None
                time.sleep(0.01)

    def _catch_up(self) -> Tuple[List[Record], int]:
        size = os.fstat(self._fd).st_size
        if size < self._end:
            raise JournalDamaged("the journal became shorter: %d < %d" % (size, self._end))
        data = b""
        while len(data) < size - self._end:
            piece = os.pread(self._fd, size - self._end - len(data), self._end + len(data))
            if not piece:
                break
            data += piece
        found = scan(data, len(self.records), self._last)
        self.records.extend(found.records)
        self._end += found.end
        self._last = found.last
        return found.records, found.torn

    def _cut_torn_tail(self) -> None:
        try:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)
        except OSError as error:
            raise AppendFailed("%s: %s" % (self.path, error)) from error

    def _write(self, line: bytes, durable: bool) -> None:
        try:
            view = memoryview(line)
            while len(view):
                written = os.write(self._fd, view)
                if not written:
                    raise OSError(errno.EIO, "nothing was written")
                view = view[written:]
            if durable:
                os.fdatasync(self._fd)
        except OSError as error:
            # A failed fdatasync is reported once and the page is then clean: never tried again.
            # A cut that fails leaves a torn tail; the first error is the one that counts.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise AppendFailed("%s: %s" % (self.path, error)) from error
