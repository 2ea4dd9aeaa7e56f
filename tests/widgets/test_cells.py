"""Lines: widths in terminal cells, cutting, wrapping; what a text may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets.cells import (
    Cell,
    Line,
    Tone,
    cut,
    letters,
    line,
    margin_of,
    measure,
    text_of,
    width_of,
    wrapped,
)

TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab ") | st.sampled_from("日本語é\u0301\ufe0f❤…–🇩🇪\u3000\u00a0"),
        st.characters(),
    ),
    max_size=60,
)
LINES = st.lists(st.builds(Cell, TEXTS, st.sampled_from(Tone)), max_size=5).map(tuple)


def marks(content: Line) -> list[tuple[str, Tone]]:
    """Every letter that is no blank, with its tone."""
    return [(letter, each.tone) for each in content for letter in each.text if letter != " "]


def test_a_line_is_made_of_texts_cells_and_pairs() -> None:
    assert line("a", ("b", Tone.OK), Cell("c", Tone.BAD), "") == (
        Cell("a"),
        Cell("b", Tone.OK),
        Cell("c", Tone.BAD),
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred", "^[[31mred"),
        ("a\u202eb\u200b", "a\\u202eb\\u200b"),
        ("[red]x[/]", "[red]x[/]"),
        ("日本\u3000\u00a0", "日本\u3000\u00a0"),
    ],
)
def test_a_cell_holds_nothing_that_moves_or_hides(text: str, shown: str) -> None:
    assert Cell(text).text == shown


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("❤", 1), ("❤\ufe0f", 2)]
)
def test_widths_are_terminal_cells(text: str, width: int) -> None:
    assert measure(text) == width


@given(TEXTS)
def test_letters_are_the_text_and_its_width(text: str) -> None:
    text = Cell(text).text
    found = list(letters(text))
    assert "".join(letter for letter, _ in found) == text
    assert sum(size for _, size in found) == measure(text)


@pytest.mark.parametrize(
    ("width", "shown"),
    [(9, "ab日本cd"), (8, "ab日本cd"), (7, "ab日本…"), (6, "ab日…"), (1, "…"), (0, "")],
)
def test_cut_ends_in_an_ellipsis(width: int, shown: str) -> None:
    content = line(("ab", Tone.OK), ("日本", Tone.BAD), "cd")
    assert text_of(cut(content, width)) == shown


def test_what_is_cut_keeps_its_tones() -> None:
    content = line(("ok", Tone.OK), (" very bad", Tone.BAD))
    assert cut(content, 6) == (Cell("ok", Tone.OK), Cell(" ve…", Tone.BAD))


@given(LINES, st.integers(-2, 70))
def test_cut_is_never_wider(content: Line, width: int) -> None:
    found = cut(content, width)
    assert width_of(found) <= max(0, width)
    if width_of(content) <= width:
        assert text_of(found) == text_of(content)
    elif width > 0:
        assert text_of(found).endswith("…")
        assert text_of(content).startswith(text_of(found)[:-1])


@pytest.mark.parametrize(
    ("text", "width", "indent", "shown"),
    [
        ("", 10, 2, [""]),
        ("one two three", 20, 2, ["one two three"]),
        ("one two three", 7, 2, ["one two", "  three"]),
        ("one two three", 8, 0, ["one two", "three"]),
        ("one   two", 5, 0, ["one", "two"]),
        ("  at place", 6, 2, ["  at", "  place"[:6], "  e"]),
        ("  abcdef g", 6, 0, ["abcdef", "g"]),
        ("abcdefghij", 4, 1, ["abcd", " efg", " hij"]),
        ("a bcdefghij", 4, 0, ["a", "bcde", "fghi", "j"]),
        ("日本 語日 本", 5, 0, ["日本", "語日", "本"]),
        ("日本語日本", 5, 0, ["日本", "語日", "本"]),
        ("word      ", 4, 2, ["word"]),
        ("          ", 4, 2, [""]),
        ("ab cd", 2, 9, ["ab", "cd"]),
    ],
)
def test_wrapping(text: str, width: int, indent: int, shown: list[str]) -> None:
    assert [text_of(each) for each in wrapped(line(text), width, indent)] == shown


@given(LINES, st.integers(2, 70), st.integers(0, 8))
def test_nothing_is_lost_in_wrapping_and_no_row_is_wider(
    content: Line, width: int, indent: int
) -> None:
    found = wrapped(content, width, indent)
    assert found
    assert max(width_of(each) for each in found) <= width
    assert [mark for each in found for mark in marks(each)] == marks(content)


@given(LINES, st.integers(2, 70), st.integers(0, 8))
def test_a_word_is_broken_only_when_wider_than_a_row(
    content: Line, width: int, indent: int
) -> None:
    room = width - margin_of(width, indent)
    words = " ".join(text_of(each) for each in wrapped(content, width, indent)).split(" ")
    whole = {each for each in text_of(content).split(" ") if measure(each) <= room}
    assert whole - {""} <= set(words)
