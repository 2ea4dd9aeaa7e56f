"""The journal as lines: when, where, in which phase, what."""

from collections.abc import Iterable
from textwrap import shorten

from app.view.words import clock
from backends.engine.events import Event, Kind
from widgets.cells import Cell, Line, Tone, line

_MOST_LOG_LINES = 20


def lines_of(event: Event, width: int) -> list[Line]:
    """One event; `width` is that of the longest node name."""
    if event.kind in (Kind.PROGRESS, Kind.COMMAND):
        return []
    phase = event.phase.value if event.phase else ""
    node = event.node or "–"
    head = (
        Cell(f"{clock(event.time)} ", Tone.QUIET),
        Cell(f"{node:<{width}} "),
        Cell(f"{phase:<9} ", Tone.QUIET),
    )
    found = [line(*head, (event.text, _tone(event)))]
    indent = " " * (9 + width + 1)
    for key in ("evidence", "log"):
        if event.kind is not Kind.ROW and event.data.get(key):
            quoted = str(event.data[key]).splitlines()[-_MOST_LOG_LINES:]
            found += [line(f"{indent}| ", (text, Tone.QUIET)) for text in quoted]
    if event.data.get("advice"):
        found.append(line(f"{indent}-> ", str(event.data["advice"])))
    return found


def journal(events: Iterable[Event], width: int, node: str = "", run: str = "") -> list[Line]:
    """All events, or those about one node or of one run."""
    return [
        text
        for event in events
        if (not node or event.node == node) and (not run or event.run == run)
        for text in lines_of(event, width)
    ]


def short(event: Event, width: int) -> Line:
    """One event on one line of a narrow panel."""
    text = shorten(event.text, width, placeholder="…") if width > 1 else event.text
    return line((f"{clock(event.time)} ", Tone.QUIET), (text, _tone(event)))


def _tone(event: Event) -> Tone:
    if event.kind is Kind.PROBLEM or event.data.get("ok") is False:
        return Tone.BAD
    if event.kind is Kind.ROW:
        result = event.data.get("result")
        tones = {"ok": Tone.QUIET, "warn": Tone.WARN, "wait": Tone.BUSY}
        return tones.get(str(result), Tone.BAD)
    if event.kind is Kind.RUN:
        return Tone.STRONG
    if event.kind is Kind.RESULT and event.data.get("outcome") == "ok":
        return Tone.OK
    return Tone.PLAIN
