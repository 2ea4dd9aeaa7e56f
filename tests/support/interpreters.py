"""The node Pythons: interpreters the updater is tried with, found and really executed.

Where they come from, first one of each minor version wins:

1. `LIFTLOCK_PYTHONS`: paths, separated like `PATH`; each is an interpreter or a folder with one
2. `python3` and `python3.6` ... `python3.13` in every folder of `PATH`, but this Python's own
3. every version under `PYENV_ROOT`, or `~/.pyenv` of the person who runs this

`LIFTLOCK_REQUIRE_PYTHONS="3.6 3.13"` names what must be there. As a program this prints what was
found, and fails when something required, or everything, is missing:

    python3 tests/support/interpreters.py
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

OLDEST = (3, 6)
NEWEST = (3, 13)
NAMES = ("python3", *(f"python3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)))
ASK = """
import os, sys
print("%d.%d.%d" % sys.version_info[:3])
print(os.path.realpath(sys.executable))
"""
PATIENCE_SECONDS = 30


class InterpreterError(Exception):
    """A named interpreter does not work, or a required one is missing."""


class Interpreter(NamedTuple):
    """One Python that can play the node's."""

    version: tuple[int, int, int]
    path: Path

    @property
    def minor(self) -> str:
        """As people say it: `3.6`."""
        return f"{self.version[0]}.{self.version[1]}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


@cache
def node_pythons() -> list[Interpreter]:
    """Every usable node Python, oldest first, one for each minor version.

    Raises:
        InterpreterError: One that `LIFTLOCK_PYTHONS` names is missing or cannot be run.
    """
    named = list(_named())
    answers = _ask([*named, *_on_path(), *_under_pyenv()])
    for candidate in named:
        if answers[candidate] is None:
            raise InterpreterError(f"LIFTLOCK_PYTHONS: {candidate} is not a Python that runs")
    found: dict[str, Interpreter] = {}
    for answer in answers.values():
        if answer is not None and OLDEST <= answer.version[:2] <= NEWEST:
            found.setdefault(answer.minor, answer)
    return sorted(found.values())


def missing_pythons() -> list[str]:
    """What `LIFTLOCK_REQUIRE_PYTHONS` names and `node_pythons` did not find."""
    required = os.environ.get("LIFTLOCK_REQUIRE_PYTHONS", "").replace(",", " ").split()
    return [minor for minor in required if minor not in {each.minor for each in node_pythons()}]


def summary() -> str:
    """One line for the head of a test run."""
    found = ", ".join(map(str, node_pythons())) or "NONE: the tests of the updater will fail"
    return f"node Pythons: {found}"


def put_this_python_first() -> None:
    """Let `python3` be the interpreter that runs the tests, where no other one is asked for.

    The first on PATH may be a script that looks for a Python (pyenv's shims): 0.2 s of CPU at
    every start of an updater.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _named() -> Iterator[Path]:
    for entry in filter(None, os.environ.get("LIFTLOCK_PYTHONS", "").split(os.pathsep)):
        path = Path(entry)
        if path.is_dir():
            path = next(
                (each for each in (path / "bin/python3", path / "python3") if each.exists()), path
            )
        yield path


def _on_path() -> Iterator[Path]:
    # Slow scripts that lead to what _under_pyenv finds by itself, and what the tests put first.
    others = (_pyenv_root() / "shims", Path(sys.executable).parent)
    for folder in filter(None, os.environ.get("PATH", "").split(os.pathsep)):
        if Path(folder) not in others:
            yield from (Path(folder) / name for name in NAMES)


def _under_pyenv() -> Iterator[Path]:
    yield from sorted((_pyenv_root() / "versions").glob("3.*/bin/python3"))


def _pyenv_root() -> Path:
    # Not Path.home(): the tests move HOME away.
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")


def _ask(candidates: list[Path]) -> dict[Path, Interpreter | None]:
    """What each candidate says about itself, all asked at the same time; None when it cannot."""
    running = {each: _start(each) for each in dict.fromkeys(candidates)}
    return {
        each: None if process is None else _answer(process) for each, process in running.items()
    }


def _start(candidate: Path) -> "subprocess.Popen[str] | None":
    if not os.access(candidate, os.X_OK) or candidate.is_dir():
        return None
    try:
        return subprocess.Popen(
            [str(candidate), "-I", "-S", "-B", "-c", ASK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return None


def _answer(process: "subprocess.Popen[str]") -> Interpreter | None:
    with process:
        try:
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
    lines = said.splitlines()
    if process.returncode != 0 or len(lines) != 2:
        return None
    major, minor, micro = map(int, lines[0].split("."))
    return Interpreter((major, minor, micro), Path(lines[1]))


def main() -> int:
    """Print what was found; 1 when something required, or everything, is missing."""
    try:
        found, missing = node_pythons(), missing_pythons()
    except InterpreterError as error:
        print(error, file=sys.stderr)
        return 1
    for each in found:
        print(f"{each!s:<8} {each.path}")
    if missing:
        print(f"missing: Python {', '.join(missing)}", file=sys.stderr)
    elif not found:
        print("no node Python found", file=sys.stderr)
    return 1 if missing or not found else 0


if __name__ == "__main__":
    sys.exit(main())
