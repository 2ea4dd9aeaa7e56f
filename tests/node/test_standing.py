"""What a journal means, also one that no upgrade of ours comes to."""

from backends.node import (
    standing,
)


def test_states_and_refusals_that_no_journal_of_ours_comes_to() -> None:
    begun = [{"t": "BEGIN"}]
    trial = [*begun, {"t": "TRIAL", "until": 10.0}]
    assert standing.state([*trial, {"t": "END"}], True) == "idle"
    assert standing.state([*trial, {"t": "FINALIZE"}], True) == "finalizing"
    assert standing.why_not_accept(begun, 1.0, False) == "the new version is not in trial yet"
    healthy = [*trial, {"t": "HEALTHY"}]
    assert standing.why_not_accept([*healthy, {"t": "HELD"}], 99.0, False) is None
    assert standing.why_not_accept([*trial, {"t": "HELD"}], 1.0, False) == "held and not healthy"
    assert standing.why_not_accept(trial, 11.0, False) == "the accept window is over"
    assert standing.why_not_accept(trial, 1.0, False) == "not healthy for long enough yet"
    assert standing.why_not_roll_back([*trial, {"t": "END"}]) == "the transaction is over"
    assert standing.why_not_extend(begun, 1.0) == "the new version is not in trial yet"
    decided = [*trial, {"t": "ACCEPT"}]
    assert standing.why_not_extend(decided, 1.0) == "already decided: ACCEPT"
