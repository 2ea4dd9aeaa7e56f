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


def _in_trial(bench: Bench) -> None:
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
    opened.close()


def _race(bench: Bench) -> dict[str, str | None]:
    """Two processes decide at once; what each of them was told."""
    pipes = {kind: os.pipe() for kind in ("ACCEPT", "ROLLBACK")}
    gate = os.pipe()
    children = []
    for kind, (_, writing) in pipes.items():
        child = os.fork()
        if child == 0:
            try:
                opened = bench.opened()
                os.read(gate[0], 1)
                reason = opened.decide(kind, standing.decision, by=kind, how="drill", why="drill")
                os.write(writing, (reason or "mine").encode())
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
    return {kind: None if said == "mine" else said for kind, said in told.items()}


def test_p03_accept_and_undo_at_the_same_moment_are_one_decision(flat: Bench) -> None:
    """nixos-cli, deploy-rs: both were taken, and each side was told that it had won."""
    for _ in range(ROUNDS):
        _in_trial(flat)
        told = _race(flat)
        opened = flat.opened()
        opened.close()
        kinds = [each["t"] for each in opened.records if each["t"] in ("ACCEPT", "ROLLBACK")]
        assert len(kinds) == 1, kinds
        (winner,) = kinds
        (loser,) = {"ACCEPT", "ROLLBACK"} - {winner}
        assert told == {winner: None, loser: winner}


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
