"""What a roll back heeds between two nodes: none that serves goes down before the last is up."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from backends.domain.facts import NodeReading
from backends.domain.problem import Problem
from backends.domain.states import NodeState
from backends.engine.results import NodeResult, Result
from backends.engine.serving import Serving

GoOn = Callable[[str, tuple[str, ...], Problem | None], Awaitable[bool]]
"""Asked in a roll back whether to go on: which node is back last, and which are to go next.

After the first node, and whenever one that is back does not serve: the problem says which.
"""


class WayBack:
    """Who is back, which of them do not serve, and what a person said to that."""

    def __init__(self, serving: Serving, go_on: GoOn, readings: Iterable[NodeReading]) -> None:
        """Nodes that went back before, and were not seen to serve since, count as well."""
        self._serving = serving
        self._go_on = go_on
        self._back = [reading.name for reading in readings if _is_back_and_out(reading)]
        self._waived: set[str] = set()
        self._sick: dict[str, Problem] = {}

    def is_back(self, node: str) -> None:
        """One more went back."""
        self._back.append(node)

    async def is_free(self, todo: Sequence[NodeReading], *, asks: bool) -> bool:
        """Whether the first of these may be taken down now.

        As soon as all that are back serve, or a person said that it need not be; with `asks`, a
        person is asked in any case. What was answered late is looked at again.
        """
        names = tuple(reading.name for reading in todo)
        while self._back:
            problem = await self._in_the_way(todo[0])
            if problem is None and not asks:
                break
            if not await self._go_on(self._back[-1], names, problem):
                return False
            asks = False
            self._waived |= set(self._sick)
        return True

    async def see_all(self) -> None:
        """Wait at the end until all that are back serve, also those that nobody waited for."""
        await self._wait(self._back)

    def judged(self, result: NodeResult) -> NodeResult:
        """The result of a node; one that is back and does not serve is not well."""
        problem = self._sick.get(result.node)
        return NodeResult(result.node, Result.UNHEALTHY, problem) if problem else result

    async def _in_the_way(self, following: NodeReading) -> Problem | None:
        """What is to be said before this one goes down: it must not be one too many.

        One that did not serve when all this began, and does not now, waits for nobody: perhaps
        they need each other.
        """
        facts = following.facts
        if facts is not None and not facts.serves and await self._serving.is_out(following.name):
            return None
        return await self._wait([node for node in self._back if node not in self._waived])

    async def _wait(self, nodes: Sequence[str]) -> Problem | None:
        sick = await self._serving.wait(nodes) if nodes else None
        for node in nodes:
            self._sick.pop(node, None)
        if sick is None:
            return None
        self._sick |= dict.fromkeys(sick.nodes, sick.problem)
        return sick.problem


def _is_back_and_out(reading: NodeReading) -> bool:
    """Whether the node went back before, and does not serve as far as it was read."""
    facts = reading.facts
    if reading.left_out is not None or facts is None or facts.is_absent:
        return False
    return facts.state is NodeState.ROLLED_BACK and not facts.serves
