"""A mistake in a file is named with file, line, key and the nearest valid key."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, model_validator

from backends.domain.problem import Exit, LiftlockError
from backends.settings.fields import Deadline, SafeName, Table
from backends.settings.toml_file import MAX_BYTES, at, read_toml
from backends.settings.toml_keys import nearest


class Inner(Table):
    pause: str = ""
    wait: Deadline = 1.0


class Outer(Table):
    name: SafeName
    policy: Inner = Inner()
    checks: tuple[Inner, ...] = ()
    nodes: dict[SafeName, Inner] = {}  # noqa: RUF012


def refused(path: Path, text: str, model: type[BaseModel] = Outer) -> LiftlockError:
    path.write_text(text)
    with pytest.raises(LiftlockError) as caught:
        read_toml(path).validate(model)
    assert caught.value.exit_code == Exit.USAGE
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "harbor.toml"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nmae = 'x'\nname = 'x'", "harbor.toml:1: unknown key nmae; did you mean name?"),
        (
            "name = 'x'\n[policy]\npasue = 1",
            "harbor.toml:3: unknown key [policy] pasue; did you mean pause?",
        ),
        ("name = 'x'\n[polcy]\n", "harbor.toml:2: unknown table [polcy]; did you mean [policy]?"),
        (
            "name = 'x'\n[nodes]\nn1 = { wiat = '1s' }",
            "harbor.toml:3: unknown key [nodes] n1.wiat; did you mean wait?",
        ),
        (
            "name = 'x'\n[[checks]]\n[[checks]]\npuase = ''",
            "harbor.toml:4: unknown key [[checks]] puase; did you mean pause?",
        ),
        (
            "name = 'x'\n[policy]\nname = 1",
            "harbor.toml:3: unknown key [policy] name; valid here: pause, wait",
        ),
        ("name = 'x'\nwait = '1s'", "harbor.toml:2: unknown key wait; it belongs in"),
        ("[policy]\n", "harbor.toml:1: [name]: is missing"),
        ("name = 'a/b'", "harbor.toml:1: name: 'a/b' has characters"),
        ("name = 'x'\npolicy = 1", "harbor.toml:2: policy: must be a table"),
        ("name = 'x'\n[policy]\nwait = 3", 'harbor.toml:3: [policy] wait: a bare number has no'),
        ("name = 'x'\n[nodes]\n'a b' = {}", "harbor.toml:3: [nodes] a b: 'a b' has characters"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_key(path: Path, text: str, line: str) -> None:
    error = refused(path, text)

    assert error.problem.code == "file-invalid"
    assert line in error.problem.evidence


def test_all_mistakes_are_reported_at_once_each_once_in_order(path: Path) -> None:
    text = "name = 'x'\nb = 1\n[policy]\nwait = 5\npausse = 1\n[[checks]]\nwait = ''\n"

    error = refused(path, text)

    lines = error.problem.evidence.splitlines()
    assert [int(line.split(":")[1]) for line in lines] == [2, 4, 5, 7]
    assert len(lines) == len(set(lines))
    assert error.problem.summary.endswith("(and 3 more)")
    assert str(path) in error.problem.advice


def test_a_validator_can_name_a_key_and_use_braces(path: Path) -> None:
    class Picky(Table):
        a: int = 0
        b: int = 0

        @model_validator(mode="after")
        def _picky(self) -> "Picky":
            raise at(("b",), "use {node}, not {nod}")

    error = refused(path, "a = 1\nb = 2\n", Picky)

    assert error.problem.evidence == "harbor.toml:2: b: use {node}, not {nod}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", "harbor.toml:2: not TOML: "),
        ("a = 1\na = 2\n", "harbor.toml:2: not TOML: "),
        ("a = '", "harbor.toml:1: not TOML: "),
        ("\n\n[a\n", "harbor.toml:3: not TOML: "),
        ("a = first", "harbor.toml:1: not TOML: "),
    ],
)
def test_a_syntax_error_keeps_its_line(path: Path, text: str, line: str) -> None:
    error = refused(path, text)

    assert error.problem.code == "file-not-toml"
    assert error.problem.summary.startswith(line)


def test_a_file_that_is_not_utf8_is_refused_with_the_line(path: Path) -> None:
    path.write_bytes(b"a = 1\nb = '\xff'\n")

    with pytest.raises(LiftlockError) as caught:
        read_toml(path)
    assert caught.value.problem.summary == "harbor.toml:2: not UTF-8"


def test_windows_line_ends_and_a_byte_order_mark_change_no_line(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfname = 'x'\r\n\r\npasue = 1\r\n")

    with pytest.raises(LiftlockError) as caught:
        read_toml(path).validate(Outer)
    assert "harbor.toml:3: unknown key pasue" in caught.value.problem.evidence


def code_of(path: Path) -> str:
    with pytest.raises(LiftlockError) as caught:
        read_toml(path)
    assert caught.value.exit_code == Exit.USAGE
    return caught.value.problem.code


def test_a_file_that_anybody_may_change_is_refused(path: Path) -> None:
    path.write_text("name = 'x'")
    path.chmod(0o666)
    assert code_of(path) == "file-world-writable"
    path.chmod(0o664)
    assert read_toml(path).data == {"name": "x"}


def test_what_is_no_readable_file_is_refused(path: Path, tmp_path: Path) -> None:
    assert code_of(path) == "file-missing"
    assert code_of(tmp_path) == "file-unreadable"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert code_of(fifo) == "file-unreadable"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert code_of(path) == "file-too-large"


def test_the_nearest_key_is_near_or_none() -> None:
    assert nearest("if-operator-vanishes", ["if_operator_vanishes", "pause"]) == (
        "if_operator_vanishes"
    )
    assert nearest("PAUSE", ["pause"]) == "pause"
    assert nearest("xyz", ["pause"]) is None
