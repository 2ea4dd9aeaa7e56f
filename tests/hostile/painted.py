"""What a program writes to a terminal, taken apart: sequences, letters, and where they stand.

A sequence is foreign when the same screens never write it with harmless texts, a place when it is
off the screen, a letter when a terminal would obey it or not show it.
"""

import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.sweeps import Tally
from tests.hostile import gallery
from tests.support.pseudoterminal import COLUMNS, ROWS, Pseudoterminal

_SET_ONCE = 2
"""At the beginning, and once more at the end."""

_SEQUENCE = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|(?P<other>\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[^\[\]]|[\x00-\x1f])"
)


@dataclass
class Painted:
    """All that was written."""

    sequences: Counter[str] = field(default_factory=Counter)
    """Everything that a terminal obeys, but for places, and how often."""

    runs: list[str] = field(default_factory=list)
    """Letters that stand side by side."""

    strange: list[str] = field(default_factory=list)
    """What no program of ours may write at all."""


def taken_apart(data: bytes) -> Painted:
    """Sequences, runs of letters, and whatever is neither."""
    found = Painted()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        found.strange.append(f"what is no UTF-8: {data[error.start - 20 : error.end + 20]!r}")
        return found
    run, end = "", 0
    for match in _SEQUENCE.finditer(text):
        run += text[end : match.start()]
        end = match.end()
        other = match.group("other")
        if other is not None:
            found.sequences[other] += 1
        if other is None and not _is_on_screen(match):
            found.strange.append(f"a place off the screen: {match.group()!r}")
        if other is None or not other.endswith("m"):  # colours do not part what stands together
            found.runs.append(run)
            run = ""
    found.runs.append(run + text[end:])
    letters = set("".join(found.runs))
    found.strange += [f"U+{ord(each):04X}" for each in sorted(letters) if _obeyed_or_hidden(each)]
    return found


def foreign(found: Painted, known: Painted) -> list[str]:
    """Sequences that the program does not write by itself, or not so often: modes are set once."""
    return [
        f"foreign: {each!r}"
        for each, count in sorted(found.sequences.items())
        if not known.sequences[each]
        or (known.sequences[each] <= _SET_ONCE and count > known.sequences[each])
    ]


def _is_on_screen(match: "re.Match[str]") -> bool:
    return int(match["row"]) in range(1, ROWS + 1) and int(match["column"]) in range(
        1, COLUMNS + 1
    )


def _obeyed_or_hidden(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


# --- the goal -----------------------------------------------------------------------------------


def every_text(top: Path, sample: int) -> Tally:
    """Each text in each place of each widget and dialog."""
    tally, step = Tally(), max(1, sample // 2)
    known, found = (_gallery(each, tally) for each in (0, step))
    tally.bad += found.strange
    tally.bad += foreign(found, known)
    seen = "\n".join(found.runs)
    for number, text in enumerate(gallery.texts(step)):
        for place in gallery.places(number, text):
            tally.cases += 1
            if gallery.mark(place, number) not in seen:
                tally.bad.append(f"never seen in {place}: {text[:30]!r}")
    return tally


def _gallery(step: int, tally: Tally) -> Painted:
    words = (sys.executable, "-m", "tests.hostile.gallery", str(step))
    with Pseudoterminal(*words) as terminal:
        if code := terminal.ends(seconds=600.0):
            tally.bad.append(f"ended with {code}: {terminal.written[-2000:]!r}")
        return taken_apart(bytes(terminal.written))
