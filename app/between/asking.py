"""Questions from the engine's thread to the person at the screen, each answered by its number."""

import asyncio
from collections.abc import Callable
from itertools import count

from app.between.news import AskedSecret, AskedToAdopt, AskedToGoOn, News
from backends.domain.problem import Problem
from backends.engine.acts import Preview
from backends.transport.prompt import Question

Answer = str | bool | None


class Asking:
    """Asks by news and waits; also the prompt port of the links (transport.prompt.Prompt)."""

    def __init__(self, tell: Callable[[News], None]) -> None:
        self._tell = tell
        self._numbers = count(1)
        self._open: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[Answer]]] = {}

    async def ask(self, question: Question) -> str | None:
        """A secret; None when the person gave none."""
        answer = await self._ask(lambda number: AskedSecret(number, question))
        return answer if isinstance(answer, str) and answer else None

    async def go_on(self, last: str, rest: tuple[str, ...], sick: Problem | None = None) -> bool:
        """Whether to roll back the others now that a node is back, but perhaps does not serve."""
        return await self._ask(lambda number: AskedToGoOn(number, last, rest, sick)) is True

    async def adopt(self, previews: tuple[Preview, ...]) -> bool:
        """Whether to record what was shown."""
        return await self._ask(lambda number: AskedToAdopt(number, previews)) is True

    def answer(self, number: int, answer: Answer) -> None:
        """Give the answer, from any thread; one that nobody waits for any more is dropped."""
        waiting = self._open.get(number)
        if waiting is not None:
            loop, future = waiting
            loop.call_soon_threadsafe(_settle, future, answer)

    async def _ask(self, letter: Callable[[int], News]) -> Answer:
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._open[number] = (loop, future)
        self._tell(letter(number))
        try:
            return await future
        finally:
            del self._open[number]


def _settle(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
