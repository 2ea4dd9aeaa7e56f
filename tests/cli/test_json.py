"""What a script reads: each command takes `--json`, each line has a schema, so has a problem."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from app.cli import cli
from tests.support.cluster import Cluster

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in (ROOT / "app/schemas").glob("*.json")
}
WITHOUT = {"demo"}
"""Its `--serve` says one line of JSON."""


def every_command(
    group: click.Group, *before: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The command tree, leaf by leaf."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, *before, name)
        else:
            yield (*before, name), command


def test_every_command_takes_json() -> None:
    without = {
        " ".join(words)
        for words, command in every_command(cli)
        if "json" not in {each.name for each in command.params}
    }
    assert without == WITHOUT


def test_what_is_said_as_json_has_a_schema_and_every_schema_is_of_something() -> None:
    said = {"plan", "release"}  # what a file is called as well
    for path in (ROOT / "app").rglob("*.py"):
        code = ast.parse(path.read_text("utf-8"))
        documents = {
            id(node.body[0].value)
            for node in ast.walk(code)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(code):
            if isinstance(node, ast.Constant) and id(node) not in documents:
                said |= {*re.findall(r"^liftlock\.(\w+)/1$", str(node.value))}
    assert said == set(SCHEMAS)
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["properties"]["schema"]["const"] == f"liftlock.{name}/1"


def test_the_script_of_the_drill_uses_every_command() -> None:
    code = ast.parse((ROOT / "tests/drills/headless.py").read_text("utf-8"))
    said = {node.value for node in ast.walk(code) if isinstance(node, ast.Constant)}
    missing = {
        " ".join(words)
        for words, command in every_command(cli)
        if not command.hidden and not said.issuperset(words)
    }
    assert not missing


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["status", "nowhere"], 2, "cluster-missing"),
        (["upgrade", "HARBOR", "nothing.tar.gz"], 2, "release-missing"),
        (["resume", "HARBOR", "--yes"], 4, "nothing-to-resume"),
        (["takeover", "HARBOR", "--yes"], 2, "reason-missing"),
        (["pause", "HARBOR"], 4, "nobody-drives"),
        (["rollback", "HARBOR"], 2, "nobody-to-ask"),
        (["value", "HARBOR", "helth"], 2, "value-unknown"),
        (["release", "show", "nothing.tar.gz"], 2, "release-missing"),
        (["journal", "HARBOR", "0000-zzz"], 2, "run-unknown"),
    ],
)
def test_a_problem_is_the_last_line(
    harbor: Cluster, words: list[str], exit_code: int, code: str
) -> None:
    words = [str(harbor.file) if word == "HARBOR" else word for word in words]
    ran = harbor.run(*words, "--json")
    assert ran.status == exit_code, ran
    last = ran.lines[-1]
    Draft202012Validator(SCHEMAS["outcome"]).validate(last)
    assert (last["exit"], last["problem"]["code"]) == (exit_code, code)
    assert last["problem"]["summary"].split()[0] in ran.err, "it is told to a person, too"
    assert harbor.run(*words).out == "", "without --json standard output is not for problems"


def test_a_refused_act_names_its_run_once(harbor: Cluster) -> None:
    ran = harbor.run("abort", str(harbor.file), "--yes", "--json")
    assert ran.status == 4, ran
    ends = [line for line in ran.lines if line["schema"] == "liftlock.outcome/1"]
    assert len(ends) == 1
    found = harbor.run("runs", str(harbor.file), "--json").json["runs"]
    assert [run["id"] for run in found] == [ends[0]["run"]]


def test_a_plan_that_would_be_refused_says_why(harbor: Cluster) -> None:
    harbor.settle("4.11.0")
    release = harbor.release("4.10.0")
    ran = harbor.run("plan", str(harbor.file), str(release), "--json")
    assert ran.status == 4, ran
    made, refused = ran.lines
    Draft202012Validator(SCHEMAS["plan"]).validate(made)
    assert refused["exit"] == 4
    assert "4.10.0" in refused["problem"]["evidence"]
