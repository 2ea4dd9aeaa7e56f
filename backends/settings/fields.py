"""The kinds of value that a settings file or a profile may hold."""

from datetime import date
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
)

from backends.settings.units import parse_duration, parse_size


class Table(BaseModel):
    """A table in which an unknown key is a mistake: one that is ignored is an outage."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


def _plain(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if not text.isprintable():
        raise ValueError(f"has an invisible character: {text!a}")
    return text


def _variable(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("must be a text, a number, true or false")  # noqa: TRY004
    if value and not value.isprintable():
        raise ValueError(f"has an invisible character: {value!a}")
    return value


SafeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Letters, digits, `.`, `_`, `-`; no leading dot, no slash (seed feature O23)."""

Text = Annotated[str, AfterValidator(_plain)]
"""One line of visible characters, not empty."""

Argv = Annotated[tuple[Text, ...], Field(min_length=1)]
"""A command as its list of arguments; nothing in here ever passes through a shell."""

DURATION = "a number with ms, s, m, h or d, or several of them; above 0, at most 30 days"
SIZE = "bytes a second: a number with B, kB, MB, GB, KiB, MiB or GiB; at least 1 KiB"
"""How a schema names the units of a text."""

Deadline = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0, le=30 * 86400),
    WithJsonSchema({"type": "string", "unit": DURATION, "examples": ["30s", "1h 30m"]}),
]
"""Seconds, written as text with a unit; above 0, at most 30 days."""

Age = Annotated[float, BeforeValidator(parse_duration), Field(ge=86400, le=36_500 * 86400)]
"""Seconds, written as text with a unit; at least a day."""

Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1_000_000)]
"""Bytes, written as a size with a unit; at least 1 MB."""

Rate = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(ge=1024),
    WithJsonSchema({"type": "string", "unit": SIZE, "examples": ["20 MB"]}),
]
"""Bytes a second, written as a size with a unit; at least 1 KiB."""

Count = Annotated[int, Strict(), Field(ge=0, le=1_000_000)]
"""How many; a whole number."""

Flag = Annotated[bool, Strict()]
"""true or false, not 1 or "yes"."""

Day = Annotated[date, Strict()]
"""A date as TOML writes it, without quotes: 2026-12-01."""

Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
"""A TCP port."""

Variable = Annotated[
    str,
    BeforeValidator(_variable),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""A value for `{vars.X}`: a text, number, true or false; kept as the text that is put in."""

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")]
"""The X in `{vars.X}`."""
