"""The releases that can be chosen, and how each compares with what runs."""

from datetime import datetime

from app.between.news import ReleaseFound
from app.state import State
from app.view.words import NONE, size
from backends.domain.facts import is_value
from backends.domain.verdict import Verdict, VerdictKind
from widgets.cells import Cell, Tone
from widgets.grid import Column, Row

COLUMNS = (
    Column("VERSION", least=7, most=20),
    Column("PRODUCT", least=7, most=16, rank=2),
    Column("BUILT", least=10, most=16, rank=1),
    Column("SIZE", least=6, right=True),
    Column("NOTE", least=4, grows=True),
)


def rows(state: State) -> list[Row]:
    """One row a release, newest first."""
    found = []
    for each in state.releases.found if state.releases else ():
        if each.problem is not None:
            note = Cell(each.problem.summary, Tone.BAD)
        elif each.name != state.product:
            note = Cell(f"of another product: {each.name}", Tone.WARN)
        else:
            note = _note(state, each)
        found.append(
            Row(
                each.path,
                (
                    Cell(each.version, Tone.STRONG),
                    Cell(each.name or NONE, Tone.QUIET),
                    Cell(_day(each.created)),
                    Cell(size(each.bytes) if each.bytes else NONE),
                    note,
                ),
            )
        )
    return found


def likely(state: State, verdict: Verdict) -> str:
    """The release that an open upgrade goes to, or that repairs what has drifted, by its path."""
    found = state.releases.found if state.releases else ()
    if verdict.kind in (VerdictKind.SETTLED, VerdictKind.ABSENT) and not verdict.drifted:
        return ""
    return next((each.path for each in found if each.version == verdict.to_version), "")


def _note(state: State, found: ReleaseFound) -> Cell:
    """On which nodes it is, and how; and whether nobody vouches for it."""
    version, origin = found.version, found.provenance
    said = [] if origin.is_signed else [str(origin)]
    for word, names in (
        ("final on", _on(state, version, final=True)),
        ("runs on", _on(state, version, final=False)),
    ):
        if names:
            said.append(f"{word} {', '.join(names)}")
    return Cell("; ".join(said), Tone.PLAIN if origin.is_signed else Tone.WARN)


def _on(state: State, version: str, *, final: bool) -> list[str]:
    found = []
    for name, known in state.known.items():
        facts = known.reading.facts if known.reading.read else None
        if facts is None:
            continue
        is_final = is_value(facts.final_version) and facts.final_version == version
        runs = is_value(facts.running) and facts.running == version
        if is_final if final else (runs and not is_final):
            found.append(name)
    return found


def _day(created: str) -> str:
    """When it was built, where the operator is."""
    try:
        return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return created or NONE
