"""The verdict: the table of the design, and that nothing missing is ever taken for a success."""

import itertools

import pytest
from hypothesis import given, settings

from backends.domain.drift import Drift
from backends.domain.facts import Finalized, NodeReading, Unknown, VersionRef
from backends.domain.problem import Exit, Problem
from backends.domain.states import NodeState, Phase, ServiceState, Unreachable
from backends.domain.survey import survey
from backends.domain.verdict import EXITS, TABLE, Verdict, VerdictKind, decide
from tests.domain.nodes import (
    LOST,
    awaited,
    clusters,
    facts,
    node,
    nothing_there,
    silent,
    transaction,
    upgraded,
)

K = VerdictKind
OLD = Finalized("4.11", "1101-aaa")


def old(name, **other):
    return node(name, "4.11", **other)


def seed(first=None):
    """The fixture of the seed: n3 runs 4.12 and is not finalized on it."""
    return [
        first or node("n1"),
        node("n2"),
        node("n3", finalized=OLD, previous=VersionRef("4.11")),
    ]


def test_n2_the_seeds_cluster_is_upgrading_because_of_n3():
    verdict = decide(seed())
    assert verdict.kind is K.UPGRADING
    assert (verdict.from_version, verdict.to_version) == ("4.11", "4.12")
    assert verdict.because == ("n3",)
    assert verdict.certain
    assert (verdict.nodes_read, verdict.nodes_total) == (3, 3)
    assert verdict.headline() == "upgrading 4.11 -> 4.12, because n3"
    assert verdict.cause == "n3 is not finalized"
    assert verdict.next_action == "liftlock finalize CLUSTER"
    assert verdict.way_back == (
        "liftlock rollback CLUSTER -n n3: returns n3 to 4.11; n1, n2: none, 4.12 is finalized"
    )
    assert verdict.exit_code() is Exit.WAITING


def test_n5_with_n1_silent_it_is_the_same_verdict_and_not_certain():
    verdict = decide(seed(silent("n1")))
    assert verdict.kind is K.UPGRADING
    assert verdict.because == ("n3",)
    assert not verdict.certain
    assert verdict.headline().endswith("not certain: 2 of 3 read")
    assert verdict.next_action == ("liftlock doctor CLUSTER -n n1; then liftlock finalize CLUSTER")


def test_n5_old_facts_of_a_silent_node_do_not_count():
    stale = node("n1", unreachable=Unreachable.TIMEOUT)
    assert not decide(seed(stale)).certain
    assert decide([stale, node("n2")]).kind is K.UNKNOWN


def test_n3_one_version_finalized_everywhere_is_settled():
    verdict = decide([node("n1"), node("n2")])
    assert verdict.kind is K.SETTLED
    assert (verdict.from_version, verdict.to_version) == (None, "4.12")
    assert verdict.cause == "no upgrade in progress, version 4.12"
    assert verdict.headline() == "settled 4.12"
    assert verdict.way_back == "none: 4.12 is finalized"
    assert verdict.exit_code() is Exit.OK


def test_n4_versions_that_differ_during_an_upgrade_are_upgrading():
    assert decide([upgraded("n1"), old("n2")]).kind is K.UPGRADING


def test_n4_versions_that_differ_without_an_upgrade_are_mixed():
    verdict = decide([node("n1"), node("n2"), old("n3")])
    assert verdict.kind is K.MIXED
    assert verdict.because == ("n3",)
    assert "4.12 on n1, n2; 4.11 on n3" in verdict.cause
    assert verdict.exit_code() is Exit.NEEDS_PERSON


@pytest.mark.parametrize(
    ("reading", "kind"),
    [
        (node("n1"), K.SETTLED),
        (upgraded("n1"), K.READY_TO_FINALIZE),
        (node("n1", finalized=OLD, previous=VersionRef("4.11")), K.UPGRADING),
        (node("n1", finalized=None), K.UNMANAGED),
        (nothing_there("n1"), K.ABSENT),
        (silent("n1"), K.UNKNOWN),
        (awaited("n1"), K.DETERMINING),
    ],
)
def test_n6_one_node_is_a_cluster(reading, kind):
    assert decide([reading]).kind is kind


