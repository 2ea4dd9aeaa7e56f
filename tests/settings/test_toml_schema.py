"""The printed schema is what the parser takes: no key more, no key less, each explained."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from app.headless.configuring import print_schema
from backends.products.profile_file import ProfileFile
from backends.settings.cluster_file import ClusterFile
from backends.settings.fields import Table
from backends.settings.toml_file import read_toml
from backends.settings.toml_schema import described, schema, tables_of

MODELS = {"cluster": ClusterFile, "profile": ProfileFile}
ODD = object()
"""No TOML value: whoever takes the key at all complains about the value."""


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def printed(kind: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `liftlock config schema KIND` prints."""
    assert print_schema(kind, in_one_line=False) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_key_of_every_table_has_a_description(kind: str) -> None:
    tables = list(tables_of(MODELS[kind]))
    assert len(tables) > 4
    missing = [
        f"{table.__name__}.{key}"
        for table in tables
        for key in table.model_fields
        if len(described(table).get(key, "")) < 5
    ]
    assert missing == []


def test_a_key_without_a_text_under_it_has_no_description() -> None:
    assert described(_Odd) == {"told": "This one is."}
    found = schema(_Odd, "odd", {})["properties"]
    assert "description" not in found["untold"]
    assert found["told"]["description"] == "This one is."


def test_what_is_printed_is_a_schema_with_a_line_for_each_key(printed: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(printed)
    lines = [text["description"] for _, key, text in _keys(printed) if key]
    assert len(lines) > 30
    assert all("\n" not in line and line.strip() for line in lines)


def test_every_key_in_the_schema_is_taken_and_no_other(kind: str, printed: dict[str, Any]) -> None:
    models = {each.__name__: each for each in tables_of(MODELS[kind])}
    seen = 0
    for table, key, _ in _keys(printed):
        model = models.get(table, MODELS[kind])
        assert not _is_unknown(model, key), f"{table}: {key} is in the schema and refused"
        assert _is_unknown(model, f"{key}_"), f"{table}: {key}_ is taken"
        seen += 1
    taken = {(name, key) for name, each in models.items() for key in each.model_fields}
    assert seen == len(taken), "a key that is taken is not in the schema"


def test_no_table_of_the_schema_takes_a_key_that_it_does_not_name(printed: dict[str, Any]) -> None:
    tables = [printed, *printed["$defs"].values()]
    assert all(each["additionalProperties"] is False for each in tables)


def test_a_value_that_toml_cannot_say_is_not_in_the_schema(printed: dict[str, Any]) -> None:
    assert "null" not in json.dumps(printed)


def test_a_duration_is_a_text_with_its_units_and_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_schema("cluster", in_one_line=True)
    policy = json.loads(capsys.readouterr().out)["$defs"]["PolicyTable"]["properties"]
    window = policy["accept_window"]
    assert (window["type"], window["default"]) == ("string", "10m")
    assert "ms, s, m, h" in window["unit"]
    assert policy["batch"]["default"] == 1
    assert policy["pause"]["default"] == "first"
    assert [each for each in policy if "default" not in policy[each]] == []


def test_the_files_of_the_readme_and_the_demo_fit_the_schema(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    checked = 0
    for name, text in re.findall(r"```toml\n# (\w+\.toml)\n(.*?)```", readme, re.S):
        path = tmp_path / name
        path.write_text(text)
        model = ClusterFile if "[cluster]" in text else ProfileFile
        found = schema(model, "x", {})
        assert list(Draft202012Validator(found).iter_errors(read_toml(path).data)) == []
        worse = {**read_toml(path).data, "polcy": {}}
        assert list(Draft202012Validator(found).iter_errors(worse))
        checked += 1
    assert checked == 2


def _keys(printed: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(table, key, its schema)."""
    for table, found in {"": printed, **printed["$defs"]}.items():
        for key, one in found["properties"].items():
            yield table, key, one


def _is_unknown(model: type[BaseModel], key: str) -> bool:
    try:
        model.model_validate({key: ODD})
    except ValidationError as error:
        return any(
            each["type"] == "extra_forbidden" and each["loc"] == (key,) for each in error.errors()
        )
    return False


class _Odd(Table):
    untold: int = 1
    told: int = 2
    """This one is."""
