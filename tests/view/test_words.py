"""Words that several parts share: commands become keys, times and sizes are told truly."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.allowed import acceptable, may
from app.picture import Picture
from app.view.words import (
    NONE,
    PHASE_WORDS,
    SEVERITY,
    TONES,
    UNREAD,
    clock,
    count,
    day_and_clock,
    fact,
    keyed,
    local_time,
    mark,
    part,
    size,
    span,
    state_of,
)
from backends.domain.facts import Finalized, NodeReading, VersionRef
from backends.domain.states import LETTERS, NodeState, Unreachable
from backends.domain.verdict import decide
from tests.domain.nodes import LOST, facts, node, upgraded
from tests.support.readings import cluster, picture, readings
from widgets.cells import Tone, text_of

_COMMANDS = {"upgrade": "u", "rollback": "R", "finalize": "F", "adopt": "A", "accept": "a"}


def back_again(text: str, called: str) -> str:
    """What `keyed` has done, taken back: key and command become the command line again."""
    for command, key in _COMMANDS.items():
        text = re.sub(
            rf"(?<![a-z]){key} \({command}( -n [^)]*)?\)",
            lambda found, command=command: f"liftlock {command} {called}{found[1] or ''}",
            text,
        )
    return text


@pytest.mark.parametrize("called", ["harbor", "./ha.r+bor.toml", "/etc/lift lock/h.toml"])
@settings(max_examples=100, deadline=None)
@given(readings)
def test_every_command_with_a_key_is_replaced_and_all_else_is_kept(
    called: str, found: list[NodeReading]
) -> None:
    verdict = decide(found, called)
    for text in (verdict.next_action, verdict.way_back, verdict.cause):
        shown = keyed(text, called)
        for command in _COMMANDS:
            assert f"liftlock {command} " not in shown
        for command in ("doctor", "trust", "clean"):
            words = f"liftlock {command} {called}"
            assert shown.count(words) == text.count(words)
        assert back_again(shown, called) == text.replace(f"{called} RELEASE", called)


def test_a_text_without_a_command_is_left_as_it_is() -> None:
    text = "wait for n1: liftlock is patient, finalize harbor later (F)"
    assert keyed(text, "harbor") == text


def test_the_command_of_another_cluster_is_left_as_it_is() -> None:
    text = "liftlock finalize harbor2, liftlock finalize harbor.toml; liftlock finalize other"
    assert keyed(text, "harbor") == text


def picture_of(*found: NodeReading) -> Picture:
    return picture(cluster(*found))


def keys_of(text: str) -> set[str]:
    return {key for command, key in _COMMANDS.items() if f"{key} ({command}" in text}


def test_a_key_in_the_strip_can_be_pressed_when_all_have_accepted() -> None:
    picture = picture_of(upgraded("n1"), upgraded("n2"))
    assert keys_of(keyed(picture.verdict.next_action, "harbor")) == {"F"}
    assert may("finalize", picture, "") is True


FINAL_BEFORE = Finalized("4.11", "1101-aaa")


@pytest.mark.parametrize(
    "found",
    [
        [node("n1"), node("n2", finalized=FINAL_BEFORE, previous=VersionRef("4.11"))],
        [node("n1"), node("n2", finalized=None)],
    ],
    ids=["not-open", "partly-managed"],
)
def test_a_key_is_only_named_where_the_act_is_possible(found: list[NodeReading]) -> None:
    picture = picture_of(*found)
    for key in keys_of(text_of(picture.step.words)):
        action = {"F": "finalize", "A": "adopt"}.get(key)
        assert action is None or may(action, picture, "") is True, picture.verdict.next_action


def test_a_held_node_that_the_strip_names_can_be_accepted() -> None:
    held = upgraded("n2", state=NodeState.HELD)
    state = cluster(upgraded("n1"), held)
    text = keyed(decide([upgraded("n1"), held], "harbor").next_action, "harbor")
    assert {"a", "R"} <= keys_of(text)
    assert acceptable(state, "n2")
    assert not acceptable(state, "n1")
    assert not acceptable(state, "")
    assert not acceptable(state, "n9")


# --- states and facts ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", NodeState)
def test_every_state_has_a_letter_a_word_a_tone_and_a_rank(state: NodeState) -> None:
    cell = mark(state)
    assert cell.text == LETTERS[state]
    assert PHASE_WORDS[state]
    assert cell.tone is TONES[state]
    assert SEVERITY.count(state) == 1


def test_no_two_states_share_a_letter() -> None:
    assert len({mark(state).text for state in NodeState}) == len(NodeState)


@pytest.mark.parametrize(
    "state",
    [each for each in NodeState if each is not NodeState.ACCEPTED],
)
def test_only_accepted_looks_like_success(state: NodeState) -> None:
    assert TONES[state] is not Tone.OK


@pytest.mark.parametrize("state", NodeState)
def test_a_silent_node_is_unknown_whatever_it_said_last(state: NodeState) -> None:
    silent = node("n1", state=state, unreachable=Unreachable.TIMEOUT)
    assert state_of(silent) is NodeState.UNKNOWN
    assert state_of(NodeReading("n1")) is NodeState.UNKNOWN
    assert state_of(NodeReading("n1", facts=facts("n1"), excluded="dead")) is NodeState.EXCLUDED


@pytest.mark.parametrize(("value", "text"), [(LOST, UNREAD), (None, NONE), ("4.12", "4.12")])
def test_unknown_and_none_are_told_apart(value: object, text: str) -> None:
    assert fact(value) == text  # type: ignore[arg-type]
    assert UNREAD != NONE


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (247, "4:07 min"),
        (3599, "59:59 min"),
        (3600, "1 h"),
        (14 * 3600, "14 h"),
        (2 * 86400 - 1, "47 h"),
        (2 * 86400, "2 days"),
        (5 * 86400 + 5, "5 days"),
    ],
)
def test_a_span_has_a_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_longer_span_never_reads_as_a_shorter_one(one: int, other: int) -> None:
    def read(text: str) -> int:
        number, unit = text.split()
        minutes, _, rest = number.partition(":")
        if unit == "min":
            return int(minutes) * 60 + int(rest)
        return int(number) * {"s": 1, "h": 3600, "days": 86400}[unit]

    if one <= other:
        assert read(span(one)) <= read(span(other))
    assert read(span(one)) <= one


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (7_200_000, "7.2 MB"),
        (2_500_000_000, "2.5 GB"),
        (2_500_000_000_000, "2500.0 GB"),
    ],
)
def test_a_size_has_a_unit(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize("number", [999_960, 999_999, 999_999_999])
def test_a_size_just_below_a_unit_is_told_in_the_next_one(number: int) -> None:
    assert not size(number).startswith("1000")


@pytest.mark.parametrize(("number", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes")])
def test_one_is_not_many(number: int, text: str) -> None:
    assert count(number, "node") == text


# --- times --------------------------------------------------------------------------------------

# 2026-03-29 00:59:59 and 01:00:00 UTC: clocks in Berlin go from 01:59:59 to 03:00:00.
_BEFORE_SUMMER = 1_774_745_999.0


def test_a_clock_is_the_operators_own(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    assert clock(_BEFORE_SUMMER) == "01:59:59"
    assert clock(_BEFORE_SUMMER + 1) == "03:00:00"
    zone("America/New_York")
    assert clock(_BEFORE_SUMMER) == "20:59:59"
    zone("Asia/Kathmandu")
    assert clock(_BEFORE_SUMMER) == "06:44:59"


def test_the_same_hour_twice_is_told_apart_by_its_zone(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    first = 1_792_888_200.0  # 2026-10-25 00:30 UTC, 02:30 summer time
    assert clock(first) == clock(first + 3600)
    assert day_and_clock(first) == "2026-10-25 02:30:00 +0200"
    assert day_and_clock(first + 3600) == "2026-10-25 02:30:00 +0100"


def test_a_nodes_time_is_told_where_the_operator_is(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")
    assert local_time("2026-11-20T18:00:00Z") == "2026-11-21 03:00:00 +0900"
    assert local_time("2026-11-20T18:00:00+01:00") == "2026-11-21 02:00:00 +0900"


@pytest.mark.parametrize("text", ["", "yesterday", "02:04 UTC", "2026-13-45T99:00:00Z", "[red]x"])
def test_what_is_no_time_is_shown_as_it_came(text: str) -> None:
    assert local_time(text) == text


@pytest.mark.parametrize(
    ("where", "text"),
    [("Asia/Tokyo", "9999-12-31T23:59:59Z"), ("America/New_York", "0001-01-01T00:00:00Z")],
)
def test_a_time_at_the_end_of_time_does_not_end_the_screen(
    zone: Callable[[str], None], where: str, text: str
) -> None:
    zone(where)
    assert local_time(text)


@pytest.mark.parametrize(
    ("sent", "of", "text"),
    [
        (0, 903, "0/903 B"),
        (903, 903, "903/903 B"),
        (0, 12_500_000, "0.0/12.5 MB"),
        (400_000, 12_500_000, "0.4/12.5 MB"),
        (999_999_999, 999_999_999, "1.0/1.0 GB"),
    ],
)
def test_a_part_is_told_in_the_unit_of_the_whole(sent: int, of: int, text: str) -> None:
    assert part(sent, of) == text
    assert len(part(sent, of)) <= 14
