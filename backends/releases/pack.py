"""Pack a directory as a `.tar.gz` whose bytes depend on nothing but its content."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import BinaryIO

from backends.releases.contents import (
    DIRECTORY_MODE,
    LINK_MODE,
    directory_entry,
    file_mode,
    link_entry,
)
from backends.releases.manifest import FileEntry, TarballEntry
from backends.releases.source import Found, changed, unreadable

_GZIP_LEVEL = 6
_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


def pack(
    directory: Path, found: tuple[Found, ...], output: BinaryIO, created: int
) -> tuple[tuple[FileEntry, ...], TarballEntry]:
    """Write the `.tar.gz` of what was found; `created` (seconds since 1970) is every time in it.

    Raises LiftlockError, exit 2: `release-source-unreadable`, `release-source-changed`.
    """
    entries: list[FileEntry] = []
    counted = _Counted(output)
    with (
        gzip.GzipFile("", "wb", _GZIP_LEVEL, counted, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for each in found:
            info = tarfile.TarInfo(each.path)
            info.type = _TYPES[each.type]
            info.mtime = created
            info.linkname = each.target or ""
            if each.type == "file":
                entries.append(_add_file(archive, info, directory, each))
                continue
            info.mode = DIRECTORY_MODE if each.type == "dir" else LINK_MODE
            archive.addfile(info)
            is_dir = each.type == "dir"
            entries.append(
                directory_entry(each.path) if is_dir else link_entry(each.path, info.linkname)
            )
    return tuple(entries), TarballEntry(sha256=counted.hash.hexdigest(), size=counted.size)


def _add_file(
    archive: tarfile.TarFile, info: tarfile.TarInfo, directory: Path, each: Found
) -> FileEntry:
    info.size = each.size
    info.mode = file_mode(each.mode)
    try:
        handle = os.open(directory / each.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(error, each.path) from error
    with open(handle, "rb") as source:
        hashed = _Hashed(source, each.path)
        try:
            archive.addfile(info, hashed)
        except OSError as error:  # tarfile: the file has become shorter
            if error.errno is not None:
                raise
            raise changed(each.path) from error
        if source.read(1) or os.fstat(handle).st_mtime_ns != each.mtime_ns:
            raise changed(each.path)
    return FileEntry(
        path=each.path,
        type="file",
        mode=info.mode,
        size=each.size,
        sha256=hashed.hash.hexdigest(),
        target=None,
    )


class _Hashed(io.RawIOBase):
    """Reads from a file and hashes what was read."""

    def __init__(self, source: BinaryIO, path: str) -> None:
        self._source = source
        self._path = path
        self.hash = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        try:
            piece = self._source.read(count)
        except OSError as error:
            raise unreadable(error, self._path) from error
        self.hash.update(piece)
        return piece


class _Counted(io.RawIOBase):
    """Writes to a file and counts and hashes what was written."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._target.write(piece)
        self.hash.update(piece)
        self.size += len(piece)
        return len(piece)
