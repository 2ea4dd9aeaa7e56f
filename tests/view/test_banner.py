"""The first lines: what the cluster is, how much of it serves and was read, and lost contact."""

import pytest
from hypothesis import given, settings

from app.state import Known, Stage, State
from app.view.banner import banner
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit
from backends.domain.states import HealthState, ServiceState, Unreachable
from tests.domain.nodes import awaited, node, silent, upgraded
from tests.support.readings import (
    NOW,
    cluster,
    fallen,
    known,
    outcome,
    picture,
    screens,
    upgrade,
)
from widgets.bar import Split
from widgets.cells import Line, Tone, text_of

LOST = "NO CONTACT"


def first(state: State) -> tuple[Line, Line]:
    verdict = state.verdict()
    top = banner(state, verdict, picture(state).step, NOW)[0]
    assert isinstance(top, Split)
    return top.left, top.right


def words(state: State) -> str:
    return " | ".join(text_of(each) for each in first(state))


def serving(state: State) -> tuple[int, int]:
    """How many serve of how many; none of none where that is not said, as nothing was read."""
    word = next((each for each in text_of(first(state)[1]).split() if "/" in each), "0/0")
    some, _, total = word.partition("/")
    return int(some), int(total)


def serves(reading: NodeReading) -> bool:
    facts = reading.facts
    if reading.unreachable is not None or facts is None:
        return False
    good = (HealthState.HEALTHY, HealthState.SOFT_FAILING, HealthState.NONE)
    return facts.service is ServiceState.STARTED and facts.health in good


@settings(max_examples=100, deadline=None)
@given(screens)
def test_only_what_was_read_serves_and_only_all_is_all(state: State) -> None:
    counted = [each.reading for each in state.known.values() if each.reading.left_out is None]
    some, total = serving(state)
    read = sum(1 for each in counted if each.read)
    assert some == sum(map(serves, counted))
    assert total == len(counted) or not read
    assert ("read" in text_of(first(state)[1])) is (read < len(counted) or not counted)
    if read < len(counted):
        assert f"{read} of {len(counted)}" in text_of(first(state)[1])
    tones = [cell.tone for cell in first(state)[1] if "serving" in cell.text]
    assert not tones or tones == [Tone.PLAIN if some == total else Tone.WARN]


@settings(max_examples=100, deadline=None)
@given(screens)
def test_the_first_line_names_cluster_product_and_verdict(state: State) -> None:
    said = words(state)
    assert state.cluster in said
    assert state.product in said
    assert LOST in said or state.verdict().title() in said
    lines = banner(state, state.verdict(), picture(state).step, NOW)
    assert len(lines) == 3
    assert "Unknown(" not in said


def test_production_stands_out() -> None:
    state = cluster(node("n1"), environment="production")
    cells = first(state)[0]
    assert any(cell.text == "PRODUCTION" and cell.tone is Tone.BAD for cell in cells)
    other = first(cluster(node("n1"), environment="test"))[0]
    assert not any(cell.tone is Tone.BAD for cell in other)


@pytest.mark.parametrize(
    ("service", "health"),
    [
        (ServiceState.UNKNOWN, HealthState.HEALTHY),
        (ServiceState.STOPPED, HealthState.HEALTHY),
        (ServiceState.STARTED, HealthState.UNKNOWN),
        (ServiceState.STARTED, HealthState.FAILING),
    ],
)
def test_what_is_not_known_to_serve_does_not_serve(
    service: ServiceState, health: HealthState
) -> None:
    state = cluster(node("n1"), node("n2", service=service, health=health))
    assert serving(state) == (1, 2)


def test_a_service_that_is_down_is_named() -> None:
    state = cluster(node("n1"), node("n2", service=ServiceState.STOPPED, running=None))
    left = first(state)[0]
    assert any("n2" in cell.text and cell.tone is Tone.BAD for cell in left)


