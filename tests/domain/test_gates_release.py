"""The gate's words about the release: newer, not expired, on an allowed path."""

from dataclasses import replace

import pytest

from backends.domain.gates import ConditionState, Target, before_turn, before_upgrade
from backends.domain.states import HealthState
from backends.domain.versions import Ordering, VersionOrder
from tests.domain.nodes import LOST, node, nothing_there, silent

TARGET = Target(run="r", version="4.12", digest="new", now="2026-11-26T21:00:00Z")
NEWER = "newer than what runs"


def line(readings, target, name):
    gate = before_upgrade(readings, target)
    return next(each for each in gate.conditions if each.name == name)


def blocked(readings, target):
    return [each.name for each in before_upgrade(readings, target).blocking]


def test_r5_a_newer_release_may_come():
    found = line([node("n1", "4.11")], TARGET, NEWER)
    assert (found.state, found.text) == (ConditionState.OK, "4.12 is")
    assert line([nothing_there("n1")], TARGET, NEWER).state is ConditionState.OK


def test_r5_an_older_one_is_refused_and_every_node_named():
    readings = [node("n1", "4.11"), node("n2", "4.13"), node("n3", "5.0")]
    assert blocked(readings, TARGET) == [NEWER]
    found = line(readings, TARGET, NEWER)
    assert found.text == "4.12 is older: n2 runs 4.13, n3 runs 5.0"
    assert "--downgrade REASON" in found.then


def test_r5_somebodys_word_installs_an_older_one_and_it_stays_a_warning():
    meant = replace(TARGET, downgrade="5.0 loses data")
    found = line([node("n1", "5.0")], meant, NEWER)
    assert found.state is ConditionState.WARN
    assert found.text == "DOWNGRADE to 4.12: n1 runs 5.0; because: 5.0 loses data"
    assert line([node("n1", "4.11")], meant, NEWER).state is ConditionState.OK


def test_a_version_that_does_not_order_is_said_and_forbids_nothing():
    as_semver = replace(TARGET, ordering=Ordering(VersionOrder.SEMVER))
    odd = line([node("n2", "_head")], as_semver, NEWER)
    assert odd.state is ConditionState.WARN
    assert "does not order" in odd.text


@pytest.mark.parametrize("reading", [node("n2", running=LOST), silent("n2")])
def test_what_could_not_be_read_is_not_called_older_and_not_newer(reading):
    found = line([node("n1", "4.11"), reading], TARGET, NEWER)
    assert "older" not in found.text


@pytest.mark.parametrize(
    ("expires", "state"),
    [
        ("", ConditionState.OK),
        ("2026-11-26T21:00:01Z", ConditionState.OK),
        ("2026-11-26T21:00:00Z", ConditionState.REFUSED),
        ("2025-01-01T00:00:00Z", ConditionState.REFUSED),
    ],
)
def test_an_expired_release_is_not_begun_with(expires, state):
    found = line([node("n1", "4.11")], replace(TARGET, expires=expires), "release not expired")
    assert found.state is state
    assert found.text


LIST = Ordering(VersionOrder.SEQUENCE, ("4.10", "4.11", "4.12", "4.13"), only_successor=True)


@pytest.mark.parametrize(
    ("version", "allowed"),
    [("4.11", True), ("4.12", True), ("4.10", False), ("4.13", False), ("9", False)],
)
def test_no_version_may_be_left_out_where_the_profile_says_so(version, allowed):
    target = replace(TARGET, ordering=LIST, downgrade="meant")
    found = line([node("n1", version)], target, "path to 4.12")
    assert (found.state is ConditionState.OK) == allowed
    assert allowed or f"n1 is on {version}" in found.text


def test_a_first_install_follows_on_nothing():
    target = replace(TARGET, ordering=LIST)
    assert line([nothing_there("n1")], target, "path to 4.12").state is ConditionState.OK


@pytest.mark.parametrize(
    ("old", "new", "follows"),
    [
        ("9", "10", True),
        ("09", "10", True),
        ("99", "100", True),
        ("0", "1", True),
        ("9" * 5000, "1" + "0" * 5000, True),
        ("9", "11", False),
        ("10", "9", False),
        ("9", "9", False),
        ("9", "x", False),
        ("", "1", False),
        ("\u0663", "4", False),
    ],
)
def test_numbers_follow_however_long_they_are(old, new, follows):
    numbers = Ordering(VersionOrder.INTEGER, only_successor=True)
    assert numbers.is_successor(old, new) == follows
    assert not Ordering(VersionOrder.DEBIAN).is_successor("9", "10")


def test_what_is_installed_again_may_be_sick_and_nobody_else():
    """A repair is not refused for what it is to mend; the others serve, or it does not begin."""
    sick = node("n2", "4.12", health=HealthState.FAILING, health_text="http-1: HTTP 503")
    mends = replace(TARGET, digest="", reinstall="a bit flipped", again=frozenset({"n2"}))
    name = "nodes healthy"
    assert line([node("n1"), sick], TARGET, name).state is ConditionState.REFUSED
    found = line([node("n1"), sick], mends, name)
    assert found.state is ConditionState.WARN
    assert found.text == "1 of 1; n2 installed again: a bit flipped"
    other = node("n3", "4.12", health=HealthState.FAILING, health_text="http-1: HTTP 503")
    assert line([node("n1"), sick, other], mends, name).state is ConditionState.REFUSED


def test_a_reason_to_install_again_excuses_no_upgrade():
    """`--reinstall` beside nodes that come from another version says nothing about those."""
    sick = node("n2", "4.11", health=HealthState.FAILING, health_text="http-1: HTTP 503")
    meant = replace(TARGET, reinstall="a bit flipped", again=frozenset())
    assert line([node("n1", "4.11"), sick], meant, "nodes healthy").state is ConditionState.REFUSED


def others(node_in_turn, readings, target, accepted=()):
    gate = before_turn(node_in_turn, readings, target, accepted=accepted)
    return next(each for each in gate.conditions if each.name == "others healthy")


def test_a_node_that_serves_waits_also_for_those_that_are_to_be_mended():
    sick = node("n2", "4.12", health=HealthState.FAILING)
    mends = replace(TARGET, reinstall="a bit flipped", again=frozenset({"n1", "n2"}))
    readings = [node("n1"), sick, node("n3")]
    assert others("n1", readings, mends).state is ConditionState.WAIT
    assert others("n2", readings, mends).state is ConditionState.OK


def test_of_two_that_are_sick_one_is_mended_first():
    """Who does not serve takes nothing away from anybody."""
    readings = [node(each, "4.12", health=HealthState.FAILING) for each in ("n1", "n2")]
    mends = replace(TARGET, reinstall="a bit flipped", again=frozenset({"n1", "n2"}))
    assert others("n1", readings, mends).state is ConditionState.OK
    assert others("n1", readings, mends, ("n2",)).state is ConditionState.WAIT, "sick once more"


def test_what_was_final_before_is_not_what_was_accepted_in_this_run():
    """Somebody has taken the repair of n1 back: the next one does not begin."""
    mends = replace(TARGET, reinstall="a bit flipped", again=frozenset({"n1", "n2"}))
    gate = before_turn("n2", [node("n1"), node("n2")], mends, accepted=("n1",))
    assert "accepted nodes stay" in [each.name for each in gate.blocking]
