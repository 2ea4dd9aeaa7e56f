"""Lines made of toned text: the values that every widget in here is given.

Pure: what a tone looks like is decided in `tones.py`. Widths are terminal cells, so a wide letter
counts two. A cell holds nothing that could move a cursor, and its text is never markup.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rich.segment import Segment

from backends.domain.clean import clean

ELLIPSIS: Final = "…"

_BLANKS: Final = {ord("\n"): " ", ord("\t"): " "}


class Tone(StrEnum):
    """What a text means to the reader. Its look is the theme's business."""

    PLAIN = "plain"
    STRONG = "strong"
    QUIET = "quiet"
    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Cell:
    """A span of text in one tone, on one line.

    A control or invisible character in the text is shown as what it is; a newline or a tab is a
    blank.
    """

    text: str
    tone: Tone = Tone.PLAIN

    def __post_init__(self) -> None:
        if not self.text.isprintable():
            inert = clean(self.text, len(self.text)).translate(_BLANKS)
            object.__setattr__(self, "text", inert)


Line = tuple[Cell, ...]
"""What stands side by side on one line."""


def line(*parts: str | Cell | tuple[str, Tone]) -> Line:
    """One line of these parts; a text alone is plain, and an empty one leaves no cell."""
    cells = (_cell(each) for each in parts)
    return tuple(each for each in cells if each.text)


def _cell(part: str | Cell | tuple[str, Tone]) -> Cell:
    if isinstance(part, Cell):
        return part
    return Cell(part) if isinstance(part, str) else Cell(*part)


def text_of(content: Line) -> str:
    """The line without its tones."""
    return "".join(each.text for each in content)


def measure(text: str) -> int:
    """How many terminal cells a text takes."""
    return len(text) if text.isascii() else Segment(text).cell_length


def width_of(content: Line) -> int:
    """How many terminal cells a line takes."""
    return sum(measure(each.text) for each in content)


def cut(content: Line, width: int) -> Line:
    """The line, ended by `…` when it is wider than `width`."""
    if width <= 0:
        return ()
    if width_of(content) <= width:
        return content
    kept: list[Cell] = []
    room = width - measure(ELLIPSIS)
    for each in content:
        size = measure(each.text)
        if size <= room:
            kept.append(each)
            room -= size
            continue
        head = _head(each.text, room)
        kept.append(Cell(head + ELLIPSIS, each.tone))
        break
    return tuple(kept)


def _head(text: str, room: int) -> str:
    """As many whole letters as fit."""
    if text.isascii():
        return text[:room]
    end = 0
    for letter, size in letters(text):
        if size > room:
            break
        room -= size
        end += len(letter)
    return text[:end]


def letters(text: str) -> Iterator[tuple[str, int]]:
    """Each letter with the marks that stand on it, and how many cells that takes."""
    letter, size = "", 0
    for each in text:
        alone = measure(each)
        if alone == 0 and letter:
            letter += each
            size = measure(letter)  # a variation selector makes some letters wide
            continue
        if letter:
            yield letter, size
        letter, size = each, alone
    if letter:
        yield letter, size


def part_of(content: Line, start: int, end: int) -> Line:
    """What stands between two places of the line's text."""
    kept: list[Cell] = []
    place = 0
    for each in content:
        after = place + len(each.text)
        if after > start and place < end:
            inner = each.text[max(0, start - place) : end - place]
            kept.append(each if len(inner) == len(each.text) else Cell(inner, each.tone))
        place = after
    return tuple(kept)


def wrapped(content: Line, width: int, indent: int = 0) -> list[Line]:
    """The line in rows of at most `width`, broken between words, continued `indent` further in.

    The blanks at a break go. A word is broken only when it is wider than a row. A row takes at
    least one letter, also where a wide one does not fit.
    """
    if width_of(content) <= width or width <= 0:
        return [content]
    margin = Cell(" " * margin_of(width, indent))
    rows = [part_of(content, *span) for span in spans(text_of(content), width, indent)]
    return [rows[0], *((margin, *each) if margin.text else each for each in rows[1:])]


def margin_of(width: int, indent: int) -> int:
    """How far in a continued row begins: as asked, unless that leaves too little room."""
    return min(indent, width // 2) if width > 3 else 0


def spans(text: str, width: int, indent: int = 0) -> list[tuple[int, int]]:
    """Where the rows of a wrapped text begin and end in it; never empty."""
    room, others = width, width - margin_of(width, indent)
    whole = len(text.rstrip(" "))
    lead = len(text) - len(text.lstrip(" "))
    word = text.find(" ", lead, whole)
    # Blanks at the front stay, unless the first word would have to be broken for them.
    start = 0 if _reach(text, 0, room) >= (whole if word < 0 else word) else min(lead, whole)
    found: list[tuple[int, int]] = []
    while (stop := _reach(text, start, room)) < whole:
        blank = text.rfind(" ", start, stop + 1)
        if blank <= start:
            found.append((start, stop))
            start = stop
        else:
            found.append((start, len(text[:blank].rstrip(" "))))
            start = blank + 1  # all before `stop` is searched, so a letter follows, or a blank
            while text[start] == " ":
                start += 1
        room = others
    return [*found, (start, whole)]


def _reach(text: str, start: int, room: int) -> int:
    """The place behind the last letter that fits into `room`; at least one letter is taken."""
    if text.isascii():
        return start + room
    rest = text[start : start + 8 * room]
    return start + (len(_head(rest, room)) or len(next(letters(rest), ("", 0))[0]) or 1)
