"""One JSON text for one value, read back strictly, and one digest for one list of files."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.node.canonical import (
    MAX_DEPTH,
    StrictError,
    canonical,
    configured,
    files_digest,
    parse,
)

FILES: list[dict[str, Any]] = [
    {"path": "a", "type": "dir", "mode": 0o755, "size": 0, "sha256": None, "target": None},
    {"path": "a/b", "type": "file", "mode": 0o644, "size": 1, "sha256": "0" * 64, "target": None},
    {"path": "c", "type": "link", "mode": 0o777, "size": 0, "sha256": None, "target": "a/b"},
]


def test_the_text_is_sorted_ascii_and_without_spaces() -> None:
    assert canonical({"b": [1, None, True], "a": "é\n"}) == b'{"a":"\\u00e9\\n","b":[1,null,true]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    text = canonical(value)

    assert parse(text, 1 << 20) == value
    assert canonical(json.loads(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": 1, "a": 1}', "twice"),
        (b'[{"a": {"b": 1, "b": 2}}]', "twice"),
        (b"NaN", "not a number"),
        (b"[-Infinity]", "not a number"),
        (b"1e999", "out of range"),
        (b"9007199254740992", "out of range"),
        (b"-" + b"9" * 5000, "out of range"),
        (b"[" * 17 + b"]" * 17, "nested"),
        (b"[" * 100_000 + b"]" * 100_000, "nested"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "nested"),
        (b'"\xff"', "UTF-8"),
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b" " * 500_000, "more than"),
    ],
)
def test_what_is_not_strict_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(StrictError, match=said):
        parse(text, 400_000)


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, 100) is not None


def test_the_digest_is_the_sha256_of_the_canonical_list() -> None:
    assert files_digest(FILES) == hashlib.sha256(canonical(FILES)).hexdigest()
    assert files_digest(FILES) == files_digest(FILES[::-1])
    assert files_digest([{**each, "note": "x"} for each in FILES]) == files_digest(FILES)
    short = [{key: value for key, value in each.items() if value is not None} for each in FILES]
    assert files_digest(short) == files_digest(FILES)


def test_the_digest_of_a_known_list_never_changes() -> None:
    # Nodes hold digests that older releases of this program have written.
    wanted = "6cc733951a2c797e1fb674afdd96c3cc5ba07666b4c185f2e57323d16368c1a7"
    assert files_digest(FILES) == wanted


@pytest.mark.parametrize("key", ["path", "type", "mode", "size", "sha256", "target"])
def test_each_key_of_a_file_counts(key: str) -> None:
    changed = [dict(each) for each in FILES]
    changed[1][key] = "x"

    assert files_digest(changed) != files_digest(FILES)


def test_a_path_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        files_digest([FILES[0], FILES[0]])


# --- configuration from elsewhere ---------------------------------------------------------------


def fetched(path: str, sha256: str = "1" * 64) -> dict[str, Any]:
    return {"path": path, "mode": 0o640, "size": 2, "sha256": sha256}


def test_what_was_fetched_wins_over_a_file_and_over_a_link() -> None:
    for path in ("a/b", "c"):
        found = {entry["path"]: entry for entry in configured(FILES, [fetched(path)])}
        assert found[path] == {**fetched(path), "type": "file", "target": None}
        assert {name: found[name] for name in found if name != path} == {
            entry["path"]: entry for entry in FILES if entry["path"] != path
        }


def test_directories_above_it_come_with_it_in_order() -> None:
    found = configured(FILES, [fetched("b/c/d"), fetched("b/c/e")])
    assert [(entry["path"], entry["type"]) for entry in found] == [
        ("a", "dir"),
        ("a/b", "file"),
        ("b", "dir"),
        ("b/c", "dir"),
        ("b/c/d", "file"),
        ("b/c/e", "file"),
        ("c", "link"),
    ]
    assert files_digest(found) == files_digest(reversed(found)) != files_digest(FILES)


@pytest.mark.parametrize(("path", "says"), [("a", "directory 'a'"), ("c/x", "file 'c'")])
def test_what_does_not_fit_is_refused(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        configured(FILES, [fetched(path)])


def test_nothing_fetched_is_the_list_as_it_was() -> None:
    assert configured(reversed(FILES), []) == FILES