def test_settled_is_only_said_when_all_are_read() -> None:
    assert "SETTLED 4.12" in words(cluster(node("n1"), node("n2")))
    assert "SETTLED" not in words(cluster(node("n1"), silent("n2")))
    assert "SETTLED" not in words(cluster(node("n1"), awaited("n2")))


# --- no contact ---------------------------------------------------------------------------------


def silences(*falls: tuple[float, Unreachable], before: type[object] | None = None) -> list[Known]:
    return [
        fallen(node(f"n{number}"), silent(f"n{number}", why), at)
        for number, (at, why) in enumerate(falls, 1)
    ]


def test_all_that_fall_silent_at_once_are_our_own_link() -> None:
    state = cluster(*silences((900.0, Unreachable.TCP), (904.9, Unreachable.TIMEOUT)))
    said = words(state)
    assert LOST in said
    assert "your link" in said
    assert "1:40 min" in said
    assert "0 of 2 read" in said
    assert serving(state)[0] == 0


@pytest.mark.parametrize(
    "found",
    [
        silences((900.0, Unreachable.TCP)),
        silences((900.0, Unreachable.TCP), (905.1, Unreachable.TCP)),
        silences((900.0, Unreachable.TCP), (901.0, Unreachable.AUTHENTICATION)),
        silences((900.0, Unreachable.TCP), (901.0, Unreachable.HOST_KEY_CHANGED)),
        [*silences((900.0, Unreachable.TCP)), known(node("n2"))],
        [*silences((900.0, Unreachable.TCP)), known(silent("n2"))],
        [*silences((900.0, Unreachable.TCP)), known(awaited("n2"))],
        [known(silent("n1")), known(silent("n2"))],
        [],
    ],
    ids=[
        "one-node",
        "one-after-the-other",
        "login",
        "host-key",
        "one-is-there",
        "one-was-never-read",
        "one-is-asked",
        "never-read",
        "no-node",
    ],
)
def test_anything_else_is_not_said_to_be_our_link(found: list[Known]) -> None:
    assert LOST not in words(cluster(*found))


def test_a_node_that_is_left_out_neither_proves_nor_refutes_a_lost_link() -> None:
    out = known(node("n9", excluded="dead"))
    both = silences((900.0, Unreachable.TCP), (901.0, Unreachable.TCP))
    assert LOST in words(cluster(out, *both))
    assert LOST not in words(cluster(out, both[0]))


def test_contact_that_comes_back_is_not_lost_any_more() -> None:
    one, other = silences((900.0, Unreachable.TCP), (901.0, Unreachable.TCP))
    assert LOST not in words(cluster(one.then(node("n1"), 950.0), other))


def test_a_node_that_was_refused_first_and_silent_later_did_not_fall_with_the_others() -> None:
    first_refused = fallen(node("n1"), silent("n1", Unreachable.AUTHENTICATION), 900.0)
    later = first_refused.then(silent("n1", Unreachable.TCP), 990.0)
    other = fallen(node("n2"), silent("n2"), 901.0)
    assert LOST not in words(cluster(later, other))


@settings(max_examples=100, deadline=None)
@given(screens)
def test_contact_is_never_said_to_be_lost_while_a_node_that_counts_is_read(state: State) -> None:
    if LOST in words(state):
        counted = [each for each in state.known.values() if each.reading.excluded is None]
        assert len(counted) > 1
        assert not any(each.reading.read for each in counted)


# --- a run that ended ---------------------------------------------------------------------------


def test_how_a_run_failed_is_said_beside_what_the_cluster_is() -> None:
    ended = outcome(code=Exit.ROLLED_BACK, text="stopped: n1 rolled back")
    run = upgrade("n1", stage=Stage.OVER, outcome=ended)
    assert "stopped: n1 rolled back" in words(cluster(node("n1"), run=run))
    good = upgrade("n1", stage=Stage.OVER, outcome=outcome(text="n1 on 4.12"))
    assert "n1 on 4.12" not in words(cluster(upgraded("n1"), run=good))
