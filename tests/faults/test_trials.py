"""Trials in which somebody decides, or the checks say one thing and then another."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from backends.node import (
    health,
    monitor,
    transaction,
)
from backends.node.journal import AppendFailed
from tests.faults.bench import Bench, run
from tests.faults.ledger import Ledger
from tests.faults.planting import (
    accept_if_healthy,
    before,
    decided,
    instead,
    watched,
    why,
)

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("moment", ["_fail", "_end_of_window"])
def test_p4_what_a_person_accepted_the_watcher_never_takes_back(flat: Bench, moment: str) -> None:
    """Accepted while the watcher looks: its look may take seconds, and ends with a bad word."""

    def plant() -> None:
        before(monitor, moment, decided(flat, "ACCEPT"))()
        if moment == "_fail":
            monitor._look = lambda opened, trial: "it answers no more"

    flat.seed = plant
    run(flat, lambda: flat.install("rollback"))
    assert (flat.decision(), flat.running()) == ("ACCEPT", "2.0")
    assert "ROLLBACK" not in [record["t"] for record in flat.opened().records]


def test_p5_a_full_disk_at_the_end_of_a_window_is_no_acceptance(flat: Bench) -> None:
    def full(self: Any, kind: str, *_: Any, **__: Any) -> None:
        if kind == "ACCEPT":
            raise AppendFailed("no space")
        return real(self, kind, *_, **__)

    real = transaction.Transaction.decide
    kinds = watched(flat, instead(transaction.Transaction, "decide", full), "keep_if_healthy")
    assert "ACCEPT" not in kinds
    assert (flat.running(), why(flat)) == ("1.0", "no space")


def test_a_person_who_goes_back_at_the_end_of_the_window_was_first(flat: Bench) -> None:
    plant = before(monitor, "_end_of_window", decided(flat, "ROLLBACK"))
    assert watched(flat, plant, "keep_if_healthy").count("ROLLBACK") == 1
    assert (flat.running(), why(flat)) == ("1.0", "by order")


@pytest.mark.parametrize(("kind", "version"), [("ROLLBACK", "1.0"), ("ACCEPT", "2.0")])
def test_a_person_who_decides_before_it_is_held_was_first(
    flat: Bench, kind: str, version: str
) -> None:
    kinds = watched(flat, before(monitor, "_hold", decided(flat, kind)), "hold")
    assert "HELD" not in kinds
    assert flat.running() == version


def test_what_is_held_is_not_watched(flat: Bench) -> None:
    flat.seed = None
    run(flat, lambda: "ok" if flat.install("hold") == "held" else "wrong")
    run(flat, lambda: "ok" if monitor.watch(flat.opened()) == "held" else "wrong")
    assert flat.running() == "2.0"


def looks(bench: Bench, level: str, answer: Callable[[int], bool], **limits: float) -> list[str]:
    """A trial of which each look finds this; accepted as soon as it is called healthy."""
    bench.document["limits"].update(accept_window=20.0, healthy_deadline=10.0, **limits)

    def plant() -> None:
        count = [0]

        def run_all(*_: Any, kinds: Any = None) -> list[health.Check]:
            if kinds:
                return []  # between two looks, status files are read
            count[0] += 1
            return [health.Check("one", level, answer(count[0]), "as told")]

        monitor.health.run_all = run_all
        before(monitor.time, "sleep", lambda seconds: accept_if_healthy(bench))()

    return watched(bench, plant)


def test_what_is_healthy_and_fails_again_and_again_goes_back(flat: Bench) -> None:
    looks(flat, "hard", lambda number: number % 2 == 1, min_healthy=60.0, max_flaps=2)
    assert why(flat).startswith("healthy and failing 3 times; one: as told")


def test_b25_a_soft_check_that_has_just_begun_to_fail_is_waited_for(flat: Bench) -> None:
    flat.document["limits"]["health_poll"] = 0.05
    kinds = looks(flat, "soft", lambda number: number < 3, min_healthy=1.0)
    assert kinds.count("HEALTHY") == 1
    (said,) = (record for record in flat.opened().records if record["t"] == "HEALTHY")
    assert said["soft"] == ["one"]


def test_a_process_that_is_seen_late_was_not_restarted(flat: Bench) -> None:
    def plant() -> None:
        real, seen = Ledger.identity, [0]

        def identity(self: Ledger) -> str | None:
            seen[0] += 1
            return real(self) if seen[0] > 8 else None

        before(monitor, "watch", lambda opened: setattr(Ledger, "identity", identity))()
        before(monitor.time, "sleep", lambda seconds: accept_if_healthy(flat))()

    flat.document["limits"].update(accept_window=20.0, healthy_deadline=10.0)
    kinds = watched(flat, plant)
    assert "RESTART" not in kinds
    assert "ACCEPT" in kinds


def test_b11_a_status_file_is_read_between_two_looks(flat: Bench) -> None:
    """The next look is an hour away; the file says after a moment that it is installed."""
    path = flat.top / "status.json"
    flat.document["limits"].update(accept_window=30.0, health_poll=3600.0, healthy_deadline=25.0)
    flat.document["health"] = [
        {
            "kind": "status_file",
            "name": "file",
            "level": "hard",
            "path": str(path),
            "package": "beacon",
            "timeout": 1.0,
        }
    ]

    def plant() -> None:
        slept = [0]

        def sleep(seconds: float) -> None:
            slept[0] += 1
            real(0.01)
            if slept[0] == 5:
                state = {"status": 0, "agent_version": "2.0"}
                path.write_text(json.dumps({"package_states": {"beacon": state}}))
            accept_if_healthy(flat)

        real = monitor.time.sleep
        monitor.time.sleep = sleep

    kinds = watched(flat, plant)
    assert kinds.index("CHECK") < kinds.index("HEALTHY") < kinds.index("ACCEPT")
