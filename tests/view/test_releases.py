"""Releases, the journal and the help: what is known is said, what is not is not made up."""

from collections.abc import Callable

import pytest

from app.between.news import ReleaseFound, Releases
from app.commands import ALL
from app.view import releases
from app.view.help import help_lines
from app.view.journal import journal, lines_of, short
from backends.domain.problem import Problem
from backends.domain.provenance import Provenance
from backends.domain.states import LETTERS, Phase, Unreachable
from backends.engine.events import Kind
from tests.domain.nodes import LOST, node, silent, upgraded
from tests.support.readings import cluster, event, old, record
from widgets.cells import Line, Tone, text_of, width_of
from widgets.grid import Row

VERSION, PRODUCT, BUILT, SIZE, NOTE = range(5)


def found(version: str = "4.12", **other: object) -> ReleaseFound:
    about: dict[str, object] = {
        "path": f"/r/netstack-{version}.tar.gz",
        "version": version,
        "name": "netstack",
        "created": "2026-11-20T18:00:00Z",
        "bytes": 7_200_000,
        "provenance": Provenance("release@example.com", "SHA256:abc"),
    }
    return ReleaseFound(**(about | other))  # type: ignore[arg-type]


def rows(*each: ReleaseFound) -> list[Row]:
    state = cluster(node("n1"), upgraded("n2"), silent("n3"), releases=Releases("/r", each))
    return releases.rows(state)


def test_a_release_says_what_it_is_and_where_it_runs() -> None:
    (row,) = rows(found())
    texts = [cell.text for cell in row.cells]
    assert texts[:4] == ["4.12", "netstack", "2026-11-20 18:00", "7.2 MB"]
    assert "final on n1" in texts[NOTE]
    assert "runs on n2" in texts[NOTE]
    assert "n3" not in texts[NOTE]
    assert row.key == "/r/netstack-4.12.tar.gz"


def test_what_a_silent_node_said_last_is_not_what_it_runs() -> None:
    gone = node("n1", unreachable=Unreachable.TCP)
    (row,) = releases.rows(cluster(gone, releases=Releases("/r", (found(),))))
    assert row.cells[NOTE].text == ""


def test_what_nobody_has_says_nothing() -> None:
    assert rows(found("4.13"))[0].cells[NOTE].text == ""
    unsure = cluster(node("n1", running=LOST, finalized=LOST), releases=Releases("/r", (found(),)))
    assert releases.rows(unsure)[0].cells[NOTE].text == ""


def test_what_cannot_be_used_says_why_in_red() -> None:
    bad = found("x", problem=Problem("release-damaged", "Damaged."), name="", created="", bytes=0)
    (row,) = rows(bad)
    assert row.cells[NOTE].text == "Damaged."
    assert row.cells[NOTE].tone is Tone.BAD
    other = rows(found(name="nats"))[0].cells[NOTE]
    assert "nats" in other.text
    assert other.tone is Tone.WARN


def test_what_nobody_signed_says_so_first() -> None:
    (row,) = rows(found(provenance=Provenance(imported="agent.tar.gz (md5 fits)")))
    note = row.cells[NOTE]
    assert note.text.startswith("NOT SIGNED; imported from agent.tar.gz (md5 fits); final on n1")
    assert note.tone is Tone.WARN


def test_two_releases_of_one_version_are_two_rows() -> None:
    one, other = rows(found(), found(path="/r/again.tar.gz"))
    assert one.key != other.key
    assert releases.rows(cluster(node("n1"))) == []


