"""The domain is pure: standard library only, and nothing that could tell two calls apart."""

import ast
import pathlib

import pytest

import backends.domain

FILES = sorted(pathlib.Path(backends.domain.__path__[0]).glob("*.py"))
ALLOWED = {
    *("collections", "collections.abc", "dataclasses", "enum", "hashlib", "json", "math"),
    *("re", "typing", "unicodedata"),
}


def imported(tree):
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0
            yield part.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_domain_file_imports_nothing_that_acts(path):
    names = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    foreign = {name for name in names if not name.startswith("backends.domain")}
    foreign.discard("backends")
    assert foreign <= ALLOWED


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_domain_file_calls_nothing_that_acts(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        part.func.id
        for part in ast.walk(tree)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "exec", "eval", "__import__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_value_is_frozen_and_has_slots(path):
    for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(part, ast.ClassDef):
            continue
        for mark in part.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "dataclass":
                given = {word.arg: ast.unparse(word.value) for word in mark.keywords}
                assert given["frozen"] == given["slots"] == "True", part.name
