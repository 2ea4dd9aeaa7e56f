"""Durations and sizes: a unit is never guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.settings.units import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("30 s", 30),
        (" 30s ", 30),
        ("10m", 600),
        ("10min", 600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", [30, 1.5, "30", "30.5"])
def test_a_bare_number_is_refused_and_the_fix_is_named(value: object) -> None:
    with pytest.raises(ValueError, match=f'write "{value}s"'):
        parse_duration(value)
    with pytest.raises(ValueError, match=f'write "{value} MiB"'):
        parse_size(value)


@pytest.mark.parametrize(
    "value", ["", "s", "-5s", "5 parsecs", "5s!", "1e3s", "five s", "5s5", "٣s", True, None, [1]]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"is no|is not|must be"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("100 B", 100), ("1kB", 1000), ("1.5 GB", 1_500_000_000), ("512 MiB", 512 << 20)],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["10 M", "1.5 B", "10", "MiB", "-1 B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|whole|is not"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=30 * 86_400_000))
def test_a_duration_that_is_written_can_be_read_again(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000