def test_when_it_was_built_is_told_where_the_operator_is(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")
    assert rows(found())[0].cells[BUILT].text == "2026-11-21 03:00"
    assert rows(found(created="once"))[0].cells[BUILT].text == "once"


def test_a_day_at_the_end_of_time_does_not_end_the_screen(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")
    assert rows(found(created="9999-12-31T23:59:59Z"))


# --- journal ------------------------------------------------------------------------------------


def text(lines: list[Line]) -> str:
    return "\n".join(text_of(each) for each in lines)


def test_an_event_says_when_where_and_what(zone: Callable[[str], None]) -> None:
    zone("Asia/Kathmandu")
    (one,) = lines_of(record("EFFECT", "switched", phase=Phase.INSTALL, at=1_774_745_999.0), 4)
    assert text_of(one).split() == ["06:44:59", "n1", "install", "switched"]


def test_evidence_log_and_advice_stand_below() -> None:
    bad = event(Kind.PROBLEM, "full", evidence="a\nb", advice="make room")
    said = text(lines_of(bad, 2)).splitlines()
    assert len(said) == 4
    assert said[1].endswith("| a")
    assert said[3].endswith("-> make room")
    assert all(each.startswith(" " * 12) for each in said[1:])


def test_a_long_log_is_told_by_its_end() -> None:
    lines = lines_of(
        record("EVIDENCE", phase=Phase.ROLLBACK, log="\n".join(map(str, range(99)))), 2
    )
    assert len(lines) < 30
    assert text_of(lines[-1]).endswith("98")


def test_bytes_on_their_way_are_no_line() -> None:
    assert lines_of(event(Kind.PROGRESS, sent=1, of=2), 2) == []


def test_the_journal_of_a_node_or_a_run_is_only_that() -> None:
    events = [
        event(Kind.PHASE, "one", name="n1"),
        event(Kind.PHASE, "two", name="n2"),
        event(Kind.PHASE, "three", name="n1", run="r2"),
    ]
    assert len(journal(events, 2)) == 3
    assert "two" not in text(journal(events, 2, node="n1"))
    assert text(journal(events, 2, run="r2")).count("\n") == 0
    assert "three" in text(journal(events, 2, run="r2"))


@pytest.mark.parametrize(
    ("data", "tone"),
    [
        ({"kind": Kind.PROBLEM}, Tone.BAD),
        ({"kind": Kind.RECORD, "ok": False}, Tone.BAD),
        ({"kind": Kind.RECORD, "ok": True}, Tone.PLAIN),
        ({"kind": Kind.ROW, "result": "warn"}, Tone.WARN),
        ({"kind": Kind.ROW, "result": "fail"}, Tone.BAD),
        ({"kind": Kind.ROW}, Tone.BAD),
        ({"kind": Kind.RESULT}, Tone.PLAIN),
        ({"kind": Kind.RESULT, "outcome": "ok"}, Tone.OK),
    ],
)
def test_only_what_went_well_looks_well(data: dict[str, object], tone: Tone) -> None:
    kind = data.pop("kind")
    assert lines_of(event(kind, "x", **data), 2)[0][-1].tone is tone  # type: ignore[arg-type]


@pytest.mark.parametrize("nasty", ["\x1b[2J", "[red]x[/]", "漢" * 200, "", "a" * 9999, "\u202ex"])
def test_what_a_node_says_is_inert_in_the_journal(nasty: str) -> None:
    one = event(Kind.PROBLEM, nasty, name="n1", evidence=nasty, advice=nasty, log=nasty)
    for each in lines_of(one, 2):
        assert text_of(each).isprintable()
    for width in (0, 1, 2, 10, 40):
        assert text_of(short(one, width)).isprintable()


def test_a_wide_name_keeps_the_columns() -> None:
    width = 12
    first = lines_of(event(Kind.PHASE, "x", name="n1"), width)[0]
    long = lines_of(event(Kind.PHASE, "x", name="n" * 12), width)[0]
    assert width_of(first) == width_of(long)


def test_an_event_about_the_whole_run_names_no_node() -> None:
    said = text(lines_of(event(Kind.RUN, "run begins", name="", phase=None), 2))
    assert "–" in said
    assert "None" not in said


def test_the_help_names_every_key_and_every_letter() -> None:
    said = [text_of(each) for each in help_lines(ALL)]
    for command in ALL:
        assert any(command.help in each for each in said)
    for letter in LETTERS.values():
        assert any(each.startswith(f"  {letter}  ") for each in said)
    assert old("n1").read
