"""Disks that are full."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(top: Path, size: str) -> Iterator[Path]:
    """A disk of its own at `top`, of a size such as "6m". Only root can mount one."""
    top.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(top)],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if mounted.returncode != 0 and os.geteuid() == 0:
        pytest.fail("root cannot mount a tmpfs here: a full disk was not tried")
    if mounted.returncode != 0:
        pytest.skip("only root can mount a disk that is full")
    try:
        yield top
    finally:
        libc = ctypes.CDLL(None)
        assert libc.umount2(os.fsencode(top), 2) == 0
        top.rmdir()


def fill(path: Path) -> None:
    """Leave no byte."""
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"x" * 4096)