def test_nothing_read_yet_is_determining_and_then_unknown():
    assert decide([awaited("n1"), silent("n2")]).kind is K.DETERMINING
    verdict = decide([silent("n1"), silent("n2", Unreachable.AUTHENTICATION)])
    assert verdict.kind is K.UNKNOWN
    assert verdict.cause == "n1: no connection; n2: login refused"
    assert verdict.next_action == "liftlock doctor CLUSTER -n n1,n2"
    assert verdict.exit_code() is Exit.UNREACHABLE


def test_an_unknown_host_key_is_answered_by_trust():
    verdict = decide([silent("n1", Unreachable.HOST_KEY_UNKNOWN)], cluster="harbor")
    assert verdict.next_action == "liftlock trust harbor"


def test_a_changed_host_key_is_never_answered_by_trust():
    verdict = decide([silent("n1", Unreachable.HOST_KEY_CHANGED)])
    assert "trust" not in verdict.next_action
    assert "host key changed" in verdict.cause


def test_an_answer_that_is_no_reading_is_told_in_its_own_words():
    verdict = decide([NodeReading("n1", problem=Problem("bad-line", "Half a line came."))])
    assert verdict.kind is K.UNKNOWN
    assert verdict.cause == "n1: Half a line came."


def test_n5_settled_needs_every_node():
    assert decide([node("n1"), awaited("n2")]).kind is K.DETERMINING
    verdict = decide([node("n1"), silent("n2")])
    assert verdict.kind is K.UNKNOWN
    assert not verdict.certain
    assert verdict.cause == "n2: no connection; 4.12 as far as read"
    assert "1 of 2 read" in verdict.headline()


@pytest.mark.parametrize("lost", ["running", "selected", "finalized"])
def test_n5_a_marker_that_could_not_be_read_is_not_a_finalized_one(lost):
    verdict = decide([node("n1"), node("n2", **{lost: LOST})])
    assert verdict.kind is K.UNKNOWN
    assert not verdict.certain
    assert f"n2: {lost} could not be read (permission denied)" in verdict.cause


@pytest.mark.parametrize("other", [silent("n2"), awaited("n2")])
def test_absent_and_unmanaged_need_every_node(other):
    assert decide([nothing_there("n1"), other]).kind in (K.DETERMINING, K.UNKNOWN)
    assert decide([node("n1", finalized=None), other]).kind in (K.DETERMINING, K.UNKNOWN)


def test_a_difference_is_not_called_mixed_before_all_have_answered():
    assert decide([node("n1"), old("n2"), awaited("n3")]).kind is K.DETERMINING
    verdict = decide([node("n1"), old("n2"), silent("n3")])
    assert verdict.kind is K.MIXED
    assert not verdict.certain


def test_excluded_and_disabled_nodes_are_named_and_do_not_count():
    verdict = decide(
        [
            node("n1"),
            old("n2", excluded="INC-77"),
            NodeReading("n3", unreachable=Unreachable.TCP, excluded="disk dead"),
            node("n4", "4.10", state=NodeState.DISABLED),
        ]
    )
    assert verdict.kind is K.SETTLED
    assert verdict.certain
    assert verdict.nodes_total == 1
    assert verdict.excluded == (
        ("n2", "INC-77"),
        ("n3", "disk dead"),
        ("n4", "disabled: marker file on the node"),
    )


@pytest.mark.parametrize("readings", [[], [node("n1", excluded="INC-77")]])
def test_a_cluster_in_which_no_node_counts_is_unknown(readings):
    verdict = decide(readings)
    assert verdict.kind is K.UNKNOWN
    assert not verdict.certain
    assert verdict.exit_code() is Exit.UNREACHABLE
    assert verdict.headline() == "unknown"


def test_an_inconsistent_node_outranks_everything():
    broken = upgraded("n2", state=NodeState.INCONSISTENT)
    verdict = decide([upgraded("n1", state=NodeState.ROLLING_BACK), broken, awaited("n3")])
    assert verdict.kind is K.INCONSISTENT
    assert verdict.because == ("n2",)
    assert "backups are kept" in verdict.way_back
    assert verdict.exit_code() is Exit.NEEDS_PERSON


