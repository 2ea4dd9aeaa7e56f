"""The transition table is total and never turns a failure into a success."""

import itertools

import pytest

from backends.domain import states
from backends.domain.policy import OnFailure, Vanished
from backends.domain.states import (
    AT_REST,
    CHANGING,
    LETTERS,
    NEEDS_PERSON,
    OPEN,
    REACH_WORDS,
    STATE_OF,
    TRANSITIONS,
    UNCOUNTED,
    WORDS,
    WORKING,
    HealthState,
    NodeState,
    Outcome,
    Phase,
    ServiceState,
    Unreachable,
    next_state,
)
from backends.node import wire

S, O = NodeState, Outcome  # noqa: E741
PAIRS = set(itertools.product(NodeState, Outcome))


def test_every_state_has_a_successor_for_every_outcome():
    assert set(TRANSITIONS) == PAIRS


def test_the_words_are_those_of_the_wire():
    assert tuple(NodeState) == wire.STATES
    assert tuple(Outcome) == wire.OUTCOMES
    assert tuple(ServiceState) == wire.SERVICE
    assert tuple(HealthState) == wire.HEALTH


def test_the_design_knows_eighteen_states():
    assert len(NodeState) == 18


def test_an_upgrade_goes_through_in_order():
    chain = [S.IDLE, S.STAGED, S.CHECKED, S.MONITORING, S.ACCEPTED, S.IDLE]
    steps = [Phase.PREFLIGHT, Phase.STAGE, Phase.CHECK, Phase.INSTALL, Phase.MONITOR]
    ended = [next_state(STATE_OF[phase], O.OK) for phase in [*steps, Phase.FINALIZE]]
    assert ended == chain


def test_every_phase_has_a_state_of_its_own_and_every_step_a_phase():
    assert set(STATE_OF) == set(Phase)
    assert set(STATE_OF.values()) == WORKING


def test_no_outcome_but_ok_leads_forward():
    forward = {S.STAGED, S.CHECKED, S.MONITORING, S.ACCEPTED}
    for (state, outcome), after in TRANSITIONS.items():
        if outcome is not O.OK and after is not state and after in forward:
            # refused or failed before any effect: the state from which the step began
            assert outcome in (O.REFUSED, O.FAILED)
            assert (state, after) in {
                (S.CHECKING, S.STAGED),
                (S.INSTALLING, S.CHECKED),
                (S.FINALIZING, S.ACCEPTED),
            }


def test_an_unproven_undo_is_inconsistent_wherever_it_happens():
    for state in set(NodeState) - UNCOUNTED:
        assert next_state(state, O.UNPROVEN) is S.INCONSISTENT


def test_a_proven_undo_is_rolled_back_wherever_it_happens():
    for state in set(NodeState) - UNCOUNTED:
        assert next_state(state, O.UNDONE) is S.ROLLED_BACK


def test_rolled_back_is_reached_by_proof_alone():
    reached = {pair for pair, after in TRANSITIONS.items() if after is S.ROLLED_BACK}
    assert {outcome for state, outcome in reached if state is not S.ROLLED_BACK} == {
        O.UNDONE,
        O.OK,
    }
    assert {state for state, outcome in reached if outcome is O.OK} == {
        S.ROLLING_BACK,
        S.ROLLED_BACK,
    }


@pytest.mark.parametrize("state", sorted(CHANGING))
@pytest.mark.parametrize("outcome", [O.UNREACHABLE, O.TIMED_OUT])
def test_losing_contact_while_changing_claims_nothing(state, outcome):
    assert next_state(state, outcome) is S.UNKNOWN


def test_failed_is_never_said_of_a_node_that_was_changed():
    for (state, _), after in TRANSITIONS.items():
        if after is S.FAILED and state is not S.FAILED:
            assert state not in OPEN or state is S.INSTALLING


def test_what_needs_a_person_is_not_hidden_by_lost_contact_or_healed_by_ok():
    for state in (S.FAILED, S.INCONSISTENT):
        for outcome in (O.OK, O.UNREACHABLE, O.TIMED_OUT, O.REFUSED, O.FAILED):
            assert next_state(state, outcome) is state


def test_only_a_reading_makes_an_unknown_node_known():
    assert {next_state(S.UNKNOWN, outcome) for outcome in Outcome} == {
        S.UNKNOWN,
        S.ROLLED_BACK,
        S.INCONSISTENT,
    }


@pytest.mark.parametrize("state", sorted(UNCOUNTED))
def test_no_outcome_brings_a_node_back_in(state):
    assert {next_state(state, outcome) for outcome in Outcome} == {state}


def test_a_refusal_changes_nothing():
    for state in AT_REST | {S.UNKNOWN}:
        assert next_state(state, O.REFUSED) is state


def test_a_trial_that_fails_without_undo_waits_for_a_person():
    assert next_state(S.MONITORING, O.FAILED) is S.HELD
    assert next_state(S.HELD, O.OK) is S.ACCEPTED


def test_every_state_works_rests_or_is_unknown():
    assert WORKING | AT_REST | {S.UNKNOWN} == set(NodeState)
    assert not WORKING & AT_REST
    assert S.UNKNOWN not in WORKING | AT_REST
    assert CHANGING < WORKING
    assert CHANGING < OPEN
    assert NEEDS_PERSON | UNCOUNTED <= AT_REST


def test_every_state_has_a_mark_of_its_own_and_words():
    assert set(LETTERS) == set(WORDS) == set(NodeState)
    assert len(set(LETTERS.values())) == len(NodeState)
    assert len(set(WORDS.values())) == len(NodeState)
    assert all(len(mark) == 1 and "!" <= mark <= "~" for mark in LETTERS.values())
    assert all(0 < len(words) <= 40 for words in WORDS.values())


def test_every_cause_of_silence_has_words():
    assert set(REACH_WORDS) == set(Unreachable)
    assert len(set(REACH_WORDS.values())) == len(Unreachable)


def test_the_words_for_waiting_are_those_of_the_design():
    assert list(Vanished) == ["rollback", "hold", "keep_if_healthy"]
    assert list(OnFailure) == ["rollback", "hold"]


def test_a_table_with_a_missing_cell_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        states._read("state ok refused\nidle =\n")
