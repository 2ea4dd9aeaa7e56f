"""Text from outside, made safe to show: nothing in it can move a cursor or hide a letter.

Whatever enters from a node, a file or a network name passes here once, at the border (notes on
reliability, requirement O4). Markup is not touched: those who draw show text, never markup.
"""

import unicodedata
from typing import Final, NewType

Clean = NewType("Clean", str)
"""Text that was cleaned."""

_KEPT: Final = frozenset("\n\t")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MOST_MARKS: Final = 4


def clean(text: str, limit: int = 20_000) -> Clean:
    """The text with every control, invisible or reordering character shown as what it is.

    ESC becomes `^[`, other C0 controls `^X`, everything else that is hidden `\\uXXXX`; more than
    four combining marks on one letter are dropped; what is over `limit` characters is cut and said
    to be. Newlines and tabs stay.
    """
    if len(text) <= limit and str.isascii(text) and str.isprintable(text):
        return Clean(text)  # nearly all of it: letter by letter it takes most of a reading's time
    kept: list[str] = []
    marks = 0
    for letter in text[:limit]:
        if unicodedata.combining(letter):
            marks += 1
            if marks > _MOST_MARKS:
                continue
        else:
            marks = 0
        kept.append(letter if letter in _KEPT or _is_plain(letter) else _shown(letter))
    if len(text) > limit:
        kept.append(f" [{len(text) - limit} more]")
    return Clean("".join(kept))


def line(text: str, limit: int = 2_000) -> Clean:
    """Cleaned text on a single line: newlines and tabs become a space."""
    return Clean(" ".join(clean(text, limit).split()))


def _is_plain(letter: str) -> bool:
    return (letter.isascii() and letter.isprintable()) or (
        not letter.isascii() and unicodedata.category(letter) not in _HIDDEN
    )


def _shown(letter: str) -> str:
    code = ord(letter)
    if code < 32:
        return "^" + chr(code + 64)
    if code == 127:
        return "^?"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
