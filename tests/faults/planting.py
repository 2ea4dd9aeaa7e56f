"""Things planted in the child that does a phase, and what came of them; see `Bench.seed`."""

import os
from collections.abc import Callable
from typing import Any

from backends.node import (
    places,
    transaction,
)
from backends.node.journal import Journal
from tests.faults.bench import Bench, run
from tests.faults.oracle import same


def why(bench: Bench) -> str:
    """Why the last transaction went back."""
    return str((places.read_json(bench.places.last) or {"why": ""})["why"])


def goes_back(bench: Bench, plant: Callable[[], Any]) -> str:
    """An install in which something is planted ends with the old version; why."""
    before = bench.product()
    bench.seed = plant
    run(bench, lambda: bench.install("keep_if_healthy"))
    bench.seed = None
    same(bench.product(), before)
    assert bench.running() == bench.before
    return why(bench)


def before(module: Any, name: str, act: Callable[..., Any]) -> Callable[[], None]:
    """Plants something that happens each time before a function is called, with its arguments."""

    def plant() -> None:
        real = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            act(*args, **kwargs)
            return real(*args, **kwargs)

        setattr(module, name, call)

    return plant


def instead(module: Any, name: str, act: Callable[..., Any]) -> Callable[[], None]:
    """Plants something that is called instead of a function."""
    return lambda: setattr(module, name, act)


def decided(bench: Bench, kind: str) -> Callable[..., None]:
    """What another process of ours does: append a decision."""

    def decide(*_: Any) -> None:
        opened = bench.opened()
        opened.decide(kind, lambda records: None, by="ann@jump", how="manual", why="by order")
        opened.close()

    return decide


def watched(bench: Bench, plant: Callable[[], Any], policy: str = "rollback") -> list[str]:
    """An install whose trial is disturbed; the types of its records, and it is at rest."""
    bench.seed = plant
    run(bench, lambda: bench.install(policy))
    bench.seed = None
    opened = transaction.load(bench.places)
    if opened is not None:
        opened.close()
        return [record["t"] for record in opened.records]
    (name,) = os.listdir(bench.places.done)
    book = Journal(os.path.join(bench.places.done, name, "journal"))
    book.close()
    return [record["t"] for record in book.records]


def accept_if_healthy(bench: Bench) -> None:
    opened = bench.opened()
    if any(record["t"] == "HEALTHY" for record in opened.records):
        opened.decide("ACCEPT", by="ann@jump", how="manual")
    opened.close()


def accepted(bench: Bench, plant: Callable[[], Any] | None = None) -> None:
    run(bench, lambda: bench.install("keep_if_healthy"))
    bench.seed = plant


def unproven(bench: Bench, phase: Callable[[], str]) -> str:
    """A phase ends unproven; what is not proven. It can be tried again."""
    run(bench, lambda: "ok" if phase() == "unproven" else "wrong")
    bench.seed = None
    opened = bench.opened()
    opened.close()
    found = [record for record in opened.records if record["t"] == "UNPROVEN"]
    return "; ".join(found[-1]["paths"])
