"""How long the phases of an upgrade took when this product was upgraded here last.

A fact and no promise: it is told with the run that it is from. What a phase may take at most
stands in the plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from backends.domain.states import Phase
from backends.engine.results import Result
from backends.store.book import Book, Entry

_LOOKED_AT = 20
"""Runs: further back nobody remembers what was different then."""

_READ = 3
"""Upgrades of those whose lines are read: a large one has tens of thousands."""

_BY_US: Final = (Phase.STAGE, Phase.CHECK)
"""Timed from begin to end by the operator's clock; the others by what the node's journal says."""

_BY_THE_NODE: Final = {Phase.INSTALL: ("BEGIN", "TRIAL"), Phase.MONITOR: ("TRIAL", "ACCEPT")}


@dataclass(frozen=True, slots=True)
class LastTime:
    """One run that brought nodes to accepted."""

    run: str
    version: str
    nodes: int
    seconds: Mapping[Phase, float]
    """Of the node on which a phase took longest."""

    def words(self) -> str:
        """In one line."""
        took = ", ".join(f"{phase} {each:.1f} s" for phase, each in self.seconds.items())
        of = "on its node" if self.nodes == 1 else f"at the longest on {self.nodes} nodes"
        return f"run {self.run} to {self.version}: {took}, {of}"


def last_time(book: Book, cluster: str, product: str) -> LastTime | None:
    """The newest run of this product on this cluster that has something to say about it."""
    upgrades = (
        run
        for run in book.runs(cluster, _LOOKED_AT)
        if (run.kind, run.product) == ("upgrade", product) and run.ended is not None
    )
    for run in islice(upgrades, _READ):
        entries = book.entries(run.id)
        accepted = _accepted(entries)
        seconds = _longest(entries, accepted)
        if seconds:
            return LastTime(run.id, run.version or "", len(accepted), seconds)
    return None


def _accepted(entries: Iterable[Entry]) -> frozenset[str]:
    """The nodes that the run itself has brought to accepted: what went wrong says nothing.

    What another version of this program has written otherwise says nothing, either.
    """
    ends = [entry.data.get("nodes") for entry in entries if "exit" in entry.data]
    last = ends[-1] if ends and isinstance(ends[-1], list) else []
    results = [(each.get("node"), each.get("result")) for each in last if isinstance(each, dict)]
    return frozenset(str(node) for node, result in results if result == Result.ACCEPTED)


def _longest(entries: Sequence[Entry], nodes: frozenset[str]) -> dict[Phase, float]:
    began: dict[tuple[str, Phase], float] = {}
    found: dict[Phase, float] = {}

    def ends(node: str, phase: Phase, at: float) -> None:
        start = began.pop((node, phase), None)
        if start is not None and at >= start:  # a clock may have been set meanwhile
            found[phase] = max(found.get(phase, 0.0), at - start)

    for entry in entries:
        if entry.node not in nodes:
            continue
        record = entry.data.get("record")
        for phase, (first, last) in _BY_THE_NODE.items():
            if record == last:
                ends(entry.node, phase, entry.time)
            if record == first:
                began[entry.node, phase] = entry.time
        for phase in _BY_US:
            if entry.phase == phase and entry.kind == "phase":
                began[entry.node, phase] = entry.time
            elif entry.phase == phase and entry.kind == "result":
                ends(entry.node, phase, entry.time)
    return {phase: found[phase] for phase in Phase if phase in found}
