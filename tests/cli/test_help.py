"""What the program tells people to type exists."""

import re
from pathlib import Path

import click
from click.testing import CliRunner

from app.cli import EXIT_CODES, cli
from backends.domain.problem import Exit

ROOT = Path(__file__).parents[2]


def test_every_command_that_the_program_advises_exists() -> None:
    known = set(cli.commands)
    found: dict[str, str] = {}
    for folder in ("app", "backends"):
        for path in (ROOT / folder).rglob("*.py"):
            for word in re.findall(r"\bliftlock ([a-z]+)\b", path.read_text()):
                found.setdefault(word, path.name)
    advised = {word: where for word, where in found.items() if word not in known}
    prose = {"harbor"}
    assert {w: p for w, p in advised.items() if w not in prose} == {}
    assert {"status", "upgrade", "finalize", "rollback", "adopt", "doctor"} <= set(found)


def test_the_help_lists_every_exit_code_with_the_number_it_has() -> None:
    listed = {int(number) for number in re.findall(r"^ +(\d+)  ", EXIT_CODES, re.M)}
    assert listed == {code.value for code in Exit}


def test_every_command_and_option_is_explained() -> None:
    def walk(group: click.Group, path: str) -> None:
        for name, command in group.commands.items():
            assert command.help, f"{path} {name}"
            assert not command.help.splitlines()[0].endswith(".."), f"{path} {name}"
            if isinstance(command, click.Group):
                walk(command, f"{path} {name}")

    walk(cli, "liftlock")


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert re.fullmatch(r"liftlock \d+\.\d+\.\d+\n", result.output)
