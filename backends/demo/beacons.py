"""Beacon on the demo's nodes, and the releases that it can be upgraded to."""

import asyncio
import os
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import IO

from backends.demo.files import PRODUCT
from backends.demo.places import Places, write_private
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.releases.build import build

FIRST = "4.11.0"
"""What every node runs before the first upgrade."""

RELEASES = {"4.12.0": False, "4.13.0": True}
"""Version -> whether it is sick: it starts, and never becomes healthy."""

_MADE = 1_700_000_000
"""Seconds since 1970; the time of every file, so that each demo has the same releases."""

_START_SECONDS = 10.0
_LOOK_SECONDS = 0.01
_POINTER = ".version"


def tarball(places: Places, version: str) -> Path:
    """Where a release lies; its manifest lies beside it."""
    return places.releases / f"{PRODUCT}-{version}.tar.gz"


def build_releases(places: Places) -> None:
    """Build the releases that are not there yet.

    Raises:
        LiftlockError: exit 2: as `backends.releases.build.build`.
    """
    for version, is_sick in RELEASES.items():
        manifest = places.releases / f"{PRODUCT}-{version}.release.json"
        if manifest.exists() and tarball(places, version).exists():
            continue
        with tempfile.TemporaryDirectory(prefix=".source-", dir=places.top) as folder:
            source = Path(folder) / version
            _write_tree(source, version, is_sick=is_sick)
            build(source, PRODUCT, version, places.releases)


def lay_down(places: Places, node: str) -> bool:
    """Put the first version on a node that has none; whether there was none.

    Raises:
        OSError: The files cannot be written.
    """
    product = places.product(node)
    pointer = product / _POINTER
    versions = {path.name for path in product.iterdir() if not path.name.startswith(".")}
    if pointer.exists() or versions - {FIRST}:
        return False
    if not versions:  # else a start was interrupted here
        with tempfile.TemporaryDirectory(prefix=".new-", dir=product) as folder:
            tree = Path(folder) / FIRST
            _write_tree(tree, FIRST, is_sick=False)
            tree.rename(product / FIRST)
    write_private(pointer, f"{FIRST}\n".encode())
    os.utime(pointer, (_MADE, _MADE))
    return True


def selected(places: Places, node: str) -> str | None:
    """The version that a node's next start runs; None when there is none to start."""
    product = places.product(node)
    try:
        version = (product / _POINTER).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    inside = product / version
    is_there = inside.parent == product and (inside / "control").is_file()
    return version if is_there else None


async def start(places: Places, node: str, version: str, port: int) -> None:
    """Start a node's beacon; returns when it listens.

    None may be running. Whoever is cancelled meanwhile may leave one behind, with the demo's mark.

    Raises:
        LiftlockError: `demo-beacon`, exit 1: it did not start.
    """
    tree = places.product(node) / version
    # Of an earlier demo: the pid in it may be anybody's by now, and pass for a running beacon.
    (tree / "beacon.pid").unlink(missing_ok=True)
    with tempfile.TemporaryFile() as said:
        process = _control(places, node, tree, port, said)
        try:
            for _ in range(int(_START_SECONDS / _LOOK_SECONDS)):
                if process.poll() is not None:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            said.seek(0)
            raise _did_not_start(node, version, port, said.read(4096), tree / "beacon.log")


def _control(
    places: Places, node: str, tree: Path, port: int, said: IO[bytes]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [tree / "control", "start"],
        cwd=places.home(node),
        env={
            **places.environment(node),
            "BEACON_PORT": str(port),
            "BEACON_LEASE": str(places.lease),
            "BEACON_PYTHON": str(places.python),
        },
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
        umask=0o022,
    )


def _did_not_start(node: str, version: str, port: int, said: bytes, log: Path) -> LiftlockError:
    lines = said.decode("utf-8", "backslashreplace").strip()
    if log.exists():
        lines += "\n" + log.read_text("utf-8", "backslashreplace")[-2000:].strip()
    return LiftlockError(
        Problem(
            "demo-beacon",
            f"{node}: beacon {version} did not start on port {port}.",
            lines.strip(),
            f"Look at {log}, then start the demo again.",
        ),
        Exit.ERROR,
    )


def _write_tree(tree: Path, version: str, *, is_sick: bool) -> None:
    product = files("backends.demo") / "product"
    tree.mkdir()
    shown = {name: (product / name).read_bytes() for name in ("beacon.py", "control")}
    shown["VERSION"] = f"{version}\n".encode()
    if is_sick:
        shown["sick"] = b"yes\n"
    for name, content in shown.items():
        path = tree / name
        path.write_bytes(content)
        path.chmod(0o755 if name == "control" else 0o644)
        os.utime(path, (_MADE, _MADE))
    tree.chmod(0o755)
