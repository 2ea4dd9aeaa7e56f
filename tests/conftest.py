"""Determinism: the same environment everywhere, no network but loopback, nothing left behind.

Everything is set before the first test module is imported, because Textual and others read the
environment at import.
"""

import ipaddress
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.interpreters import (
    Interpreter,
    InterpreterError,
    missing_pythons,
    node_pythons,
    put_this_python_first,
    summary,
)

ROOT = Path(__file__).resolve().parent.parent

KEPT = {"LIFTLOCK_PYTHONS", "LIFTLOCK_REQUIRE_PYTHONS"}
REMOVED = {
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "LINES",
}
REMOVED |= {
    "PYTHONDONTWRITEBYTECODE",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "SOURCE_DATE_EPOCH",
    "LANGUAGE",
}
REMOVED_PREFIXES = ("LIFTLOCK_", "TEXTUAL_", "XDG_", "LC_")
SETTLED = {
    "TEXTUAL_ANIMATIONS": "none",
    "TERM": "xterm-256color",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}

_home_folder = Path(tempfile.gettempdir())
_homes = count(1)


# --- before anything is imported ----------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Settle the environment, guard the network, insist on the required node Pythons."""
    _settle_environment()
    _guard_network()
    if not hasattr(config, "workerinput"):  # once, not again in each xdist worker
        _insist_on_pythons()
        config.stash[_before] = _files()


def pytest_unconfigure() -> None:
    """Give the network back and remove the homes."""
    _give_network_back()
    if _home_folder.name.startswith("liftlock-homes-"):
        shutil.rmtree(_home_folder, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden pictures are taken anew only when that is asked for."""
    parser.addoption(
        "--update-screenshots",
        action="store_true",
        help="take the pictures in screenshots/ anew instead of comparing them; then look at them",
    )


@pytest.fixture
def update_screenshots(request: pytest.FixtureRequest) -> bool:
    """Whether golden pictures are to be taken anew."""
    return bool(request.config.getoption("--update-screenshots"))


def pytest_report_header() -> str:
    """Say which node Pythons there are."""
    return summary()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say it at the end of a quiet run, which has no header; name what was left in the tree."""
    if config.get_verbosity() < 0:
        terminalreporter.write_line(summary())
    for path in config.stash.get(_left, []):
        terminalreporter.write_line(f"new in the tree since the tests began: {path}", yellow=True)


def _settle_environment() -> None:
    global _home_folder
    for name in list(os.environ):
        if name not in KEPT and (name in REMOVED or name.startswith(REMOVED_PREFIXES)):
            del os.environ[name]
    os.environ.update(SETTLED)
    put_this_python_first()
    time.tzset()
    os.umask(0o022)
    _home_folder = Path(tempfile.mkdtemp(prefix="liftlock-homes-"))
    os.environ["HOME"] = str(_home_folder)


def _insist_on_pythons() -> None:
    try:
        missing = missing_pythons()
    except InterpreterError as error:
        pytest.exit(str(error), returncode=1)
    if missing:
        wanted = os.environ["LIFTLOCK_REQUIRE_PYTHONS"]
        pytest.exit(
            f"LIFTLOCK_REQUIRE_PYTHONS={wanted!r}, but Python {', '.join(missing)} was not found. "
            "Install it, or name it in LIFTLOCK_PYTHONS.",
            returncode=1,
        )


# --- a home for each test -----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def home(nothing_left_behind: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, new for each test.

    The order matters: `monkeypatch.chdir` is undone before `nothing_left_behind` looks.
    """
    folder = _home_folder / str(next(_homes))
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


# --- the node Pythons ---------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `node_python` runs once for each of them, and fails when there is none."""
    if "node_python" in metafunc.fixturenames:
        found: list[Interpreter | None] = [*node_pythons()] or [None]
        ids = [each.minor if each else "none" for each in found]
        metafunc.parametrize("node_python", found, ids=ids, indirect=True)


@pytest.fixture
def node_python(request: pytest.FixtureRequest) -> Interpreter:
    """One interpreter that plays the node's."""
    if request.param is None:
        pytest.fail("no node Python was found: see tests/support/interpreters.py")
    interpreter: Interpreter = request.param
    return interpreter


# --- no network but loopback --------------------------------------------------------------------


class NetworkReachedError(RuntimeError):
    """A test tried to leave this machine. Not an OSError: nobody may take it for bad weather."""


_attempts: list[str] = []
_real_getaddrinfo = socket.getaddrinfo


def _may_reach(family: int, address: Any) -> bool:
    if family == socket.AF_UNIX:
        return True
    if family not in (socket.AF_INET, socket.AF_INET6):
        return False
    name = str(address[0])
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(what: str) -> NetworkReachedError:
    _attempts.append(what)
    return NetworkReachedError(f"tests reach loopback only, not {what}")


def _guarded(name: str) -> Any:
    real = getattr(socket.socket, name)

    def guard(self: socket.socket, *arguments: Any) -> Any:
        # sendto(data, address) and sendto(data, flags, address): the address is last in each.
        if not _may_reach(self.family, arguments[-1]):
            raise _refuse(repr(arguments[-1]))
        return real(self, *arguments)

    return guard


def _guarded_getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(name, str) and name not in ("", "localhost"):
        if name.endswith(".invalid"):  # the same answer everywhere, also without a resolver
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            raise _refuse(f"the name {name!r}") from None
    return _real_getaddrinfo(host, *arguments, **options)


GUARDED = ("connect", "connect_ex", "sendto")


def _guard_network() -> None:
    for name in GUARDED:
        setattr(socket.socket, name, _guarded(name))
    socket.getaddrinfo = _guarded_getaddrinfo


def _give_network_back() -> None:
    for name in GUARDED:
        if name in vars(socket.socket):
            delattr(socket.socket, name)  # the C method it hides is inherited
    socket.getaddrinfo = _real_getaddrinfo


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[list[str]]:
    """Fail the test that tried to leave this machine, also when its code swallowed the error.

    A test of the guard itself clears the list.
    """
    _attempts.clear()
    yield _attempts
    assert not _attempts, f"the test tried to reach {', '.join(_attempts)}"


# --- nothing left behind ------------------------------------------------------------------------

IGNORED = {".git", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
IGNORED |= {".hypothesis", "htmlcov", "build", "dist", "liftlock.egg-info"}

_before: pytest.StashKey[set[str]] = pytest.StashKey()
_left: pytest.StashKey[list[str]] = pytest.StashKey()


def _files() -> set[str]:
    found = set()
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [each for each in folders if each not in IGNORED]
        found |= {
            os.path.relpath(os.path.join(folder, name), ROOT)
            for name in names
            if not name.startswith(".coverage") and not name.endswith((".swp", "~"))
        }
    return found


def _top() -> set[str]:
    return {each for each in os.listdir(ROOT) if each not in IGNORED and each[:9] != ".coverage"}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """The working directory stays, and no test writes beside the README."""
    folder, top = os.getcwd(), _top()
    yield
    stayed = os.getcwd() == folder
    os.chdir(folder)
    assert stayed, "the test changed the working directory: use monkeypatch.chdir"
    assert not (new := sorted(_top() - top)), f"left in the repository: {', '.join(new)}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The whole tree: a new file fails the run in CI, elsewhere (an editor's?) it is named."""
    before = session.config.stash.get(_before, None)
    if before is None:
        return
    session.config.stash[_left] = left = sorted(_files() - before)
    if left and os.environ.get("LIFTLOCK_REQUIRE_PYTHONS"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
