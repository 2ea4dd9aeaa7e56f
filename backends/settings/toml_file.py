"""Read a TOML file into a pydantic model; every mistake named with file, line and key.

All mistakes of a file are reported at once, each once, in the order of their lines.
"""

import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.toml_keys import label, nearest, unknown_key
from backends.settings.toml_lines import Place, locate

Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 4 << 20
"""Largest settings file that is read; a line for each of 1,000 nodes takes 100 KiB."""


@dataclass(frozen=True, order=True, slots=True)
class Mistake:
    """One thing to correct in a file; `line` counts from 1, 0 is the file as a whole."""

    line: int
    text: str


@dataclass(frozen=True)
class TomlFile:
    """A file that is valid TOML, with the lines of its keys."""

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[Place, int] = field(repr=False)

    def line(self, place: Place) -> int:
        """Where a key stands; for a missing one, where the table stands that should hold it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return 1

    def mistake(self, place: Place, text: str) -> Mistake:
        """A mistake at a key, which is named before the text."""
        return Mistake(self.line(place), f"{label(place, self.data)}: {text}")

    def validate(self, model: type[Model]) -> Model:
        """The file as an instance of `model`.

        Raises LiftlockError `file-invalid` (exit 2) with every mistake.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            mistakes = [self._mistake(each, model) for each in error.errors()]
            self.refuse(mistakes)

    def refuse(self, mistakes: Iterable[Mistake]) -> NoReturn:
        """Raise LiftlockError `file-invalid` (exit 2) with all mistakes, each once, sorted."""
        found = sorted(set(mistakes))
        lines = [f"{self.path.name}:{each.line}: {each.text}" for each in found]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise LiftlockError(
            Problem(
                code="file-invalid",
                summary=f"{lines[0]}{more}",
                evidence="\n".join(lines),
                advice=f"Correct {self.path}. The README lists all keys.",
            ),
            Exit.USAGE,
        )

    def _mistake(self, error: Any, model: type[BaseModel]) -> Mistake:
        context = error.get("ctx", {})
        place: Place = (*error["loc"], *context.get("place", ()))
        if error["type"] == "extra_forbidden":
            return Mistake(self.line(place), unknown_key(place, self.data, model))
        if place and place[-1] == "[key]":  # pydantic's mark for a mapping's key itself
            place = place[:-1]
        return self.mistake(place, _words(error))


def at(place: Place, text: str) -> PydanticCustomError:
    """What a model's validator raises to name one of its keys instead of itself."""
    # The text may hold braces, which pydantic would take for its own placeholders.
    return PydanticCustomError("at", "{text}", {"place": place, "text": text})


def read_toml(path: Path) -> TomlFile:
    """Read a settings file.

    Raises LiftlockError, exit 2: `file-missing`, `file-unreadable`, `file-world-writable` (what
    is in it runs as root on nodes), `file-too-large`, `file-not-toml`.
    """
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _refuse_syntax(path, text, str(error))
    except RecursionError:
        _refuse_syntax(path, text, "nested too deep (at line 1, column 1)")
    return TomlFile(path, data, locate(text))


def _text(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            _refuse("file-unreadable", f"{path} is not a regular file.", "")
        if found.st_mode & stat.S_IWOTH:
            _refuse(
                "file-world-writable",
                f"{path} can be changed by every user of this machine.",
                "Look through the file, then: chmod o-w " + str(path),
                f"mode {stat.S_IMODE(found.st_mode):04o}",
            )
        if found.st_size > MAX_BYTES:
            _refuse("file-too-large", f"{path} has more than {MAX_BYTES} bytes.", "")
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse("file-missing", f"There is no file {path}.", "Check the name.")
    except OSError as error:
        _refuse("file-unreadable", f"{path} cannot be read.", "", error.strerror or str(error))
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse("file-not-toml", f"{path.name}:{line}: not UTF-8", f"Save {path} as UTF-8.")


def _refuse_syntax(path: Path, text: str, message: str) -> NoReturn:
    where = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    line = int(where[1]) if where else text.count("\n") + 1
    message = message[: where.start()] if where else message.removesuffix(" (at end of document)")
    evidence = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    _refuse(
        "file-not-toml",
        f"{path.name}:{line}: not TOML: {message}",
        f"Correct {path}. Texts need quotes; see https://toml.io.",
        evidence.strip(),
    )


def _refuse(code: str, summary: str, advice: str, evidence: str = "") -> NoReturn:
    raise LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)


def _words(error: Any) -> str:
    """What is wrong with a value, for a person who does not know pydantic."""
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "at":
            return str(context["text"])
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return _one_of(str(context["expected"]), error["input"])
        case "string_pattern_mismatch":
            return f"{error['input']!r} has characters that are not allowed here"
        case "string_type":
            return "must be a text in quotes"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a table"
        case "date_type" | "date_parsing" | "date_from_datetime_inexact":
            return "must be a date without quotes, such as 2026-12-01"
        case "tuple_type" | "list_type":
            return "must be a list [...]"
        case _:
            message = str(error["msg"])
            return message[:1].lower() + message[1:]


def _one_of(expected: str, found: object) -> str:
    text = f"must be {expected.replace(chr(39), chr(34))}, not {found!r}"
    near = nearest(str(found), re.findall(r"'([^']*)'", expected))
    return f'{text}; did you mean "{near}"?' if near else text
