"""The strict reader of untrusted `.tar.gz` archives: yields members, writes nothing.

It understands regular files, directories and safe relative symbolic links in the POSIX (ustar,
pax) and GNU formats, and refuses everything else by name. It reads headers itself, because
`tarfile` differs between Pythons, keeps what a header promises in memory, and its `extract`
has written outside of its destination in many versions. Memory is bounded by `Caps`.

Rules: reliability requirement N9. Python 3.6, standard library only.
"""

import hashlib
import re
import zlib
from typing import BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

from backends.node.tree import DEFAULT_CAPS, ArchiveError, Caps, Tree, check_path, shown

__all__ = [
    "DEFAULT_CAPS",
    "ArchiveError",
    "Caps",
    "Content",
    "Member",
    "Tree",
    "check_path",
    "read",
    "shown",
]

_BLOCK = 512
_CHUNK = 65536
_EMPTY = bytes(_BLOCK)
_RATIO_FLOOR = 1 << 20
"""Unpacked bytes below which the ratio says nothing: a tar of one byte is mostly padding."""

_MAX_PADDING = 1 << 20
"""Zero bytes accepted after the end; tar's largest usual record is half of it."""

_MAX_PAX = 1 << 20
"""Bytes of one pax header; extended attributes, which we ignore, may be large."""

_OTHER_KINDS = {
    b"1": "a hard link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
    b"7": "a contiguous file",
    b"D": "a directory dump",
    b"M": "a continued file",
    b"N": "a name list",
    b"S": "a sparse file",
    b"V": "a volume label",
}

_TYPES = {b"0": "file", b"\0": "file", b"5": "dir", b"2": "link"}


class Content:
    """The bytes of the current member, hashed as they are read; gone with the next member."""

    def __init__(self, stream: "_Inflated", path: str, size: int) -> None:
        self._stream = stream
        self._path = path
        self._left = size
        self._hash = hashlib.sha256()

    def read(self, count: int = _CHUNK) -> bytes:
        """The next bytes, at most `count`; b"" at the end.

        Raises ArchiveError when the archive ends too early or is damaged.
        """
        if count <= 0 or self._left == 0:
            return b""
        piece = self._stream.some(min(count, self._left))
        if not piece:
            raise ArchiveError("truncated", self._path, "the archive ends inside this member")
        self._left -= len(piece)
        self._hash.update(piece)
        return piece

    def sha256(self) -> str:
        """The digest in hex of all bytes; reads what was not read yet."""
        self.finish()
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Read to the end and forget."""
        while self._left:
            self.read()


Member = NamedTuple(
    "Member",
    [
        ("path", str),
        ("type", str),  # "file", "dir" or "link"
        ("mode", int),  # permission bits only; set-id and sticky bits are dropped
        ("size", int),
        ("target", Optional[str]),
        ("mtime", int),  # seconds since 1970 as the archive says; 0 where it says nothing usable
        ("content", Content),
    ],
)


def read(fileobj: BinaryIO, caps: Caps = DEFAULT_CAPS) -> Iterator[Member]:
    """The members of a `.tar.gz`, in order; "./" in front of a name is dropped.

    What is not read of a member's content is read over. Only when the iterator ends has the
    whole archive been checked, including the gzip checksum and that nothing follows it.

    Raises ArchiveError.
    """
    stream = _Inflated(fileobj, caps)
    tree = Tree(caps)
    extra: Dict[str, str] = {}
    while True:
        block = stream.exactly(_BLOCK, "")
        if block == _EMPTY:
            break
        header = _Header(block)
        if header.kind in (b"x", b"g", b"L", b"K"):
            _note(extra, header, stream, caps)
            continue
        path, target = _names(header, extra)
        extra = {}
        if path == "" and header.kind == b"5" and header.size == 0:
            continue  # "./": the top of the tree itself
        kind = _kind(header, path)
        tree.add(path, kind, header.size, target)
        content = Content(stream, path, header.size)
        yield Member(path, kind, header.mode, header.size, target, header.mtime, content)
        content.finish()
        stream.exactly(-header.size % _BLOCK, path)
    if extra:
        raise ArchiveError("header", "", "an extended header without a member")
    stream.finish()


class _Header:
    """One 512-byte header, its checksum and numbers already believed."""

    def __init__(self, block: bytes) -> None:
        shape = block[257:265]
        if shape not in (b"ustar\x0000", b"ustar  \0"):
            raise ArchiveError("header", "", "no tar header (POSIX or GNU) where one must be")
        if _number(block[148:156], "checksum") != sum(block[:148]) + 8 * 32 + sum(block[156:]):
            raise ArchiveError("header", "", "a header whose checksum is wrong")
        self.kind = block[156:157]
        self.name = _field(block[:100])
        self.target = _field(block[157:257])
        prefix = _field(block[345:500]) if shape == b"ustar\x0000" else b""
        if prefix:
            self.name = prefix + b"/" + self.name
        self.mode = _number(block[100:108], "mode") & 0o777
        self.size = _number(block[124:136], "size")
        seconds = block[136:148].strip(b" \0")
        self.mtime = int(seconds, 8) if re.match(rb"[0-7]+\Z", seconds) else 0


def _number(field: bytes, what: str) -> int:
    if field[0] == 0x80:  # GNU: too large for octal
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not re.match(rb"[0-7]*\Z", text):
        raise ArchiveError("header", "", "a header whose {} is no number".format(what))
    return int(text or b"0", 8)


def _field(raw: bytes) -> bytes:
    text, _, rest = raw.partition(b"\0")
    if rest.strip(b"\0"):
        raise ArchiveError("name", _lenient(raw), "a name with a NUL inside")
    return text


def _lenient(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveError("name", _lenient(raw), "a name that is not UTF-8") from error


def _kind(header: _Header, path: str) -> str:
    kind = _TYPES.get(header.kind)
    if kind is None:
        other = _OTHER_KINDS.get(header.kind, "of the unknown type {!r}".format(header.kind))
        raise ArchiveError("type", path, "is {}".format(other))
    if kind != "file" and header.size:
        raise ArchiveError("header", path, "a {} with content".format(kind))
    return kind


def _names(header: _Header, extra: Dict[str, str]) -> Tuple[str, Optional[str]]:
    """The member's path and link target, from the header or what preceded it."""
    path = extra["path"] if "path" in extra else _decoded(header.name)
    size = extra.get("size")
    if size is not None and size != str(header.size):
        raise ArchiveError("header", path, "a size that contradicts itself")
    if path in (".", "./"):
        return ("" if header.kind == b"5" else path), None
    while path.startswith("./"):
        path = path[2:]
    if header.kind == b"5" and path.endswith("/"):
        path = path[:-1]
    if header.kind != b"2":
        return path, None
    return path, extra["linkpath"] if "linkpath" in extra else _decoded(header.target)


