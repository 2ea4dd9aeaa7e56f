"""Durations and sizes as people write them: a number and a unit, never a bare number."""

import re
from decimal import Decimal

_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}

_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]+)")


def parse_duration(value: object) -> float:
    """Seconds in "10m", "30 s", "500ms" or "1h 30m".

    Raises ValueError, in words for the operator, for a bare number, an unknown unit, and
    anything else.
    """
    total = Decimal(0)
    for number, unit in _parts(value, "a duration", '"30s"', "s"):
        if unit not in _SECONDS:
            raise ValueError(f"{unit!r} is no unit of time; use ms, s, m, h or d")
        total += number * _SECONDS[unit]
    return float(total)


def parse_size(value: object) -> int:
    """Bytes in "512 MiB", "1.5 GB" or "100 B".

    Raises ValueError, in words for the operator, for a bare number, an unknown unit, a
    fraction of a byte, and anything else.
    """
    total = Decimal(0)
    for number, unit in _parts(value, "a size", '"512 MiB"', "MiB"):
        if unit not in _BYTES:
            raise ValueError(f"{unit!r} is no unit of size; use B, kB, MB, GB, KiB, MiB or GiB")
        total += number * _BYTES[unit]
    if total != int(total):
        raise ValueError(f"{value!r} is not a whole number of bytes")
    return int(total)


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as so many seconds, to the ms."""
    left = round(seconds * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left}ms")
    return " ".join(parts) or "0s"


def format_size(count: int) -> str:
    """A number of bytes, in decimal units."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if round(value, 1) < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes everything")


def _parts(value: object, what: str, example: str, unit: str) -> list[tuple[Decimal, str]]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - a validator must not raise TypeError
            f'a bare number has no unit; write "{value}{_spaced(unit)}"'
        )
    if not isinstance(value, str):
        raise ValueError(f"must be {what} in quotes, such as {example}")  # noqa: TRY004
    text = value.strip()
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f'a bare number has no unit; write "{text}{_spaced(unit)}"')
    found = []
    end = 0
    while end < len(text):
        match = _PART.match(text, end)
        if match is None:
            break
        found.append((Decimal(match[1]), match[2]))
        end = match.end()
        while end < len(text) and text[end] == " ":
            end += 1
    if not found or end < len(text):
        raise ValueError(f"{value!r} is not {what}; write it like {example}")
    return found


def _spaced(unit: str) -> str:
    return unit if len(unit) == 1 else f" {unit}"