def test_an_interrupted_node_is_recovered_first():
    left = upgraded(
        "n2", state=NodeState.INCONSISTENT, transaction=transaction(driver_alive=False)
    )
    verdict = decide([left])
    assert "nobody drives run 1120-k7f to 4.12" in verdict.cause
    assert "brings n2 back to rest" in verdict.next_action


@pytest.mark.parametrize(
    "reading",
    [
        upgraded("n2", state=NodeState.ROLLING_BACK, transaction=None),
        upgraded("n2", transaction=transaction(phase=Phase.ROLLBACK)),
    ],
)
def test_rolling_back_leads_from_the_new_version_to_the_old(reading):
    verdict = decide([node("n1"), reading])
    assert verdict.kind is K.ROLLING_BACK
    assert verdict.headline() == "rolling back 4.12 -> 4.11, because n2"
    assert verdict.way_back == "under way: returns n2 to 4.11"
    assert verdict.exit_code() is Exit.WAITING


def test_rolling_back_a_first_install_leads_to_nothing():
    verdict = decide([upgraded("n1", back=None, state=NodeState.ROLLING_BACK)])
    assert verdict.headline() == "rolling back 4.12 -> nothing, because n1"


def test_a_failed_node_is_tried_again_and_the_others_can_go_back():
    problem = Problem("disk-full", "The disk is full.")
    verdict = decide(
        [upgraded("n1"), old("n2", state=NodeState.FAILED, problem=problem), old("n3")]
    )
    assert verdict.kind is K.FAILED
    assert verdict.cause == "n2 failed: The disk is full."
    assert verdict.headline() == "failed 4.11 -> 4.12, because n2"
    assert verdict.next_action == "liftlock upgrade CLUSTER RELEASE tries n2 again"
    assert verdict.way_back == "liftlock rollback CLUSTER: returns n1 to 4.11"
    assert verdict.exit_code() is Exit.NEEDS_PERSON


def test_a_cluster_on_which_nothing_was_changed_needs_no_way_back():
    verdict = decide([old("n1", state=NodeState.FAILED), old("n2")])
    assert verdict.way_back == "none needed: nothing was changed"
    assert verdict.headline() == "failed, because n1"


def test_a_held_node_waits_for_a_person_who_may_keep_it():
    verdict = decide([upgraded("n1", state=NodeState.HELD), old("n2")])
    assert verdict.kind is K.FAILED
    assert verdict.next_action == (
        "liftlock accept CLUSTER n1 --reason WHY keeps 4.12, "
        "liftlock rollback CLUSTER -n n1 does not"
    )


def test_all_accepted_is_ready_to_finalize():
    verdict = decide([upgraded("n1"), upgraded("n2")])
    assert verdict.kind is K.READY_TO_FINALIZE
    assert verdict.headline() == "ready to finalize 4.11 -> 4.12"
    assert verdict.next_action == "liftlock finalize CLUSTER"
    assert verdict.way_back == "liftlock rollback CLUSTER: returns n1, n2 to 4.11"
    assert verdict.exit_code() is Exit.WAITING


@pytest.mark.parametrize(
    "other",
    [
        silent("n2"),
        awaited("n2"),
        node("n2"),
        old("n2"),
        upgraded("n2", to="4.13"),
        upgraded("n2", state=NodeState.MONITORING),
        upgraded("n2", finalized=Finalized("4.12", "1120-k7f")),
        upgraded("n2", finalized=LOST),
        upgraded("n2", running=LOST),
        upgraded("n2", selected="4.11"),
        upgraded("n2", transaction=transaction(to="4.13")),
    ],
)
def test_ready_to_finalize_needs_every_node_on_the_same_version_and_none_final(other):
    assert decide([upgraded("n1"), other]).kind is K.UPGRADING


def test_the_same_version_installed_again_can_be_finalized_again():
    again = upgraded("n1", back="4.12", finalized=Finalized("4.12", "1101-aaa"))
    assert decide([again]).kind is K.READY_TO_FINALIZE


def test_different_ways_back_are_all_named():
    verdict = decide([upgraded("n1", back="4.10"), upgraded("n2"), upgraded("n3")])
    assert verdict.way_back == (
        "liftlock rollback CLUSTER: returns n1 to 4.10, returns n2, n3 to 4.11"
    )


