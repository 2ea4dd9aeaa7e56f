"""One release, two configurations: what the cluster is then, and what may be done about it."""

import dataclasses

import pytest

from backends.domain.conditions import ConditionState, Target
from backends.domain.facts import Finalized, VersionRef
from backends.domain.gates import before_turn, before_upgrade
from backends.domain.states import NodeState
from backends.domain.verdict import VerdictKind as K
from backends.domain.verdict import decide
from tests.domain.nodes import node, silent, transaction, upgraded

RELEASE, FIRST, SECOND = "r" * 64, "1" * 64, "2" * 64
TARGET = Target("1127-abc", "4.12", SECOND, RELEASE)


def final(name, digest=FIRST, packaged=RELEASE, **other):
    """A node that runs 4.12, final with one configuration."""
    return node(name, finalized=Finalized("4.12", "1101-aaa", digest, packaged), **other)


def anew(name, state=NodeState.ACCEPTED, **other):
    """The same node with the second configuration, not final."""
    opened = transaction(
        "4.12",
        "4.12",
        run="1127-abc",
        to_digest=SECOND,
        to_packaged=RELEASE,
        driver_alive=state is not NodeState.ACCEPTED,
    )
    known = {"state": state, "previous": VersionRef("4.12", FIRST), "transaction": opened}
    return final(name, **(known | other))


def test_one_configuration_everywhere_is_settled():
    assert decide([final("n1"), final("n2")]).kind is K.SETTLED
    assert decide([final("n1", SECOND), final("n2", SECOND)]).kind is K.SETTLED


def test_two_of_them_final_are_mixed_and_whose_is_said():
    verdict = decide([final("n1", SECOND), final("n2"), final("n3", SECOND)])
    assert verdict.kind is K.MIXED
    assert verdict.because == ("n2",)
    assert verdict.cause == "other configuration on n2 than on n1, n3"
    assert verdict.next_action == "liftlock upgrade CLUSTER RELEASE brings one everywhere"


def test_what_was_adopted_is_compared_with_nothing():
    """Two nodes never have the same digest then: nobody knows what was shipped."""
    adopted = [final("n1", "a" * 64, ""), final("n2", "b" * 64, ""), final("n3")]
    assert decide(adopted).kind is K.SETTLED


def test_while_answers_are_missing_two_of_them_do_not_agree():
    assert decide([final("n1"), final("n2"), silent("n3")]).kind is K.UNKNOWN
    assert decide([final("n1"), final("n2", SECOND), silent("n3")]).kind is K.MIXED


def test_on_the_way_the_headline_says_that_it_is_the_configuration():
    verdict = decide([anew("n1"), final("n2")])
    assert verdict.kind is K.UPGRADING
    assert verdict.reconfigures
    assert verdict.headline() == "upgrading 4.12, other configuration, because n1"
    assert verdict.next_action == (
        "liftlock upgrade CLUSTER RELEASE: the upgrade to 4.12 goes on with n2"
    )
    assert verdict.way_back == (
        "liftlock rollback CLUSTER: returns n1 to 4.12 as it was configured before"
    )


def test_accepted_everywhere_it_is_ready_and_one_that_was_left_out_is_not():
    ready = decide([anew("n1"), anew("n2")])
    assert ready.kind is K.READY_TO_FINALIZE
    assert ready.title() == "READY TO FINALIZE 4.12, other configuration"
    back = decide([anew("n1", NodeState.ROLLING_BACK)])
    assert back.title() == "ROLLING BACK 4.12 to its configuration before"


def test_installed_again_is_not_called_other_configuration():
    opened = transaction("4.12", "4.12", to_digest=FIRST, to_packaged=RELEASE, driver_alive=False)
    verdict = decide([anew("n1", transaction=opened)])
    assert not verdict.reconfigures
    assert verdict.headline().startswith("ready to finalize 4.12, the same again")


