"""A file that appears under its name whole and durable, or not at all."""

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
        self.stream.flush()
        os.fchmod(self.stream.fileno(), 0o644)
        os.fsync(self.stream.fileno())
        self._path.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stream.close()
        self._path.unlink(missing_ok=True)
