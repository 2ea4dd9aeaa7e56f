"""All of the program by a script that uses only `--json` and exit codes, on the demo's cluster."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import cli
from backends.domain.problem import Exit
from tests.drills.headless import Script, operate
from tests.support.served import no_demo_left

pytestmark = pytest.mark.drill

ELSEWHERE = {Exit.ERROR, Exit.CONTACT_LOST}
"""Exit codes that the story does not come to: a defect, and a link that is cut in the middle,
which tests/machines and tests/demo do."""


@pytest.mark.timeout(1800)
def test_a_script_does_everything_with_json_and_exit_codes_alone(tmp_path: Path) -> None:
    script = Script(tmp_path, os.environ)
    with no_demo_left(tmp_path / "demo"):
        operate(script, tmp_path)
    used = {command_of(words) for words in script.exits}
    assert used == set(every_command(cli)), "a command that the script does not use"
    codes = {code for found in script.exits.values() for code in found}
    assert codes == {*Exit} - ELSEWHERE


def every_command(group: click.Group) -> Iterator[str]:
    """The command tree, leaf by leaf."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from (f"{name} {inner}" for inner in every_command(command))
        else:
            yield name


def command_of(words: tuple[str, ...]) -> str:
    """The command that a command line means: a cluster in place of one is its screen."""
    name = words[0]
    if name not in cli.commands:
        return "screen"
    return f"{name} {words[1]}" if isinstance(cli.commands[name], click.Group) else name
