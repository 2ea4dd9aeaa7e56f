"""All that can be seen of a directory, to be compared byte for byte."""

import os
import stat
from pathlib import Path

Picture = dict[str, tuple[object, ...]]


def picture(top: Path, folder_times: bool = True) -> Picture:
    """Kind, mode, owner, time, attributes, names, content of a directory and all below it."""
    found: Picture = {}
    names: dict[int, str] = {}

    def look(path: str, name: str) -> None:
        about = os.lstat(path)
        is_dir = stat.S_ISDIR(about.st_mode)
        is_link = stat.S_ISLNK(about.st_mode)
        # The first name of a file stands for all of them; backups of ours are no names.
        first = names.setdefault(about.st_ino, name) if "/.liftlock/" not in f"/{name}/" else name
        found[name] = (
            about.st_mode,
            about.st_uid,
            about.st_gid,
            about.st_mtime_ns if folder_times or not is_dir else 0,
            os.readlink(path) if is_link else None if is_dir else _content(path),
            {each: os.getxattr(path, each) for each in os.listxattr(path)} if not is_link else {},
            first,
        )
        for each in sorted(os.listdir(path)) if is_dir else ():
            look(f"{path}/{each}", each if name == "." else f"{name}/{each}")

    look(str(top), ".")
    return found


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as stream:
        return stream.read()
