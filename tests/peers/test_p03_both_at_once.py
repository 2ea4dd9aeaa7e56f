"""Accept and undo, finalize and undo, at the same moment: one decision, and both are told it."""

import os
import threading
from typing import Any

import pytest

from backends.node import standing, transaction
from tests.faults.bench import Bench, run
from tests.faults.planting import decided
from tests.support.beacon import Beacon
from tests.support.node import Node

ROUNDS = 12


PAIRS: dict[tuple[str, str], tuple[transaction.Objection | None, list[str]]] = {
    ("ACCEPT", "ROLLBACK"): (standing.decision, []),  # as a watcher whose window is over
    ("FINALIZE", "ROLLBACK"): (None, ["ACCEPT"]),  # as two people
}
"""Which two decisions, how they are judged, and what was decided before."""


def _in_trial(bench: Bench, before: list[str]) -> None:
    """Staged, begun, and its driver gone: both may still decide."""
    bench.reset("staged")
    plan = {
        "txn": "r1",
        "run": "r1",
        "product": bench.document,
        "from": bench.previous,
        "to": {"version": "2.0", "digest": bench.new.digest},
        "policy": {},
    }
    opened = transaction.begin(bench.places, plan)
    opened.log("TRIAL", until=1e12, window=60.0, spent=0.0)
    opened.log("HEALTHY", seconds=1.0, soft=[])
    for kind in before:
        assert opened.decide(kind, by="ann", how="drill") is None
    opened.close()


def _race(
    bench: Bench, kinds: tuple[str, ...], objection: transaction.Objection | None
) -> dict[str, str]:
    """Two processes decide at once; what each of them was told, "" for "it is yours"."""
    pipes = {kind: os.pipe() for kind in kinds}
    gate = os.pipe()
    children = []
    for kind, (_, writing) in pipes.items():
        child = os.fork()
        if child == 0:
            try:
                opened = bench.opened()
                os.read(gate[0], 1)
                reason = opened.decide(kind, objection, by=kind, how="drill", why="drill")
                os.write(writing, (reason or "").encode())
            finally:
                os._exit(0)
        children.append(child)
    os.write(gate[1], b"xx")
    for child in children:
        os.waitpid(child, 0)
    told = {}
    for kind, (reading, writing) in pipes.items():
        os.close(writing)
        with os.fdopen(reading) as stream:
            told[kind] = stream.read()
    os.close(gate[0])
    os.close(gate[1])
    return told


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_p03_two_decisions_at_the_same_moment_are_one(flat: Bench, pair: tuple[str, str]) -> None:
    """nixos-cli, deploy-rs: both were taken, and each side was told that it had won."""
    objection, before = PAIRS[pair]
    for turn in range(ROUNDS):
        _in_trial(flat, before)
        told = _race(flat, pair if turn % 2 else pair[::-1], objection)
        opened = flat.opened()
        opened.close()
        decided = [each["t"] for each in opened.records if each["t"] in pair]
        assert len(decided) == 1, decided
        (winner,) = decided
        (loser,) = {*pair} - {winner}
        assert told[winner] == ""
        assert winner in told[loser]


def test_p03_the_watcher_never_takes_back_what_was_accepted_at_the_last_moment(
    flat: Bench,
) -> None:
    """nixos-cli, deploy-rs: the word comes when the undo is decided, and before it is written."""
    from backends.node import rollback

    def plant() -> None:
        real = rollback.decide_and_undo
        accept = decided(flat, "ACCEPT")

        def late(*args: Any, **other: Any) -> str:
            accept()
            return real(*args, **other)

        rollback.decide_and_undo = late

    flat.seed = plant
    run(flat, lambda: flat.install("rollback"))
    assert (flat.decision(), flat.running()) == ("ACCEPT", "2.0")


@pytest.mark.drill
def test_p03_finalize_and_rollback_at_the_same_moment_are_one_decision(node: Node) -> None:
    """nixos-cli, deploy-rs: whole updaters; who came second is refused with what was decided."""
    release = Beacon("2.0")
    node.accepted(release)
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    answers: dict[str, Any] = {}

    def ask(command: str, **args: Any) -> None:
        answers[command] = node.ask(command, run="1120-aaa", **args)

    asked = [
        threading.Thread(target=ask, args=("finalize",), kwargs={"digest": release.digest}),
        threading.Thread(target=ask, args=("rollback",), kwargs={"why": "drill"}),
    ]
    for each in asked:
        each.start()
    for each in asked:
        each.join()
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    records = [each["t"] for each in node.records()]
    (decision,) = [each for each in records if each in ("FINALIZE", "ROLLBACK")]
    won, lost = ("finalize", "rollback") if decision == "FINALIZE" else ("rollback", "finalize")
    assert answers[won].outcome == "ok"
    assert answers[lost].outcome == "refused"
    assert facts["running"] == ("2.0" if won == "finalize" else "1.0")
    assert facts["finalized"]["version"] == facts["running"]
