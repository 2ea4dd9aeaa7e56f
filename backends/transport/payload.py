"""Packs `backends/node` into one file: the same source gives the same bytes.

So a node can be asked whether it has exactly this updater, a plan can name it by its SHA-256, and
what is tested here is what runs there.
"""

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib.resources import files

from backends.node import wire

_EPOCH = (1980, 1, 1, 0, 0, 0)

_MAIN = """\
import sys
from backends.node import main
with open(sys.argv[0], "rb") as stream:
    content = stream.read()
raise SystemExit(main.main(content, sys.argv[1:]))
"""

_FIND_PYTHON = (
    "for p in {candidates}; do "
    'if command -v "$p" >/dev/null 2>&1; then exec "$p" -I -S -B -c "$1"; fi; '
    "done; echo 'liftlock: no python3' >&2; exit 127"
)

CANDIDATES = (
    "python3",
    "/usr/libexec/platform-python",
    *(f"python3.{minor}" for minor in range(14, 5, -1)),
)
"""Where a Python is looked for on a node, in this order, after the profile's own."""

NO_PYTHON = 127
"""Exit code of the start command when the node has no Python 3."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The packed updater."""

    content: bytes
    sha256: str
    bootstrap: str
    """The program text that runs it from memory."""

    def start(self, python: str | None = None) -> list[str]:
        """The command that waits for the updater on standard input, for any POSIX node."""
        candidates = " ".join([_quoted(python)] if python else CANDIDATES)
        return ["sh", "-c", _FIND_PYTHON.format(candidates=candidates), "liftlock", self.bootstrap]

    def opening(self, request: dict[str, object]) -> bytes:
        """What standard input begins with: header, updater, request line."""
        header = f"LIFTLOCK {len(self.content)} {self.sha256}\n".encode()
        return header + self.content + wire.encode(request)


@functools.cache
def pack() -> Payload:
    """The updater of this version."""
    folder = files("backends.node")
    modules = {
        f"backends/node/{file.name}": file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(".py") and file.name != "bootstrap.py"
    }
    members = {"__main__.py": _MAIN.encode(), "backends/__init__.py": b"", **modules}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            bundle.writestr(info, members[name])
    content = archive.getvalue()
    bootstrap = (folder / "bootstrap.py").read_text(encoding="utf-8")
    return Payload(content, hashlib.sha256(content).hexdigest(), bootstrap)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
