"""Make a release of an archive that somebody else built. It stays marked as that."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.archive import ArchiveError, Member, read, shown
from backends.releases.build import Built, build
from backends.releases.manifest import Imported

_CHUNK = 1 << 20
_SIDES: tuple[tuple[Literal["sha256", "md5"], int], ...] = (("sha256", 64), ("md5", 32))
"""Checksum files that may lie beside the archive, best first, and their digits."""


def import_archive(
    archive: Path,
    name: str,
    version: str,
    out: Path,
    *,
    strip: int = 0,
    **about: Any,
) -> Built:
    """Unpack a `.tar.gz` with the strict reader and build a release of what is in it.

    `ARCHIVE.sha256` or `ARCHIVE.md5` beside it must fit, where one is there. `strip` leading
    directories of every name are dropped. `about` is what `build` takes besides.

    Raises LiftlockError: `import-missing`, `import-strip`, `import-unusable`, exit 2;
    `import-checksum`,
    `import-refused` (the strict reader's words), exit 4; what `build` raises.
    """
    if not archive.is_file():
        raise _usage("import-missing", f"There is no archive {archive}.", "")
    try:
        sha256, checksum = _summed(archive)
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(error) from error
    with tempfile.TemporaryDirectory(dir=out, prefix=".unpacked-") as folder:
        top = Path(folder, "tree")
        top.mkdir()
        _unpack(archive, top, strip, sha256)
        origin = Imported(file=shown(archive.name), sha256=sha256, checksum=checksum)
        return build(top, name, version, out, imported=origin, **about)


def _summed(archive: Path) -> tuple[str, Literal["sha256", "md5", "none"]]:
    """The archive's SHA-256, and which checksum beside it fitted."""
    sha256 = _digest(archive, "sha256")
    for kind, digits in _SIDES:
        side = archive.with_name(f"{archive.name}.{kind}")
        if not side.is_file():
            continue
        stated = _stated(side, archive.name, digits)
        found = sha256 if kind == "sha256" else _digest(archive, kind)
        if stated != found:
            raise _refused(
                "import-checksum",
                f"{archive.name} is not what {side.name} says.",
                f"{kind} {found}; stated {stated or 'nothing for this file'}",
            )
        return sha256, kind
    return sha256, "none"


def _stated(side: Path, name: str, digits: int) -> str:
    """The digest for this file: alone, or on a line with its name as sha256sum writes them."""
    text = side.read_bytes()[:_CHUNK].decode("utf-8", "replace")
    found = re.findall(rf"^\\?([0-9a-fA-F]{{{digits}}})(?:\s+\*?(\S.*?))?\s*$", text, re.MULTILINE)
    for digest, file in found:
        if file in ("", name, f"./{name}"):
            return str(digest).lower()
    return ""


def _digest(path: Path, kind: str) -> str:
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            found.update(piece)
    return found.hexdigest()


def _unpack(archive: Path, top: Path, strip: int, sha256: str) -> None:
    """Write the members below `top`, which is empty and ours; links last."""
    hashed = hashlib.sha256()
    links: list[tuple[Path, str, int]] = []
    try:
        with archive.open("rb") as stream:
            # All that `read` asks of a stream, which is less than `BinaryIO` has.
            for member in read(_Hashing(stream, hashed.update)):  # type: ignore[arg-type]
                inside = member.path.split("/")[strip:]
                if not inside:
                    _refuse_lost(member, strip)
                    continue
                path = top.joinpath(*inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                if member.type == "link":
                    links.append((path, member.target or "", member.mtime))
                elif member.type == "dir":
                    path.mkdir(exist_ok=True)
                else:
                    _write(member, path)
            for path, target, mtime in links:
                path.symlink_to(target)
                os.utime(path, (mtime, mtime), follow_symlinks=False)
    except ArchiveError as error:
        raise _refused("import-refused", f"{archive.name} is refused.", str(error)) from error
    except (FileExistsError, NotADirectoryError) as error:
        where = shown(os.path.relpath(str(error.filename), top))
        text = f"{where} is in it twice without its first {strip} names."
        raise _usage("import-strip", text, "Drop fewer: --strip N.") from error
    except OSError as error:
        raise _unusable(error) from error
    if hashed.hexdigest() != sha256:
        raise _refused("import-checksum", f"{archive.name} changed while it was read.", "")


def _unusable(error: OSError) -> LiftlockError:
    where = f" ({error.filename})" if error.filename else ""
    text = f"It cannot be unpacked: {error.strerror or error}{where}."
    return _usage("import-unusable", text, "See to what is named, then import it again.")


def _write(member: Member, path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    mode = 0o755 if member.mode & 0o111 else 0o644
    with open(os.open(path, flags, mode), "wb") as target:
        while piece := member.content.read(_CHUNK):
            target.write(piece)
    os.utime(path, (member.mtime, member.mtime))


def _refuse_lost(member: Member, strip: int) -> None:
    """Nothing but directories may vanish by dropping leading names."""
    if member.type != "dir":
        raise _usage(
            "import-strip",
            f"{shown(member.path)} has no more than {strip} names in its path.",
            "Drop fewer: --strip N.",
        )


class _Hashing:
    """Hands a stream's bytes on, and tells them to somebody else, too."""

    def __init__(self, source: BinaryIO, tell: Callable[[bytes], object]) -> None:
        self._source = source
        self._tell = tell

    def read(self, count: int) -> bytes:
        piece = self._source.read(count)
        self._tell(piece)
        return piece

    def seekable(self) -> bool:
        return False


def _refused(code: str, summary: str, evidence: str) -> LiftlockError:
    advice = "Get the archive again from its vendor."
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.REFUSED)


def _usage(code: str, summary: str, advice: str) -> LiftlockError:
    return LiftlockError(Problem(code, summary, "", advice), Exit.USAGE)
