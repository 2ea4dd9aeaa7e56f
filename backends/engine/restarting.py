"""Restarts nodes one after the other: none that serves goes down before the others serve.

A node works detached and writes down what comes of it: whoever lost its answer asks again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from backends.domain.clean import line
from backends.domain.facts import NodeReading
from backends.domain.problem import Problem
from backends.domain.states import Outcome, Phase
from backends.engine.answer import Answer
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.results import NodeResult, Result, not_done
from backends.engine.scribe import Scribe
from backends.engine.serving import Awaited, Serving
from backends.engine.way_back import GoOn

_RECOVERY_SECONDS = 900.0
"""How long a node may first take to bring itself to rest."""

_AGAIN_SECONDS = 1.0

_OTHERS = Awaited(
    phase=Phase.MONITOR,
    code="others-not-serving",
    serves="serves",
    advice="Look at the service and its log there; restart those first (-n).",
)

_NEVER_BEGUN = frozenset(
    {"dns", "tcp", "host-key-unknown", "host-key-changed", "login-refused", "sudo", "no-python"}
)
"""Problems of getting there: nothing was asked of the node."""

_NOT_WELL = {"not-serving": Result.UNHEALTHY, "restart-broken-off": Result.INCONSISTENT}


class Restarts:
    """One restart of several nodes."""

    def __init__(
        self,
        contacts: Mapping[str, Contact],
        scribe: Scribe,
        patience_seconds: float,
        second_layer: str,
    ) -> None:
        """`contacts` of the whole cluster: the others have to serve, whichever is restarted."""
        self._contacts = contacts
        self._scribe = scribe
        self._patience_seconds = patience_seconds
        self._second_layer = second_layer
        self._serving = Serving(contacts, scribe, patience_seconds, _OTHERS)

    async def restart(
        self,
        todo: Sequence[NodeReading],
        counted: Sequence[str],
        reason: str,
        go_on: GoOn,
    ) -> list[NodeResult]:
        """Restart these, in this order; after one that is not well, no further one is begun.

        `counted` are the nodes of the cluster that count. A node that serves is restarted when
        the others do, or when a person says so.
        """
        results: list[NodeResult] = []
        for number, reading in enumerate(todo):
            if any(each.result is not Result.DONE for each in results):
                results.append(NodeResult(reading.name, Result.NOT_STARTED))
                continue
            names = tuple(each.name for each in todo[number:])
            problem = await self._in_the_way(reading.name, counted)
            if problem is not None and not await go_on(reading.name, names, problem):
                results.append(NodeResult(reading.name, Result.REFUSED, problem))
                continue
            results.append(await self._restart_one(reading.name, reason))
        return results

    async def _in_the_way(self, node: str, counted: Sequence[str]) -> Problem | None:
        """What is to be said before this one goes down; one that does not serve takes nothing."""
        others = [name for name in counted if name != node and name in self._contacts]
        if not others or await self._serving.is_out(node):
            return None
        sick = await self._serving.wait(others)
        return sick.problem if sick is not None else None

    async def _restart_one(self, node: str, reason: str) -> NodeResult:
        self._scribe.say(Kind.PHASE, "restart", node=node, phase=Phase.MONITOR)
        answer, is_lost = await self._asked(self._contacts[node], reason)
        if answer.is_ok:
            for message in answer.all("restarted"):
                text = line(f"restarted: {message['version']} {message['text']}")
                self._scribe.say(Kind.RESULT, text, node=node, phase=Phase.MONITOR)
            return NodeResult(node, Result.DONE)
        found = _lost(node, answer) if is_lost else _judged(node, answer)
        if found.problem is not None:
            self._scribe.problem(found.problem, node=node, phase=Phase.MONITOR)
        return found

    async def _asked(self, contact: Contact, reason: str) -> tuple[Answer, bool]:
        """Ask until the node says how it ended; the same run is restarted once, however often.

        The newest answer, and whether it may have been begun and nobody knows what came of it.
        """
        about = {"run": self._scribe.run, "reason": reason, "second_layer": self._second_layer}
        give_up: float | None = None
        while True:
            answer = await contact.ask("restart", seconds=_longest_seconds(contact), **about)
            now = time.monotonic()
            if answer.has_end or (give_up is None and _was_never_begun(answer)):
                return answer, False
            give_up = give_up or now + self._patience_seconds
            if now > give_up:
                return answer, True
            await asyncio.sleep(_AGAIN_SECONDS)


def _judged(node: str, answer: Answer) -> NodeResult:
    problem = answer.problem
    if answer.has_end and problem is not None and problem.code in _NOT_WELL:
        return NodeResult(node, _NOT_WELL[problem.code], problem)
    return not_done(node, answer, Phase.MONITOR)


def _lost(node: str, answer: Answer) -> NodeResult:
    lost = Problem(
        "contact-lost",
        f"{node}: contact was lost while it was restarted; what came of it is not known",
        answer.problem.summary if answer.problem is not None else "",
        "The node goes on by itself: it starts what it stopped, and writes down whether that "
        "serves. Look with status.",
    )
    return NodeResult(node, Result.LOST, lost)


def _was_never_begun(answer: Answer) -> bool:
    problem = answer.problem
    is_unheard = answer.outcome is Outcome.UNREACHABLE and not answer.messages
    return is_unheard and problem is not None and problem.code in _NEVER_BEGUN


def _longest_seconds(contact: Contact) -> float:
    """Longer than all that the node may take: the inner, more specific limit wins."""
    document: Mapping[str, object] = contact.subject.document
    service, limits, checks = (document[name] for name in ("service", "limits", "health"))
    if not (isinstance(service, dict) and isinstance(limits, dict) and isinstance(checks, list)):
        return _RECOVERY_SECONDS
    stop, start = float(service["stop_timeout"]), float(service["start_timeout"])
    looks = sum(float(each["timeout"]) for each in checks) + 4 * float(service["request_timeout"])
    return _RECOVERY_SECONDS + 5 * stop + 2 * start + float(limits["healthy_deadline"]) + looks
