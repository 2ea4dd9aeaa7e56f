"""Everything that one repaint shows: made once, given to every screen that can be seen."""

from collections.abc import Sequence
from dataclasses import dataclass
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

    @cached_property
    def verdict(self) -> Verdict:
        """What the cluster is."""
        return self.state.verdict()

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
