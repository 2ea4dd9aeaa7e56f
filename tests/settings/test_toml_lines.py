"""The line of each key: for everything that tomllib finds, and the right one."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.settings.toml_lines import Place, locate

SAMPLE = '''# a comment with [brackets] and key = 1
top = "a = 1 # no comment"
"quoted key" = 'literal # too'

[cluster] # [not.this]
name = """
[nodes]
inside = "a text"
"""
list = [
    "x",  # one
    { deep = 1, other = [1,
      2] },
]

[nodes]
n1 = { address = "10.0.0.1", vars = { port = 1, "a b" = "}" } }
n2.address = "10.0.0.2"

[[health]]
kind = "http"

[health.extra]
key = 1

[[health]]
kind = 'control'
text = \'\'\'
[[health]]\'\'\'
when = 2026-12-01 10:00:00

[a."b.c".d]
last = true
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("top",), 2),
        (("quoted key",), 3),
        (("cluster",), 5),
        (("cluster", "name"), 6),
        (("cluster", "list", 1, "other"), 12),
        (("cluster", "list", 1, "other", 1), 13),
        (("nodes", "n1", "address"), 17),
        (("nodes", "n1", "vars", "a b"), 17),
        (("nodes", "n2"), 18),
        (("nodes", "n2", "address"), 18),
        (("health", 0), 20),
        (("health", 0, "kind"), 21),
        (("health", 0, "extra", "key"), 24),
        (("health", 1, "kind"), 27),
        (("health", 1, "when"), 30),
        (("a", "b.c", "d", "last"), 33),
    ],
)
def test_each_key_has_its_line(place: Place, line: int) -> None:
    assert locate(SAMPLE)[place] == line


def places(value: Any, place: Place = ()) -> list[Place]:
    """Everything that tomllib found."""
    found = [place] if place else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*place, index))
    return found


def test_everything_that_tomllib_finds_has_a_line() -> None:
    assert set(places(tomllib.loads(SAMPLE))) == set(locate(SAMPLE))


LINES = st.lists(
    st.sampled_from(
        [
            "[a]",
            "[b.c]",
            "[[d]]",
            "[d.e]",
            "[[d.f]]",
            'x = "[y]"',
            "y.z = 1",
            "q = { r = [1, {s = 2}], t = '}' }",
            'w = """\nx = 1\n\\""""',
            "v = [\n1, # ]\n2]",
            "# [a]",
            "",
            "u = 1979-05-27T07:32:00Z # u",
            "'k l' = inf",
        ]
    ),
    max_size=12,
)


@given(LINES)
def test_whatever_tomllib_accepts_is_located_completely(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(places(data)) == set(locate(text))
