"""The updater runs on Python 3.6 with nothing but the standard library."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, Module, imports, modules, names, under
from tests.support.interpreters import Interpreter, node_pythons

FLOOR = "3.6"

# Gone from a newer node Python, so never to be used, although 3.6 has them.
GONE = {"asynchat", "asyncore", "cgi", "cgitb", "crypt", "distutils", "imp", "nntplib", "pipes"}
GONE |= {"smtpd", "spwd", "telnetlib", "xdrlib"}

COMPILE = """
import sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec", dont_inherit=True)
"""

IMPORT = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def updater() -> list[Module]:
    found = [each for each in modules() if under(each.name, "backends.node")]
    assert found, "backends/node holds no module"
    return found


def run(python: Path | str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-I", "-S", "-B", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def vermin(*paths: str) -> subprocess.CompletedProcess[str]:
    """The minimum version that syntax and library calls need. A justified line says `# novm`."""
    start = "from vermin import main; main()"
    command = [sys.executable, "-c", start, f"-t={FLOOR}-", "--violations", "--no-tips"]
    return subprocess.run(
        [*command, "--eval-annotations", "--processes=1", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def strangers(module: Module, known: frozenset[str]) -> list[str]:
    """Imports that a bare 3.6 to 3.13 cannot satisfy, or that are not ours to send."""
    return [
        f"{module.path}:{each.line} imports {each.target}"
        for each in imports(module, known)
        if not under(each.target, "backends.node")
        and ((top := each.target.partition(".")[0]) not in sys.stdlib_module_names or top in GONE)
    ]


def test_it_compiles_on_every_node_python(node_python: Interpreter) -> None:
    done = run(node_python.path, COMPILE, *(str(ROOT / each.path) for each in updater()))
    assert done.returncode == 0, done.stderr


def test_every_module_can_be_imported_on_every_node_python(node_python: Interpreter) -> None:
    ours = [each.name for each in updater() if not each.name.endswith("__main__")]
    done = run(node_python.path, IMPORT, str(ROOT), *ours)
    assert done.returncode == 0, done.stderr


def test_the_checker_of_versions_agrees() -> None:
    done = vermin(*(each.path for each in updater()))
    assert done.returncode == 0, done.stdout


def test_it_imports_nothing_but_itself_and_the_standard_library() -> None:
    known = names()
    found = [each for module in updater() for each in strangers(module, known)]
    assert not found, "\n".join(found)


# --- the checkers themselves --------------------------------------------------------------------

NEWER = {
    "walrus": "if (n := 1):\n    pass\n",
    "library": "import shutil\nshutil.copytree('a', 'b', dirs_exist_ok=True)\n",
    "future": "from __future__ import annotations\n",
    "posix": "def f(a, /):\n    return a\n",
}


@pytest.mark.parametrize("kind", NEWER)
def test_newer_python_is_found(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "newer.py"
    path.write_text(NEWER[kind])
    done = vermin(str(path))
    assert done.returncode != 0
    assert "Target versions not met" in done.stdout, done.stderr


def test_the_floor_itself_refuses_newer_syntax(tmp_path: Path) -> None:
    floor = [each for each in node_pythons() if each.minor == FLOOR]
    if not floor:
        pytest.skip(f"no Python {FLOOR} here; CI requires it")
    path = tmp_path / "newer.py"
    path.write_text(NEWER["walrus"])
    assert run(floor[0].path, COMPILE, str(path)).returncode != 0


@pytest.mark.parametrize(
    "text", ["import pydantic", "from backends.domain import plan", "import telnetlib"]
)
def test_a_stranger_is_found(text: str) -> None:
    assert strangers(Module("backends/node/odd.py", text), frozenset({"backends.domain.plan"}))
