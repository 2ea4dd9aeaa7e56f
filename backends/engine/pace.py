"""Who says when a run goes on: the policy alone, or a person at every step."""

from typing import Protocol

from backends.domain.pace import Upcoming


class Pace(Protocol):
    """Asked before each phase, and before each node's turn."""

    async def may_begin(self, upcoming: Upcoming) -> str:
        """Return "" for go on, else why the run pauses here; it may take its time."""
        ...


class ByPolicy:
    """No person is there: what the policy lets go on goes on, everything else pauses the run.

    What is changing already never waits: it would go back by itself meanwhile.
    """

    async def may_begin(self, upcoming: Upcoming) -> str:
        """The policy's own reason to wait."""
        return "" if upcoming.resumes else upcoming.waits