def test_a_first_install_is_an_upgrade_from_nothing():
    verdict = decide([upgraded("n1", back=None), nothing_there("n2")])
    assert verdict.kind is K.UPGRADING
    assert (verdict.from_version, verdict.to_version) == (None, "4.12")
    assert verdict.headline() == "installing 4.12 (first install), because n1"
    assert verdict.next_action == (
        "liftlock upgrade CLUSTER RELEASE: the upgrade to 4.12 goes on with n2"
    )
    assert verdict.way_back == "liftlock rollback CLUSTER: removes 4.12 from n1"


def test_what_lies_staged_is_said_of_a_settled_cluster():
    verdict = decide([node("n1", staged=("4.13",)), node("n2")])
    assert verdict.kind is K.SETTLED
    assert verdict.cause == "no upgrade in progress, version 4.12; 4.13 is staged on n1"
    assert "liftlock clean CLUSTER" in verdict.next_action


def test_an_upgrade_goes_on_with_the_nodes_that_are_behind():
    verdict = decide([upgraded("n1"), old("n2"), old("n3")], cluster="harbor")
    assert verdict.next_action == (
        "liftlock upgrade harbor RELEASE: the upgrade to 4.12 goes on with n2, n3"
    )
    assert verdict.way_back == "liftlock rollback harbor: returns n1 to 4.11"


def test_a_node_in_trial_says_when_it_decides():
    trial = transaction(decides_at_seconds=542.4, then="rollback")
    verdict = decide([upgraded("n1", state=NodeState.MONITORING, transaction=trial), old("n2")])
    assert verdict.cause == "n1 is in trial"
    assert (
        verdict.next_action
        == "wait for n1; n1 decides by itself within 542 s: rollback, unless it is accepted"
    )


def test_a_half_finalized_cluster_is_still_upgrading():
    verdict = decide([node("n1"), upgraded("n2")])
    assert verdict.kind is K.UPGRADING
    assert verdict.because == ("n2",)
    assert verdict.next_action == "liftlock finalize CLUSTER"


def test_a_node_that_is_being_finalized_has_no_way_back():
    verdict = decide([upgraded("n1", state=NodeState.FINALIZING), upgraded("n2")])
    assert verdict.way_back == (
        "liftlock rollback CLUSTER -n n2: returns n2 to 4.11; n1: none, finalize has begun"
    )


def test_an_unread_marker_is_told_during_an_upgrade():
    verdict = decide([node("n1", finalized=LOST, previous=VersionRef("4.11"))])
    assert verdict.kind is K.UPGRADING
    assert verdict.cause == (
        "n1 is not finalized; n1: finalized could not be read (permission denied)"
    )


def test_an_unread_previous_version_is_not_taken_for_a_first_install():
    verdict = decide([upgraded("n1", previous=LOST, transaction=None), old("n2")])
    assert isinstance(verdict.from_version, Unknown)
    assert verdict.headline() == "upgrading unknown -> 4.12, because n1"
    assert "could not be read: permission denied" in verdict.way_back


def test_two_targets_at_once_are_named():
    assert (
        "to several versions: 4.12, 4.13" in decide([upgraded("n1"), upgraded("n2", "4.13")]).cause
    )


def test_unmanaged_is_adopted():
    verdict = decide([node("n1", finalized=None), node("n2", finalized=None)])
    assert verdict.kind is K.UNMANAGED
    assert (verdict.from_version, verdict.to_version) == (None, "4.12")
    assert verdict.headline() == "unmanaged 4.12, because n1, n2"
    assert verdict.next_action == "liftlock adopt CLUSTER"
    assert verdict.exit_code() is Exit.WAITING


def test_absent_is_installed():
    verdict = decide([nothing_there("n1", staged=("4.12",)), nothing_there("n2")])
    assert verdict.kind is K.ABSENT
    assert verdict.next_action == "liftlock upgrade CLUSTER RELEASE installs it"
    assert verdict.down == ()
    assert verdict.exit_code() is Exit.WAITING


