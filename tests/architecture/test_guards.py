"""The guards of tests/conftest.py, tried: they must be able to fail."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.conftest import NetworkReachedError
from tests.support.interpreters import node_pythons

AWAY = ("192.0.2.1", 9)  # reserved for documentation: answers nowhere


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_connecting_away_is_an_error(method: str, loopback_only: list[str]) -> None:
    with socket.socket() as sock, pytest.raises(NetworkReachedError):
        getattr(sock, method)(AWAY)
    assert loopback_only
    loopback_only.clear()


def test_a_datagram_away_is_an_error(loopback_only: list[str]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(NetworkReachedError):
        sock.sendto(b"x", AWAY)
    loopback_only.clear()


def test_asking_for_a_name_is_an_error(loopback_only: list[str]) -> None:
    with pytest.raises(NetworkReachedError):
        socket.create_connection(("example.org", 80))
    loopback_only.clear()


def test_a_name_that_cannot_exist_does_not_exist() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("n1.invalid", 22)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_loopback_is_open(family: int, address: str) -> None:
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError:
        assert family == socket.AF_INET6, "there is no IPv4 loopback"
        return
    with listener, socket.create_connection(listener.getsockname()[:2]) as near:
        assert near.getpeername()[0] == address


def test_a_unix_socket_is_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as near:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        near.connect(str(tmp_path / "s"))


def test_the_environment_is_settled(home: Path) -> None:
    assert os.environ["TEXTUAL_ANIMATIONS"] == "none"
    assert not {"NO_COLOR", "COLORTERM", "XDG_STATE_HOME", "SSH_AUTH_SOCK"} & set(os.environ)
    assert Path.home() == home
    assert not any(home.iterdir())
    assert time.tzname[0] == "UTC"
    mask = os.umask(0o022)
    assert mask == 0o022


# --- a suite of its own, with the same conftest -------------------------------------------------

LITTER = "def test_it(): open('litter', 'w').close()"
AWAY_SWALLOWED = """
import socket
def test_it():
    try:
        socket.create_connection(("192.0.2.1", 9))
    except Exception:
        pass
"""
DEEP_LITTER = "def test_it(): open('tests/support/litter', 'w').close()"
MOVED = "import os\ndef test_it(tmp_path): os.chdir(tmp_path)"
MOVED_POLITELY = "def test_it(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)"
NEEDS_PYTHON = "def test_it(node_python): assert node_python"


def suite(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file in a repository that holds nothing but it and our conftest."""
    (folder / "tests/support").mkdir(parents=True)
    for name in ("__init__.py", "conftest.py", "support/__init__.py", "support/interpreters.py"):
        (folder / "tests" / name).write_text((ROOT / "tests" / name).read_text())
    (folder / "tests/test_it.py").write_text(text)
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LITTER, "left in the repository: litter"),
        (AWAY_SWALLOWED, "the test tried to reach ('192.0.2.1', 9)"),
        (MOVED, "the test changed the working directory"),
    ],
)
def test_a_bad_test_fails(tmp_path: Path, text: str, said: str) -> None:
    done = suite(tmp_path, text)
    assert done.returncode == 1
    assert said in done.stdout


def test_a_file_left_deep_in_the_tree_is_named_and_fails_the_run_in_ci(tmp_path: Path) -> None:
    here, ci = tmp_path / "here", tmp_path / "ci"
    named = suite(here, DEEP_LITTER, LIFTLOCK_REQUIRE_PYTHONS="")
    failed = suite(ci, DEEP_LITTER, LIFTLOCK_REQUIRE_PYTHONS=node_pythons()[0].minor)
    assert (named.returncode, failed.returncode) == (0, 1)
    for each in (named, failed):
        assert "new in the tree since the tests began: tests/support/litter" in each.stdout


def test_a_polite_test_passes(tmp_path: Path) -> None:
    done = suite(tmp_path, MOVED_POLITELY)
    assert done.returncode == 0, done.stdout


def test_without_a_node_python_the_tests_that_need_one_fail(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path), "LIFTLOCK_PYTHONS": ""}
    done = suite(tmp_path, NEEDS_PYTHON, **nowhere, LIFTLOCK_REQUIRE_PYTHONS="")
    assert done.returncode == 1
    assert "no node Python was found" in done.stdout


def test_a_required_python_that_is_missing_ends_the_run(tmp_path: Path) -> None:
    done = suite(tmp_path, MOVED_POLITELY, LIFTLOCK_REQUIRE_PYTHONS="3.5")
    assert done.returncode == 1
    assert "Python 3.5 was not found" in done.stdout + done.stderr


def test_a_named_python_that_does_not_run_ends_the_run(tmp_path: Path) -> None:
    done = suite(tmp_path, MOVED_POLITELY, LIFTLOCK_PYTHONS="/nowhere/python3")
    assert done.returncode == 1
    assert "/nowhere/python3 is not a Python" in done.stdout + done.stderr


def test_each_node_python_is_one_minor_version() -> None:
    found = node_pythons()
    assert len({each.minor for each in found}) == len(found)
    assert all((3, 6) <= each.version[:2] <= (3, 13) for each in found)
