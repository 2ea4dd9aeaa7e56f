"""A file that appears under its name whole and durable, or not at all."""

import errno
import os
import tempfile
from pathlib import Path
from types import TracebackType


class WholeFile:
    """Written without a name in its directory; `put` gives it one, leaving removes it else."""

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".unfinished-")
        self._path = Path(name)
        self.stream = open(handle, "w+b")  # noqa: SIM115 - closed on leaving

    def __enter__(self) -> "WholeFile":
        return self

    def put(self, path: Path) -> None:
        """Make the bytes durable, then replace `path`, which lies in the same directory.

        Raises OSError.
        """
        self._make_durable()
        self._path.rename(path)
        _sync_folder(path.parent)

    def put_new(self, path: Path) -> None:
        """As `put`, for a name that nobody has: whoever comes second does not replace it.

        Raises FileExistsError, OSError.
        """
        self._make_durable()
        try:
            os.link(self._path, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            self._path.rename(path)
        _sync_folder(path.parent)

    def _make_durable(self) -> None:
        self.stream.flush()
        os.fchmod(self.stream.fileno(), 0o644)
        os.fsync(self.stream.fileno())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stream.close()
        self._path.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
