"""What a run is about to begin, so that whoever paces it can say: go on, or wait."""

from dataclasses import dataclass

from backends.domain.states import Phase


@dataclass(frozen=True, slots=True)
class Upcoming:
    """One phase on some nodes, before it begins."""

    phase: Phase
    nodes: tuple[str, ...]
    """In the order of the plan. Phases up to check run on all of them at once."""

    waits: str = ""
    """Why the policy wants a person first; empty: by the policy it goes on by itself."""

    resumes: bool = False
    """The nodes are changing already: every second of waiting is one of their accept window."""

    settling: str = ""
    """What is waited for first, and comes right by itself or ends the run: in words."""
