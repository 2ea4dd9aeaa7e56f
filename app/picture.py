"""Everything that one repaint shows: made once, given to every screen that can be seen."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from app.notebook import Notebook
from app.state import State
from app.view.next_step import NextStep, next_step
from app.view.words import Moment
from backends.domain.facts import NodeReading
from backends.domain.verdict import Verdict
from backends.engine.events import Event


@dataclass(frozen=True)
class Picture:
    """A state at a moment, with what follows from it."""

    state: State
    moment: Moment
    notebook: Notebook
    """The journal."""

    @property
    def events(self) -> Sequence[Event]:
        """Everything that was told, in the order of the telling."""
        return self.notebook.events

    judge: "Judge" = field(default_factory=lambda: Judge())

    @cached_property
    def verdict(self) -> Verdict:
        """What the cluster is."""
        return self.judge.verdict(self.state)

    @cached_property
    def step(self) -> NextStep:
        """What is next."""
        return next_step(self.state, self.verdict, self.moment)

    @cached_property
    def readings(self) -> tuple[NodeReading, ...]:
        """Every node, with its age at this moment."""
        return self.state.readings(self.moment.monotonic)

    @cached_property
    def name_width(self) -> int:
        """Letters of the longest node name."""
        return max((len(name) for name in self.state.known), default=1)


class Judge:
    """Decides what the cluster is once for the same facts: beats only say that they still hold."""

    def __init__(self) -> None:
        self._seen: list[object] = []
        self._verdict: Verdict | None = None

    def verdict(self, state: State) -> Verdict:
        """What the cluster is."""
        seen: list[object] = [
            part
            for reading in state.as_read
            for part in (reading.facts, reading.unreachable, reading.problem, reading.excluded)
        ]
        same = len(seen) == len(self._seen) and all(map(operator.is_, seen, self._seen))
        if self._verdict is None or not same:
            self._seen, self._verdict = seen, state.verdict()
        return self._verdict
