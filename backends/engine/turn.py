"""One node's turn: begin or take up the install, follow its journal, accept, or hear it go back.

The node decides; this only listens, asks and accepts. Losing contact changes nothing over there.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from backends.domain.clean import line
from backends.domain.facts import Finalized, NodeFacts, NodeReading
from backends.domain.plan import Plan
from backends.domain.policy import Accept
from backends.domain.problem import Problem
from backends.domain.states import CHANGING, NodeState, Outcome, Phase, Unreachable
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.our_link import Link, OurLink
from backends.engine.reading import back_in_words
from backends.engine.results import NodeResult, Result
from backends.engine.scribe import Scribe

_BETWEEN_TRIES_SECONDS = 1.0
_BETWEEN_LINK_LOOKS_SECONDS = 10.0
_LATE_ANSWER_SECONDS = 5.0
"""How long an accept's answer is waited for when the journal has told already what came of it."""
_PATIENCE_SECONDS = 30.0
"""How long past its own deadline a node may be out of contact before the run gives it up."""

_LOCKED = frozenset({"locked", "upgrade-open"})


class Turn:
    """The install, monitor and accept of one node: one step, in which no pause falls."""

    def __init__(
        self, contact: Contact, plan: Plan, scribe: Scribe, called: str, link: OurLink
    ) -> None:
        self._contact = contact
        self._link = link
        self._plan = plan
        self._called = called
        self._scribe = scribe
        self.node = self._node = contact.node
        self.has_begun = False
        """Whether anything was asked of the node that may change it."""

        self._txn = plan.run
        self._offset = 0
        self._healthy = False
        self._soft: list[str] = []
        self._accepting: asyncio.Event = asyncio.Event()
        self._owed = False
        """Whether an accept was asked for, and it is not known whether the node has heard it."""

        self._answered = asyncio.Event()
        self._answered.set()
        self._begun_with: Problem | None = None
        self._may_begin_yet = False
        """Whether it was not heard what came of the order to install."""

        self._ask_link_at = 0.0
        """When all nodes may be asked again whether it is our link: it is a look at each."""

        self._taken_back_by = ""
        self._told = ""

    async def take(self) -> NodeResult:
        """Install this node and bring it to accepted, or to what became of it."""
        began = await self._begin()
        if began is not None:
            return began
        return await self.resume()

    async def resume(self) -> NodeResult:
        """Follow what runs on the node already, and accept it when it is healthy."""
        self.has_begun = True
        give_up = time.monotonic() + self._longest()
        self._look_at(await self._contact.read())
        while True:
            was_heard = await self._follow_and_accept()
            reading = await self._contact.read()
            self._look_at(reading)
            if not was_heard and reading.facts and reading.facts.state not in CHANGING:
                await self._follow_and_accept()  # what it did while it was not heard
            result = self._judge(reading)
            if result is not None:
                return result
            if reading.unreachable is Unreachable.HOST_KEY_CHANGED:
                # Who answers there is not known. That is no weather: it is not tried again.
                return NodeResult(self._node, Result.LOST, self._lost(reading))
            if not reading.read and time.monotonic() >= self._ask_link_at:
                began = time.monotonic()
                why = await self._link.awaited([self._node], give_up)
                if why is Link.BACK:  # nothing of it is counted against the node
                    give_up += time.monotonic() - began
                    continue
                self._ask_link_at = time.monotonic() + _BETWEEN_LINK_LOOKS_SECONDS
            if time.monotonic() > give_up:
                return NodeResult(self._node, Result.LOST, self._lost(reading))
            await asyncio.sleep(_BETWEEN_TRIES_SECONDS)

    def _look_at(self, reading: NodeReading) -> None:
        """Take the transaction from what the node says: a second try has another name."""
        self._link.saw(reading)
        opened = reading.facts.transaction if reading.facts else None
        if opened is not None and opened.run == self._plan.run and opened.txn != self._txn:
            self._txn = opened.txn
            self._offset = 0
            self._healthy = False

    async def _begin(self) -> NodeResult | None:
        self._scribe.say(
            Kind.PHASE,
            f"install {self._plan.release_version}",
            node=self._node,
            phase=Phase.INSTALL,
        )
        policy = self._plan.policy
        self.has_begun = True
        answer = await self._contact.ask(
            "install",
            # It reads the staged tree once more before it begins.
            seconds=self._plan.limits.operator_request_seconds
            + self._plan.limits.install_step_seconds,
            run=self._plan.run,
            version=self._plan.release_version,
            digest=self._plan.release_digest,
            reason="; ".join(filter(None, (policy.downgrade, policy.reinstall))),
            policy={
                "if_operator_vanishes": policy.if_operator_vanishes.value,
                "on_failure": policy.on_failure.value,
                "second_layer": policy.second_layer.value,
            },
        )
        for message in answer.all("begun"):
            self._txn = str(message.get("txn", self._txn))
        if answer.outcome is Outcome.REFUSED and answer.problem is not None:
            self._scribe.problem(answer.problem, node=self._node, phase=Phase.INSTALL)
            locked = answer.problem.code in _LOCKED
            result = Result.LOCKED if locked else Result.REFUSED
            return NodeResult(self._node, result, answer.problem)
        self._begun_with = answer.problem
        self._may_begin_yet = answer.outcome in (Outcome.TIMED_OUT, Outcome.UNREACHABLE)
        return None  # begun, or unknown: the node's own journal tells

    async def _follow_and_accept(self) -> bool:
        """Whether the node was heard until it came to rest."""
        # Not a task group: it would wrap what `follow` raises, and this one never ends by itself.
        accepting = asyncio.ensure_future(self._accept_when_healthy())  # noqa: TID251
        try:
            answer = await self._contact.follow(
                self._txn, self._offset, self._see, self._longest(), self._accept_again
            )
            if answer.is_ok:  # at rest: what it answers to an accept is on its way
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._answered.wait(), _LATE_ANSWER_SECONDS)
        finally:
            accepting.cancel()
            with suppress(asyncio.CancelledError):
                await accepting
        if answer.outcome in (Outcome.UNREACHABLE, Outcome.TIMED_OUT) and answer.problem:
            self._tell_lost(answer.problem)
        else:
            self._told = ""
        return answer.is_ok

    def _tell_lost(self, problem: Problem) -> None:
        """Tell it once, and again when it is for another reason: it is tried until it works."""
        if problem.summary == self._told:
            return
        if not self._told:
            policy = self._plan.policy.if_operator_vanishes.value
            self._scribe.say(
                Kind.RESULT,
                f"contact is lost; it is tried again. The node goes on alone: without an accept "
                f"within {self._plan.limits.accept_window_seconds:g} s of its trial it decides "
                f"by itself: {policy}",
                node=self._node,
                phase=Phase.MONITOR,
            )
        self._told = problem.summary
        self._scribe.problem(problem, node=self._node, phase=Phase.MONITOR)

    def _see(self, message: Mapping[str, Any]) -> None:
        self._offset = int(message["offset"])
        record = message["record"]
        self._scribe.record(message, node=self._node, txn=self._txn)
        if record["t"] == "HEALTHY":
            self._soft = [str(name) for name in record.get("soft", [])]
            self._healthy = True
            self._accepting.set()
        elif record["t"] == "ACCEPT":
            self._owed = False
        elif record["t"] in ("UNHEALTHY", "ROLLBACK"):
            self._healthy = False
            self._taken_back_by = line(str(record.get("by", "")))

    def _accept_again(self) -> None:
        """Ask once more when an accept was lost with the contact: no record tells of it by now."""
        if self._owed and self._healthy and self._answered.is_set():
            self._accepting.set()

    async def _accept_when_healthy(self) -> None:
        while True:
            await self._accepting.wait()
            self._accepting.clear()
            if not self._healthy:
                continue
            if self._plan.policy.accept is Accept.MANUAL or self._soft:
                why = f"soft checks fail: {', '.join(self._soft)}" if self._soft else "policy"
                self._scribe.say(
                    Kind.RESULT,
                    f"waits for you ({why}): liftlock accept {self._called} {self._node} keeps "
                    f"it, liftlock rollback {self._called} -n {self._node} does not",
                    node=self._node,
                    phase=Phase.MONITOR,
                )
                continue
            self._answered.clear()
            self._owed = True
            try:
                answer = await self._contact.accept(self._plan.run, "auto")
            finally:
                self._answered.set()
            self._owed = not answer.is_ok
            if not answer.is_ok and answer.problem is not None:
                self._scribe.problem(answer.problem, node=self._node, phase=Phase.MONITOR)
                await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
                self._accepting.set()

    def _judge(self, reading: NodeReading) -> NodeResult | None:
        """What became of the node, from what it says now; None: not decided yet."""
        facts = reading.facts
        if not reading.read or facts is None:
            return None
        node = self._node
        mine = facts.transaction is not None and facts.transaction.run == self._plan.run
        match facts.state:
            case NodeState.ACCEPTED if mine:
                text = f"accepted on {self._plan.release_version}, still reversible"
                self._end(Phase.MONITOR, text)
                return NodeResult(node, Result.ACCEPTED, forward=True)
            case NodeState.HELD if mine:
                return NodeResult(
                    node,
                    Result.HELD,
                    Problem(
                        "held",
                        f"{node} keeps {self._plan.release_version} and waits for a person",
                        facts.note,
                        f"liftlock accept {self._called} {node} --reason WHY keeps it, "
                        f"liftlock rollback {self._called} -n {node} does not",
                    ),
                    forward=True,
                )
            case NodeState.INCONSISTENT:
                return NodeResult(node, Result.INCONSISTENT, facts.problem)
            case state if state in CHANGING:
                return None
            case NodeState.ROLLED_BACK if facts.last_run == self._plan.run:
                self._end(Phase.ROLLBACK, back_in_words(facts))
                journal = f"liftlock journal {self._called} {self._plan.run}"
                return NodeResult(
                    node,
                    Result.ROLLED_BACK,
                    Problem(
                        "rolled-back",
                        f"{node} went back{self._asked_by()} and proved it",
                        facts.note,
                        f"{journal} tells what failed, and each undo",
                    ),
                )
            case _ if self._is_final(facts):
                return NodeResult(node, Result.FINALIZED, forward=True)
            case _ if mine and facts.transaction is not None and facts.transaction.driver_alive:
                return None  # its end is written, and it is being put away
            case _ if facts.transaction is not None:
                return NodeResult(
                    node,
                    Result.LOCKED,
                    Problem(
                        "upgrade-open",
                        f"run {facts.transaction.run} of {facts.transaction.operator} is open "
                        f"on {node}",
                    ),
                )
            case _ if self._may_begin_yet:
                return NodeResult(node, Result.LOST, self._begun_with)
            case _:
                problem = self._begun_with or Problem(
                    "not-begun", f"{node} did not begin; nothing was changed", advice="start again"
                )
                return NodeResult(node, Result.REFUSED, problem)

    def _is_final(self, facts: NodeFacts) -> bool:
        """Whether somebody has finalized it; what is installed again was final before, too."""
        final = facts.finalized
        again = bool(self._plan.policy.reinstall)
        return (
            facts.is_finalized
            and isinstance(final, Finalized)
            and final.version == self._plan.release_version
            and final.digest == self._plan.release_digest
            and (not again or final.run == self._plan.run)
        )

    def _asked_by(self) -> str:
        """Whose decision it was; the updater's own is the node's."""
        by = self._taken_back_by
        if not by:
            return ""  # its record was not seen: then nothing is said about it
        return " by itself" if by == "the updater" else f", as {by} asked,"

    def _end(self, phase: Phase, text: str) -> None:
        self._scribe.say(Kind.RESULT, text, node=self._node, phase=phase)

    def _longest(self) -> float:
        """Seconds after which the node has decided by itself, whatever happened."""
        limits = self._plan.limits
        return (
            limits.install_step_seconds
            + limits.accept_window_seconds
            + 2 * limits.stop_seconds
            + _PATIENCE_SECONDS
        )

    def _lost(self, reading: NodeReading) -> Problem:
        why = reading.problem
        is_other = reading.unreachable is Unreachable.HOST_KEY_CHANGED
        first = f"{why.advice} " if why and is_other else ""
        return Problem(
            "contact-lost",
            f"contact with {self._node} was lost while it was changing; when its accept window "
            f"ends it decides by itself: {self._plan.policy.if_operator_vanishes.value}",
            f"{why.code}: {why.summary}" if why else "",
            f"{first}liftlock status {self._called}, then start the same upgrade again",
        )
