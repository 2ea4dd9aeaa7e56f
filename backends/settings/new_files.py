"""New files, put in place as a whole, all or none, and never over another one."""

import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem


def write_new(texts: Mapping[Path, str]) -> None:
    """Create the files in their order; returns when they are on the disk.

    Who dies in between leaves whole files: the first ones of them.

    Raises:
        LiftlockError: exit 2: `file-exists`, `file-unwritable`. None of them was left.
    """
    parts: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for path, text in texts.items():
            parts[path] = part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            _write(part, text.encode("utf-8"))
        for path, part in parts.items():
            os.link(part, path)  # other than a rename it never replaces
            placed.append(path)
        for folder in {path.parent for path in texts}:
            _sync(folder)
    except FileExistsError as error:
        _remove(placed)
        raise exists(Path(str(error.filename2 or error.filename))) from error
    except OSError as error:
        _remove(placed)
        name = Path(str(error.filename2 or error.filename or "")).name
        raise LiftlockError(
            Problem(
                "file-unwritable",
                "Nothing was written: this directory cannot take new files.",
                f"{name}: {error.strerror or error}".removeprefix(": "),
                "Make room or give yourself the right to write here, or go elsewhere.",
            ),
            Exit.USAGE,
        ) from error
    except BaseException:
        _remove(placed)
        raise
    finally:
        _remove(parts.values())


def exists(path: Path) -> LiftlockError:
    """What to raise for a file that is there already."""
    return LiftlockError(
        Problem(
            "file-exists",
            f"There is a file {path.name} already, and it stays as it is.",
            f"{path.absolute()}",
            "Move it away, or choose another name.",
        ),
        Exit.USAGE,
    )


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)
