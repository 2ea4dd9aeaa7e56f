"""What people say to a run that is under way: wait, go at another pace, end it.

Waiting and pace take effect before the next node, never in the middle of one. An abort means what
the phase allows (notes on peers, 4.8): before a switch nothing is changed; a node in its install
or its trial is taken back; what is accepted stays, and a rollback is a decision of its own.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from backends.domain.facts import NodeReading
from backends.domain.policy import Pause
from backends.domain.problem import Problem
from backends.domain.states import CHANGING, NodeState
from backends.engine.contact import Contact
from backends.engine.ending import Stopped

T = TypeVar("T")

ABORTED = "aborted"
"""How the outcome of a run begins that a person has ended."""

_BETWEEN_TRIES_SECONDS = 0.5
_UNDECIDED = CHANGING - {NodeState.ROLLING_BACK, NodeState.FINALIZING} | {NodeState.HELD}


class Orders:
    """The orders to one run. Given and obeyed in the engine's loop."""

    def __init__(self) -> None:
        self.pause: Pause | None = None
        """The pause policy that counts from now on; None: the plan's."""

        self.waits = ""
        """Why the run waits before its next node; empty: it need not."""

        self._aborted = asyncio.Event()
        self._why = ""

    def abort(self, why: str) -> None:
        """End the run."""
        self._why = why
        self._aborted.set()

    def stop_if_aborted(self) -> None:
        """Raise Stopped if the run is to end."""
        if self._aborted.is_set():
            raise Stopped(
                f"{ABORTED}: {self._why}; no further node is started",
                Problem("aborted", f"The run was aborted: {self._why}."),
            )

    async def unless_aborted(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that changes no node, and that an abort breaks off.

        Raises:
            Stopped: The run is to end.
        """
        # Not a task group: it would wrap what the work raises.
        doing = asyncio.ensure_future(work)  # noqa: TID251
        ending = asyncio.ensure_future(self._aborted.wait())  # noqa: TID251
        try:
            await asyncio.wait((doing, ending), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                self.stop_if_aborted()
            return await doing
        finally:
            await _ended(ending)
            if not doing.done():
                await _ended(doing)

    async def with_way_back(self, turns: Awaitable[T], contacts: Sequence[Contact], run: str) -> T:
        """See turns through; when the run is aborted meanwhile, have their nodes taken back."""
        # Not a task group: the turns are seen through whatever goes wrong beside them.
        taking_back = asyncio.ensure_future(self._take_back(contacts, run))  # noqa: TID251
        try:
            return await turns
        finally:
            await _ended(taking_back)

    async def _take_back(self, contacts: Sequence[Contact], run: str) -> None:
        """Ask until each is decided: an order to install may still be under way to a node."""
        await self._aborted.wait()
        while True:
            for contact in contacts:
                reading = await contact.read()
                if is_undecided(reading, run):
                    # What is newer stays, as in every rollback that nobody decides about.
                    await contact.ask(
                        "rollback", run=run, why=f"aborted: {self._why}", data="keep"
                    )
            await asyncio.sleep(_BETWEEN_TRIES_SECONDS)


def is_undecided(reading: NodeReading, run: str) -> bool:
    """Whether the node is in the middle of this run's upgrade and may still go either way."""
    facts = reading.facts
    return (
        reading.read
        and facts is not None
        and facts.transaction is not None
        and facts.transaction.run == run
        and not facts.transaction.decision
        and facts.state in _UNDECIDED
    )


async def _ended(task: "asyncio.Future[Any]") -> None:
    """Cancel a task that is not done, and wait for its end; what went wrong in it is raised."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
