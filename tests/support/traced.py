"""For `make coverage`: the updater as always, but from its files here, and seen by coverage.

A pytest plugin (`-p tests.support.traced`), and the command line (`-m tests.support.traced`).
What is packed differs from the real updater in its first lines only: they start the measurement
and take the modules from their files, all of them, whatever a command needs. Other Pythons than
this one, for which there is no coverage here, get the real one.
"""

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import coverage

coverage.process_startup()  # before anything that is to be seen is imported

from backends.transport import payload

ROOT = Path(__file__).resolve().parents[2]

_FIRST = """\
import os, sys
if sys.version_info[:2] == {version!r}:
    sys.path[:0] = {paths!r}
    os.environ["COVERAGE_PROCESS_START"] = {settings!r}
    os.environ["COVERAGE_FILE"] = {data!r}
    import coverage
    coverage.process_startup()
    from backends.node import commands, drivers, main, tick
    for each in commands.FOUND_IN:
        commands.load(each)
    del sys.path[:{count}]
"""


def _traced() -> payload.Payload:
    real, first = payload.pack(), _first_lines()
    content = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(real.content)) as there,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in there.namelist():
            text = there.read(name)
            packed.writestr(name, first.encode() + text if name == "__main__.py" else text)
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    return payload.Payload(content.getvalue(), sha256, first + real.bootstrap)


def _first_lines() -> str:
    paths = [str(ROOT), str(Path(coverage.__file__).parents[1])]
    return _FIRST.format(
        version=sys.version_info[:2],
        paths=paths,
        count=len(paths),
        settings=os.environ["COVERAGE_PROCESS_START"],
        data=os.environ["COVERAGE_FILE"],
    )


# Now, before any test takes the real one by its name.
_updater = _traced()
payload.pack = lambda: _updater  # type: ignore[assignment]

if __name__ == "__main__":
    from app.cli import main

    raise SystemExit(main())
