"""Text from outside cannot move a cursor, reorder or hide letters."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from backends.domain.clean import clean, line


@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    for letter in clean(text):
        assert letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co")


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"]), max_size=200))
def test_plain_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


def test_escape_sequences_are_shown_in_carets() -> None:
    assert clean("a\x1b[2J\x07\x9b1m\x7f") == "a^[[2J^G\\u009b1m^?"


def test_letters_that_reorder_or_hide_are_shown_as_their_numbers() -> None:
    assert clean("abc\u202etxt\u200b") == "abc\\u202etxt\\u200b"


def test_a_pile_of_marks_is_cut_and_long_text_says_how_much_is_missing() -> None:
    assert clean("a" + "\u0301" * 50) == "a" + "\u0301" * 4
    assert clean("x" * 30, limit=10) == "x" * 10 + " [20 more]"


def test_one_line_is_one_line() -> None:
    assert line("a\n\tb  c\r\nd") == "a b c^M d"
