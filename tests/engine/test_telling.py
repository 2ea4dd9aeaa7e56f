"""Every record of the node has words for an operator, and a phase."""

from backends.domain.states import Phase
from backends.engine import telling
from backends.node import wire


def test_every_record_type_has_words() -> None:
    assert set(telling._TELLERS) == set(wire.RECORDS)


def test_a_record_of_a_later_version_is_shown_as_it_is() -> None:
    assert telling.tell({"t": "NOVEL", "what": "x", "n": 3}) == "NOVEL what x"


def test_the_words_of_a_node_are_one_clean_line() -> None:
    text = telling.tell({"t": "ROLLBACK", "by": "ann", "why": "a\nb\x1b[31m"})
    assert text == "goes back, decided by ann: a b^[[31m"


def test_undo_and_proof_belong_to_the_rollback() -> None:
    for kind in ("ROLLBACK", "UNDO", "PROOF", "RESTORED", "UNPROVEN"):
        assert telling.phase_of({"t": kind}) is Phase.ROLLBACK
    assert telling.phase_of({"t": "END", "outcome": "undone"}) is Phase.ROLLBACK
    assert telling.phase_of({"t": "END", "outcome": "ok"}) is Phase.FINALIZE
    assert telling.phase_of({"t": "TRIAL"}) is Phase.MONITOR
    assert telling.phase_of({"t": "EFFECT"}) is Phase.INSTALL