def test_a_service_that_is_down_needs_a_person_though_the_version_is_settled():
    down = node("n2", running=None, service=ServiceState.STOPPED)
    verdict = decide([node("n1"), down])
    assert verdict.kind is K.SETTLED
    assert verdict.down == ("n2",)
    assert verdict.headline() == "settled 4.12; down: n2"
    assert verdict.next_action == "start the service on n2"
    assert verdict.exit_code() is Exit.NEEDS_PERSON


def test_what_has_drifted_needs_a_person_though_the_version_is_settled():
    found = Drift("4.12", 9, changed=("bin/beacon",), missing=("lib/a", "lib/b"), count=3)
    whole = Drift("4.12", 9)
    verdict = decide([node("n1", drift=whole), node("n2", drift=found), node("n3")], "harbor")
    assert verdict.kind is K.SETTLED
    assert verdict.drifted == ("n2",)
    assert verdict.headline() == "settled 4.12; drifted: n2"
    assert "n2 has drifted: changed bin/beacon; missing lib/a, lib/b" in verdict.cause
    assert verdict.next_action.startswith("liftlock verify harbor -n n2 says what differs")
    assert "liftlock upgrade harbor RELEASE -n n2 --reinstall WHY" in verdict.next_action
    assert verdict.exit_code() is Exit.NEEDS_PERSON


def test_what_nobody_has_looked_at_has_not_drifted():
    for unseen in (None, Unknown("n1: Input/output error")):
        verdict = decide([node("n1", drift=unseen)])
        assert verdict.drifted == ()
        assert verdict.exit_code() is Exit.OK


def test_the_words_of_drift_count_what_they_do_not_name():
    paths = tuple(f"f{number}" for number in range(20))
    assert Drift("1", 99, changed=paths, count=42).in_words() == "changed f0, f1, f2; 39 more"


def test_nothing_is_finalized_before_what_is_down_is_restarted():
    verdict = decide([upgraded("n1"), upgraded("n2", service=ServiceState.STOPPED)])
    assert verdict.kind is K.READY_TO_FINALIZE
    assert verdict.next_action == ("start the service on n2; then liftlock finalize CLUSTER")
    assert verdict.exit_code() is Exit.NEEDS_PERSON


@pytest.mark.parametrize(
    ("odd", "cause", "action"),
    [
        (
            node("n3", "4.13", finalized=Finalized("4.12", "r")),
            "changed by hand: n3 runs 4.13, 4.12 is finalized, nothing recorded",
            "liftlock adopt CLUSTER -n n3 records what runs",
        ),
        (
            node("n3", "4.13", finalized=None),
            "partly managed: n3 has no finalized record",
            "liftlock adopt CLUSTER -n n3",
        ),
        (
            nothing_there("n3"),
            "replaced node: n3 has nothing of the product",
            "liftlock upgrade CLUSTER RELEASE -n n3 installs it",
        ),
        (
            node("n3", selected="4.13"),
            "changed by hand: n3: 4.12 is to be, the next start runs 4.13",
            "look at the files by hand: liftlock doctor CLUSTER -n n3",
        ),
        (
            node("n3", running=None, selected=None, service=ServiceState.STOPPED),
            "changed by hand: n3: 4.12 is finalized and no longer there",
            "look at the files by hand: liftlock doctor CLUSTER -n n3",
        ),
        (
            node("n3", running=None),
            "what was read contradicts itself on n3",
            "look at the files by hand: liftlock doctor CLUSTER -n n3",
        ),
    ],
)
def test_the_cause_of_mixed_names_what_somebody_did(odd, cause, action):
    verdict = decide([node("n1"), node("n2"), odd])
    assert verdict.kind is K.MIXED
    assert cause in verdict.cause
    assert verdict.because == ("n3",)
    assert verdict.next_action == action


def test_a_pointer_that_was_set_back_by_hand_is_no_upgrade():
    back = node("n1", "4.11", finalized=Finalized("4.12", "r"), previous=VersionRef("4.11"))
    assert decide([back]).kind is K.MIXED


def test_a_rolled_back_node_counts_as_idle():
    assert decide([old("n1", state=NodeState.ROLLED_BACK), old("n2")]).kind is K.SETTLED


def test_many_nodes_are_counted_not_listed():
    readings = [upgraded(f"n{number}", state=NodeState.HELD) for number in range(1, 21)]
    headline = decide(readings).headline()
    assert headline.endswith("n8 and 12 more")