@pytest.mark.parametrize("other", [{"to_digest": ""}, {"from_version": "4.11"}])
def test_what_is_not_known_is_not_called_other_configuration(other):
    opened = transaction("4.12", **({"back": "4.12", "to_digest": SECOND} | other))
    assert not anew("n1", transaction=opened).facts.gets_other_configuration


def condition(gate, name):
    (found,) = (each for each in gate.conditions if each.name == name)
    return found


def test_the_same_release_may_take_its_own_place_and_no_other_may():
    readings = [final("n1"), final("n2", SECOND), node("n3", "4.11")]
    found = condition(before_upgrade(readings, TARGET), "same version, same content")
    assert (found.state, found.text) == (
        ConditionState.OK,
        "n1 gets other configuration of the same release",
    )
    newer = condition(before_upgrade(readings, TARGET), "newer than what runs")
    assert newer.text == "4.12 is; the same version on n1, n2"
    newer = condition(before_upgrade(readings[:2], TARGET), "newer than what runs")
    assert newer.text == "the same version on n1, n2"
    for other in (
        dataclasses.replace(TARGET, packaged="x" * 64),
        dataclasses.replace(TARGET, packaged=""),
    ):
        found = condition(before_upgrade(readings, other), "same version, same content")
        assert found.state is ConditionState.REFUSED
        assert found.text == "n1 has 4.12 with another digest"
    adopted = [final("n1", packaged="")]
    found = condition(before_upgrade(adopted, TARGET), "same version, same content")
    assert found.state is ConditionState.REFUSED


def test_what_went_back_to_the_configuration_before_is_no_longer_accepted():
    """It is on the same version, and was taken back: the next node does not begin."""
    gone = before_turn("n2", [final("n1"), final("n2")], TARGET, accepted=("n1",))
    assert "accepted nodes stay" in [each.name for each in gone.blocking]
    kept = before_turn("n2", [final("n1", SECOND), final("n2")], TARGET, accepted=("n1",))
    assert "accepted nodes stay" not in [each.name for each in kept.blocking]
    open_still = before_turn("n2", [anew("n1"), final("n2")], TARGET, accepted=("n1",))
    assert "accepted nodes stay" not in [each.name for each in open_still.blocking]


def test_a_node_of_another_version_that_goes_there_counts_by_what_it_goes_to():
    opened = transaction("4.12", to_digest=SECOND, to_packaged=RELEASE, driver_alive=False)
    verdict = decide([upgraded("n1", transaction=opened), final("n2")])
    assert verdict.headline() == "upgrading 4.11 -> 4.12, because n1"
    assert "goes on with n2" in verdict.next_action
    there = decide([upgraded("n1", transaction=opened), final("n2", SECOND)])
    assert "goes on" not in there.next_action
    assert "n2: none, 4.12 is finalized" in there.way_back


def test_what_another_origin_goes_back_to_is_not_called_configuration():
    """One verdict is about the course that it names, whatever else is under way."""
    other = upgraded("n1", "4.11", "4.10", NodeState.ROLLING_BACK)
    assert decide([other, anew("n2")]).title() == "ROLLING BACK 4.11 -> 4.10"
    same_again = transaction("4.12", "4.12", to_digest=FIRST, driver_alive=False)
    verdict = decide([anew("n1", transaction=same_again), anew("n2")])
    assert "the same again" in verdict.headline()


def test_two_releases_are_told_apart():
    other = "s" * 64
    readings = [
        node("n1", "4.11", finalized=Finalized("4.11", "r", "a" * 64, other)),
        node("n2", "4.11", finalized=Finalized("4.11", "r", "b" * 64, other)),
        final("n3"),
        final("n4", SECOND),
    ]
    cause = decide(readings).cause
    assert "other configuration on n2 than on n1" in cause
    assert "other configuration on n4 than on n3" in cause


def test_what_is_staged_of_the_same_version_is_said_to_be_its_configuration():
    verdict = decide([final("n1", staged=("4.12",)), final("n2", staged=("4.13",))])
    assert "4.12 with other configuration is staged on n1" in verdict.cause
    assert "4.13 is staged on n2" in verdict.cause
