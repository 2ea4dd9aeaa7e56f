"""What a tarball holds, as the file list of a manifest: modes made ours, directories named."""

import stat
from typing import BinaryIO

from backends.node.archive import DEFAULT_CAPS, Caps, Member, read
from backends.releases.manifest import FileEntry

DIRECTORY_MODE = 0o755
LINK_MODE = 0o777


def file_mode(mode: int) -> int:
    """The mode a node gets: 0755 for what somebody may execute, else 0644."""
    return 0o755 if mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH) else 0o644


def list_tarball(fileobj: BinaryIO, caps: Caps = DEFAULT_CAPS) -> tuple[FileEntry, ...]:
    """The entries of a whole `.tar.gz`, sorted, with directories that it only implies.

    Reads to the end. Raises ArchiveError.
    """
    entries: dict[str, FileEntry] = {}
    for member in read(fileobj, caps):
        entries[member.path] = entry_of(member)
    for path in list(entries):
        while (path := path.rpartition("/")[0]) and path not in entries:
            entries[path] = directory_entry(path)
    return tuple(entries[path] for path in sorted(entries))


def entry_of(member: Member) -> FileEntry:
    """The manifest's words for the current member; reads its content to the end."""
    if member.type == "dir":
        return directory_entry(member.path)
    if member.type == "link":
        return link_entry(member.path, member.target or "")
    sha256 = member.content.sha256()
    return FileEntry(
        path=member.path,
        type="file",
        mode=file_mode(member.mode),
        size=member.size,
        sha256=sha256,
        target=None,
    )


def directory_entry(path: str) -> FileEntry:
    """A directory."""
    return FileEntry(path=path, type="dir", mode=DIRECTORY_MODE, size=0, sha256=None, target=None)


def link_entry(path: str, target: str) -> FileEntry:
    """A symbolic link."""
    return FileEntry(path=path, type="link", mode=LINK_MODE, size=0, sha256=None, target=target)
