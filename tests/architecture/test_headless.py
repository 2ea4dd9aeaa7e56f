"""What gets loaded: help is instant, and nothing in backends draws. Asked in fresh processes."""

import json
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, modules, under

HEAVY = ("textual", "asyncssh", "pydantic")

HELP = """
import sys
sys.argv = ["liftlock", "--help"]
import app.cli
try:
    app.cli.main()
except SystemExit as leaving:
    if leaving.code:
        raise
"""

# These speak SSH; everything else in backends must be usable without.
SPEAKS_SSH = ("backends.transport.ssh", "backends.demo")


def loaded_by(code: str, *heavy: str) -> list[str]:
    """Which of `heavy` are in memory after `code` ran in a process of its own."""
    ask = f"\nimport json, sys\nprint(json.dumps(sorted(set({heavy!r}) & set(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code + ask],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import app.cli", *HEAVY) == []


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by(HELP, *HEAVY) == []


def test_nothing_in_backends_loads_the_screen_or_ssh() -> None:
    headless = [
        each.name
        for each in modules()
        if under(each.name, "backends")
        and not under(each.name, *SPEAKS_SSH)
        and not each.name.startswith("backends.transport.ssh_")
        and not each.name.endswith(".__main__")
    ]
    assert headless
    imports = "\n".join(f"import {each}" for each in headless)
    assert loaded_by(imports, "textual", "rich", "asyncssh") == []


@pytest.mark.parametrize("name", HEAVY)
def test_something_heavy_would_be_seen(name: str) -> None:
    assert loaded_by(f"import {name}", *HEAVY).count(name) == 1