def test_every_kind_has_an_exit_code_and_a_row():
    assert set(EXITS) == set(VerdictKind) == {row.kind for row in TABLE}


@settings(deadline=None, max_examples=400)
@given(clusters)
def test_exactly_one_row_wins_and_it_is_the_first_that_holds(readings):
    seen = survey(readings, "CLUSTER")
    holding = [row for row in TABLE if row.holds(seen)]
    assert holding
    verdict = decide(readings)
    assert verdict.kind is holding[0].kind
    assert isinstance(verdict, Verdict)
    assert verdict.cause
    assert verdict.next_action
    assert verdict.way_back
    assert "\n" not in verdict.headline()


@settings(deadline=None, max_examples=400)
@given(clusters)
def test_each_verdict_keeps_what_it_claims(readings):
    keeps_its_claims(readings)


@pytest.mark.parametrize("state", ["idle", "unknown", "accepted", "monitoring", "rolled_back"])
def test_each_verdict_about_any_second_node_keeps_what_it_claims(state):
    values = ("4.12", "4.11", None, LOST)
    finals = [Finalized(value, "r") if isinstance(value, str) else value for value in values]
    backs = [VersionRef(value) if isinstance(value, str) else value for value in values]
    for running, selected, final, back, service in itertools.product(
        values, values, finals, backs, ServiceState
    ):
        second = node(
            "n2",
            state=NodeState(state),
            running=running,
            selected=selected,
            finalized=final,
            previous=back,
            service=service,
        )
        keeps_its_claims([second])
        keeps_its_claims([node("n1"), second])


def keeps_its_claims(readings):
    verdict = decide(readings)
    counted = [reading for reading in readings if reading.left_out is None]
    found = [reading.facts for reading in counted if reading.read]
    assert verdict.nodes_total == len(counted)
    assert verdict.nodes_read == len(found)
    assert not verdict.certain or len(found) == len(counted) > 0
    assert set(verdict.because) <= {reading.name for reading in counted}
    match verdict.kind:
        case K.SETTLED:
            assert verdict.certain
            for one in found:
                assert one.final_version == one.selected == verdict.to_version
                assert one.running == verdict.to_version or verdict.down
                assert not one.is_open
        case K.READY_TO_FINALIZE:
            assert verdict.certain
            for one in found:
                assert one.state is NodeState.ACCEPTED
                assert one.running == one.selected == verdict.to_version
                assert not isinstance(one.finalized, Unknown)
        case K.UNMANAGED:
            assert verdict.certain
            assert all(one.finalized is None for one in found)
        case K.ABSENT:
            assert verdict.certain
            assert all(one.running is one.selected is one.finalized is None for one in found)
        case K.MIXED:
            assert found
            assert verdict.because
        case K.DETERMINING | K.UNKNOWN:
            assert not verdict.certain
    exit_code = verdict.exit_code()
    well = not verdict.down and not verdict.drifted
    assert (exit_code is Exit.OK) == (verdict.kind is K.SETTLED and well)
    assert exit_code is Exit.NEEDS_PERSON or well


@settings(deadline=None, max_examples=200)
@given(clusters)
def test_a_missing_reading_never_makes_a_verdict_better(readings):
    for reading in readings:
        for gone in (silent(reading.name), awaited(reading.name)):
            kept = [gone if other is reading else other for other in readings]
            assert decide(kept).kind not in (K.SETTLED, K.READY_TO_FINALIZE)
            assert decide(kept).exit_code() is not Exit.OK


@settings(deadline=None, max_examples=200)
@given(clusters)
def test_the_order_of_the_nodes_does_not_change_the_kind(readings):
    assert decide(readings).kind is decide(readings[::-1]).kind


def test_a_thousand_nodes_are_judged_as_one():
    many = [upgraded(f"n{number}") if number % 2 else old(f"n{number}") for number in range(1000)]
    assert decide(many).kind is K.UPGRADING


def test_a_node_is_called_by_its_name_in_the_cluster():
    reading = NodeReading("n1", facts=facts("another-name", finalized=OLD), age_seconds=1.0)
    assert decide([reading]).because == ("n1",)
