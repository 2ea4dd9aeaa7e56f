"""A run that a person walks through: it waits before each phase, and where the policy says so."""

import asyncio
from collections.abc import Callable

from app.between.news import Goes, Held, News, Waits
from backends.domain.pace import Upcoming
from backends.domain.states import Phase

_WALKED = frozenset({Phase.STAGE, Phase.CHECK})
"""Phases before which a person is waited for; what comes before them was begun by a person."""


class ByHand:
    """Lives in the engine's thread (engine.pace.Pace). Nodes that are changing never wait."""

    def __init__(self, tell: Callable[[News], None]) -> None:
        self._tell = tell
        self._held = False
        self._installs = False
        self._end = ""
        self._settles = False
        self._answer: asyncio.Future[str] | None = None

    async def may_begin(self, upcoming: Upcoming) -> str:
        """Wait for a person where one is wanted; "" or why the run pauses here."""
        reason = "" if upcoming.resumes else self._end
        self._settles = bool(upcoming.settling)
        if not reason and self._waits_before(upcoming):
            self._answer = asyncio.get_running_loop().create_future()
            self._tell(Waits(upcoming))
            try:
                reason = await self._answer
            finally:
                self._answer = None
        if not reason:
            fresh = upcoming.phase is Phase.INSTALL and not upcoming.resumes
            self._installs = self._installs or fresh
            self._tell(Goes(upcoming))
        return reason

    def go(self) -> None:
        """A person says: begin what is waited for."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result("")

    def pause(self, why: str) -> None:
        """A person says: end the run where it waits; it can be taken up again."""
        if self._settles:
            self._end = why
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(why)

    def end(self, why: str) -> None:
        """A person says: no further step, wherever the run is; what changes now is finished."""
        self._end = why
        self.pause(why)

    def hold(self, held: bool) -> None:
        """Whether to wait before every node although the policy would go on."""
        if held is not self._held:
            self._held = held
            self._tell(Held(held))

    def _waits_before(self, upcoming: Upcoming) -> bool:
        if upcoming.resumes or upcoming.settling:
            return False
        first_install = upcoming.phase is Phase.INSTALL and not self._installs
        return upcoming.phase in _WALKED or first_install or bool(upcoming.waits) or self._held
