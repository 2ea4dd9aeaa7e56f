"""Runs the updater from memory: nothing is written on a node that is only looked at.

The operator's side passes this file's text to `python3 -I -S -B -c`. Standard input begins with
`LIFTLOCK <bytes> <sha256>`, then the packed updater, then what `main` reads.
"""

import hashlib
import importlib.machinery
import io
import os
import sys
import types
import zipfile
from typing import Any, Dict, Optional, Sequence, cast

LIMIT = 16 << 20


class FromMemory:
    """Imports modules out of a packed updater that lies in memory: finder and loader in one.

    It is no subclass of those of `importlib.abc`: to import that takes longer than all of this.
    """

    def __init__(self, content: bytes) -> None:
        self._sources: Dict[str, bytes] = {}
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                self._sources[name] = packed.read(name)

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[types.ModuleType] = None,
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """The module's spec if the packed updater has it."""
        base = fullname.replace(".", "/")
        if base + "/__init__.py" in self._sources:
            return importlib.machinery.ModuleSpec(fullname, cast(Any, self), is_package=True)
        if base + ".py" in self._sources:
            return importlib.machinery.ModuleSpec(fullname, cast(Any, self))
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """The usual module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module's source."""
        base = module.__name__.replace(".", "/")
        name = base + ".py" if base + ".py" in self._sources else base + "/__init__.py"
        code = compile(self._sources[name], "updater/" + name, "exec")
        exec(code, module.__dict__)  # noqa: S102 - this is how an importer runs a module


def exactly(count: int) -> bytes:
    """The next bytes of standard input, and not one more: the rest is not ours."""
    content = b""
    while len(content) < count:
        piece = os.read(0, count - len(content))
        if not piece:
            raise SystemExit("liftlock: standard input ended after %d bytes" % len(content))
        content += piece
    return content


def header() -> bytes:
    """The first line of standard input."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 128:
        line += exactly(1)
    return line


def run() -> Any:
    """Receive the updater, refuse other bytes than announced, and run it."""
    words = header().decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != "LIFTLOCK" or not words[1].isdigit():
        raise SystemExit("liftlock: no updater on standard input")
    if int(words[1]) > LIMIT:
        raise SystemExit("liftlock: an updater of %s bytes" % words[1])
    content = exactly(int(words[1]))
    if hashlib.sha256(content).hexdigest() != words[2]:
        raise SystemExit("liftlock: the updater was changed on the way")
    sys.meta_path.insert(0, cast(Any, FromMemory(content)))
    from backends.node import main

    return main.main(content)


if __name__ == "__main__":
    raise SystemExit(run())
