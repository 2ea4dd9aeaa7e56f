"""A file that a command writes: whole, or not at all."""

from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.releases.whole_file import WholeFile


def write_whole(path: Path, text: str, *, replaces: bool) -> None:
    """Write a file whole, or not at all.

    Raises:
        LiftlockError: `file-exists`, unless it may be replaced; `file-unwritable` (exit 2).
    """
    path = path.absolute()
    try:
        with WholeFile(path.parent) as file:
            file.stream.write(text.encode("utf-8"))
            if replaces:
                file.put(path)
            else:
                file.put_new(path)
    except FileExistsError as error:
        raise LiftlockError(
            Problem(
                "file-exists",
                f"{path} is there already; it was left as it is.",
                advice="Name another file, or say --yes to replace it.",
            ),
            Exit.USAGE,
        ) from error
    except OSError as error:
        raise LiftlockError(
            Problem(
                "file-unwritable",
                f"{path} could not be written; nothing of it is there.",
                error.strerror or str(error),
                "Name a file in a directory of yours that has room.",
            ),
            Exit.USAGE,
        ) from error
