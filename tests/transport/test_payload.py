"""The packed updater: the same source gives the same bytes, and what is packed is what runs."""

import hashlib
import io
import os
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from backends.node import wire
from backends.transport import payload
from tests.support import beacon
from tests.support.interpreters import Interpreter

NODE = Path(payload.__file__).parents[1] / "node"


def test_the_same_source_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = payload.pack()
    payload.pack.cache_clear()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    os.umask(0o077)
    second = payload.pack()
    os.umask(0o022)
    assert second.content == first.content
    assert second.sha256 == hashlib.sha256(first.content).hexdigest()


def test_it_holds_every_module_of_the_updater_and_nothing_else() -> None:
    names = set(zipfile.ZipFile(io.BytesIO(payload.pack().content)).namelist())
    modules = {f"backends/node/{path.name}" for path in NODE.glob("*.py")}
    modules.discard("backends/node/bootstrap.py")
    assert names == modules | {"__main__.py", "backends/__init__.py"}


def test_it_ships_no_fault_code() -> None:
    """Faults are injected from outside; the shipped file knows no hook."""
    content = payload.pack().content
    packed = zipfile.ZipFile(io.BytesIO(content))
    text = b"".join(packed.read(name) for name in packed.namelist())
    for word in (b"inject", b"LIFTLOCK_TEST", b"LIFTLOCK_FAULT", b"pytest", b"monkeypatch"):
        assert word not in text


def test_it_runs_from_memory_and_from_its_file_on_each_node_python(
    node_python: Interpreter, tmp_path: Path
) -> None:
    packed = payload.pack()
    request = {
        "protocol": wire.PROTOCOL,
        "command": "status",
        "product": beacon.document(str(tmp_path / "opt"), 1, str(tmp_path / "lease")),
        "state_dir": str(tmp_path / "state"),
        "args": {"operator": "ann@jump"},
    }
    stored = tmp_path / f"{packed.sha256}.pyz"
    stored.write_bytes(packed.content)
    runs = (
        (packed.start(str(node_python.path)), packed.opening(request)),
        ([str(node_python.path), "-I", "-S", "-B", str(stored)], wire.encode(request)),
    )
    for argv, said in runs:
        ran = subprocess.run(argv, input=said, capture_output=True, check=False, timeout=30)
        lines = [wire.decode(line) for line in ran.stdout.splitlines()]
        assert [line["t"] for line in lines] == ["hello", "facts", "end"], ran.stderr
        assert lines[0]["updater"] == packed.sha256
        assert lines[0]["python"].startswith(node_python.minor)
        assert lines[-1]["outcome"] == "ok"
    assert sorted(path.name for path in tmp_path.iterdir()) == [stored.name]


def test_a_byte_changed_on_the_way_is_noticed_before_anything_runs(tmp_path: Path) -> None:
    packed = payload.pack()
    said = bytearray(packed.opening({"protocol": 1, "command": "status"}))
    said[len(said) // 2] ^= 1
    ran = subprocess.run(
        packed.start(), input=bytes(said), capture_output=True, check=False, timeout=30
    )
    assert ran.stdout == b""
    assert b"changed on the way" in ran.stderr


def test_a_node_without_python_says_so_with_its_own_exit_code() -> None:
    packed = payload.pack()
    ran = subprocess.run(
        packed.start("/no/such/python3"), input=b"", capture_output=True, check=False, timeout=30
    )
    assert ran.returncode == payload.NO_PYTHON
    assert b"no python3" in ran.stderr