def _note(extra: Dict[str, str], header: _Header, stream: "_Inflated", caps: Caps) -> None:
    """Read an extended header into `extra`; each thing may be said once."""
    is_pax = header.kind in (b"x", b"g")
    if header.size > (_MAX_PAX if is_pax else caps.path_bytes + 1):
        code = "header" if is_pax else "long-name"
        raise ArchiveError(code, "", "an extended header of {} bytes".format(header.size))
    data = b""
    while len(data) < header.size:
        data += stream.exactly(min(header.size - len(data), _CHUNK), "")
    stream.exactly(-header.size % _BLOCK, "")
    if not is_pax:
        key = "path" if header.kind == b"L" else "linkpath"
        found = [(key, data[:-1] if data.endswith(b"\0") else data)]
    else:
        found = _pax(data)
    for key, value in found:
        if header.kind == b"g" or key in extra:
            raise ArchiveError("header", "", "{} of a member is stated elsewhere".format(key))
        extra[key] = _decoded(value)


def _pax(data: bytes) -> List[Tuple[str, bytes]]:
    """The records that we obey: path, linkpath, size. Refuses sparse files and bad records."""
    found: List[Tuple[str, bytes]] = []
    start = 0
    while start < len(data):
        match = re.compile(rb"([1-9][0-9]{0,6}) ([^=\0]+)=").match(data, start)
        end = start + int(match.group(1)) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1] != 0x0A:
            raise ArchiveError("header", "", "a damaged extended header")
        key = _decoded(match.group(2))
        if key.startswith("GNU.sparse"):
            raise ArchiveError("type", "", "a sparse file")
        if key in ("path", "linkpath", "size"):
            found.append((key, data[match.end() : end - 1]))
        start = end
    return found


class _Inflated:
    """The unpacked bytes of one gzip stream; never more in memory than was asked for."""

    def __init__(self, source: BinaryIO, caps: Caps) -> None:
        self._source = source
        self._caps = caps
        self._engine = zlib.decompressobj(wbits=31)
        self._waiting = b""
        self._packed = 0
        self._whole = _size_of(source)
        self._unpacked = 0

    def some(self, count: int) -> bytes:
        """At least one and at most `count` bytes; b"" only at the end of the stream."""
        while not self._engine.eof:
            if not self._waiting:
                self._waiting = self._source.read(_CHUNK)
                if not self._packed and self._waiting[:2] != b"\x1f\x8b"[: len(self._waiting)]:
                    raise ArchiveError("not-gzip", "", "not compressed with gzip")
                self._packed += len(self._waiting)
            is_last = not self._waiting
            try:
                piece = self._engine.decompress(self._waiting, count)
            except zlib.error as error:
                raise ArchiveError("damaged", "", "damaged: {}".format(error)) from error
            self._waiting = self._engine.unconsumed_tail
            if piece:
                self._count(len(piece))
                return piece
            if is_last and not self._engine.eof:
                raise ArchiveError("truncated", "", "ends before its end")
        return b""

    def exactly(self, count: int, member: str) -> bytes:
        """`count` bytes; for less than a few kilobytes."""
        data = b""
        while len(data) < count:
            piece = self.some(count - len(data))
            if not piece:
                raise ArchiveError("truncated", member, "the archive ends too early")
            data += piece
        return data

    def finish(self) -> None:
        """Insist that only the padding and the gzip trailer are left, and nothing after."""
        if self.exactly(_BLOCK, "") != _EMPTY:
            raise ArchiveError("trailing", "", "something after the end of the archive")
        padding = 0
        while True:
            piece = self.some(_CHUNK)
            if not piece:
                break
            padding += len(piece)
            if piece.strip(b"\0") or padding > _MAX_PADDING:
                raise ArchiveError("trailing", "", "something after the end of the archive")
        if self._engine.unused_data or self._source.read(1):
            raise ArchiveError("trailing", "", "something after the end of the gzip stream")

    def _count(self, size: int) -> None:
        self._unpacked += size
        packed = self._whole or self._packed - len(self._waiting)
        if self._unpacked > _RATIO_FLOOR and self._unpacked > self._caps.ratio * packed:
            raise ArchiveError(
                "ratio", "", "unpacks to more than {} times its size".format(self._caps.ratio)
            )


def _size_of(source: BinaryIO) -> Optional[int]:
    """Bytes from here to the end, when the source can tell; the ratio is about the whole."""
    if not source.seekable():
        return None
    here = source.tell()
    end = source.seek(0, 2)
    source.seek(here)
    return end - here
