"""The single acts beside an upgrade: accept, roll back, finalize, adopt, verify, clean.

Each works node by node, says what it does, and believes only what the node says afterwards.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from backends.domain.clean import line
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.problem import Problem
from backends.domain.staging import Staging
from backends.domain.states import NodeState, Outcome, Phase
from backends.engine.accepted import is_reversible
from backends.engine.adopting import bring
from backends.engine.answer import Answer
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.giving import give
from backends.engine.reading import back_in_words, in_words
from backends.engine.results import NodeResult, Result, not_done
from backends.engine.scribe import Scribe
from backends.engine.serving import Serving
from backends.engine.upload import Message
from backends.engine.way_back import GoOn, WayBack
from backends.releases.read import Release

_UNDO_SECONDS = 900.0
_BETWEEN_LOOKS_SECONDS = 0.2

_NAMES = 50
"""So many paths are named; all of them are in the event's data."""

_ENDS_FINALIZE = frozenset({Result.REFUSED, Result.INCONSISTENT, Result.LOST, Result.LOCKED})


@dataclass(frozen=True, slots=True)
class Preview:
    """What an act would do on a node."""

    node: str
    lines: tuple[str, ...]
    message: Message


class Acts:
    """Acts on the nodes of one cluster."""

    def __init__(
        self, contacts: Mapping[str, Contact], scribe: Scribe, patience_seconds: float
    ) -> None:
        """`patience_seconds`: how long a node that went back may take until it serves again."""
        self._contacts = contacts
        self._scribe = scribe
        self._serving = Serving(contacts, scribe, patience_seconds)
        for contact in contacts.values():
            contact.on_recovery = self._recovered

    async def accept(self, reading: NodeReading, reason: str) -> NodeResult:
        """Stop the dead-man timer of one node, in a person's name."""
        facts = reading.facts
        if reading.left_out is not None:
            return self.left_alone(reading)
        if facts is None or facts.transaction is None:
            return self._refused(reading, "no-upgrade-open", "no upgrade is open there")
        if facts.state is NodeState.ACCEPTED:
            return NodeResult(reading.name, Result.ALREADY, forward=True)
        answer = await self._contacts[reading.name].accept(facts.transaction.run, "manual", reason)
        if answer.is_ok:
            why = f": {line(reason)}" if reason else ""
            self._say(reading.name, Phase.MONITOR, f"accepted; still reversible{why}")
            return NodeResult(reading.name, Result.ACCEPTED, forward=True)
        return self._failed(reading.name, Phase.MONITOR, answer)

    async def extend(self, reading: NodeReading, seconds: float, reason: str) -> NodeResult:
        """Have one node in trial decide by itself only so many seconds from now."""
        facts = reading.facts
        if reading.left_out is not None:
            return self.left_alone(reading)
        if facts is None or facts.transaction is None:
            return self._refused(reading, "no-upgrade-open", "no upgrade is open there")
        run = facts.transaction.run
        answer = await self._contacts[reading.name].extend(run, seconds, reason)
        if answer.is_ok:
            why = f": {line(reason)}" if reason else ""
            text = f"decides by itself in {seconds:.0f} s, no earlier{why}"
            self._say(reading.name, Phase.MONITOR, text)
            return NodeResult(reading.name, Result.DONE)
        return self._failed(reading.name, Phase.MONITOR, answer)

    async def roll_back(
        self, readings: Sequence[NodeReading], why: str, go_on: GoOn, data: str | None = None
    ) -> list[NodeResult]:
        """Take every open upgrade back, in this order: one first, then ask.

        `data` is `keep` or `restore`, where a node has copied the product's data.

        A node that serves is not taken down before those that are back serve again, unless
        somebody says so. The roll back has done its work when all that are back serve.
        """
        todo = [reading for reading in readings if is_reversible(reading)]
        way = WayBack(self._serving, go_on, readings)
        results: list[NodeResult] = []
        for number, reading in enumerate(todo):
            if not await way.is_free(todo[number:], asks=number == 1):
                break
            last = await self.take_back(reading, why, data)
            results.append(last)
            if last.result is not Result.ROLLED_BACK:
                break
            way.is_back(last.node)
        else:
            await way.see_all()
        results = [way.judged(result) for result in results]
        begun = {result.node for result in results}
        others = [reading for reading in readings if reading.name not in begun]
        return results + [way.judged(self.left_alone(reading)) for reading in others]

    def stop_waiting(self) -> None:
        """Have a roll back that waits for a node to serve ask about it at once."""
        self._serving.cut_short()

    async def finalize(self, readings: Sequence[NodeReading]) -> list[NodeResult]:
        """Finalize every accepted node; after one that is refused, no further one is begun."""
        results: list[NodeResult] = []
        for reading in readings:
            stopped = any(result.result in _ENDS_FINALIZE for result in results)
            if stopped or not is_reversible(reading):
                results.append(self.left_alone(reading))
            else:
                results.append(await self._finalize_one(reading))
        return results

    async def _finalize_one(self, reading: NodeReading) -> NodeResult:
        contact = self._contacts[reading.name]
        opened = reading.facts.transaction if reading.facts else None
        if opened is None:
            raise AssertionError("only an open upgrade is finalized")
        self._scribe.say(Kind.PHASE, "finalize", node=contact.node, phase=Phase.FINALIZE)
        begun_at = await contact.journal_end(opened.txn)
        answer = await give(
            contact, "finalize", opened.txn, run=opened.run, digest=opened.to_digest
        )
        if answer.outcome is Outcome.REFUSED:
            return self._failed(contact.node, Phase.FINALIZE, answer)
        return await self._see_finalized(contact, opened.txn, begun_at)

    async def take_over(self, reading: NodeReading, reason: str) -> NodeResult:
        """End the updater at work on a node and have another one go on where it stood."""
        facts = reading.facts
        if reading.left_out is not None or facts is None or facts.transaction is None:
            return self.left_alone(reading)
        opened = facts.transaction
        self._scribe.say(Kind.PHASE, "take over", node=reading.name, phase=Phase.MONITOR)
        answer = await self._contacts[reading.name].ask(
            "recover", run=opened.run, takeover=True, reason=reason
        )
        if not answer.is_ok:
            return self._failed(reading.name, Phase.MONITOR, answer)
        self._say(reading.name, Phase.MONITOR, "another updater goes on; see its journal")
        return NodeResult(reading.name, Result.DONE)

    async def bring(
        self,
        release: Release,
        run: str,
        staging: Staging,
        uploads: int,
        without: Collection[str] = (),
    ) -> dict[str, NodeResult]:
        """Stage the release that a cluster came from, to adopt it; the nodes where that failed."""
        asked = {name: each for name, each in self._contacts.items() if name not in without}
        return await bring(asked, release, run, self._scribe, staging, uploads)

    async def preview(
        self,
        command: str,
        *,
        without: Collection[str] = (),
        everything: bool = False,
        released: bool = False,
    ) -> list[Preview | NodeResult]:
        """What `adopt` or `clean` would do on each node; nothing is changed."""

        async def one(contact: Contact) -> Preview | NodeResult:
            about = {"everything": everything, "released": released}
            answer = await contact.ask(command, preview=True, **about)
            if answer.problem is not None and answer.problem.code == "already-managed":
                return NodeResult(contact.node, Result.ALREADY)
            if not answer.is_ok:
                return self._failed(contact.node, Phase.PREFLIGHT, answer)
            found = [
                message for message in answer.messages if message["t"] in ("adopted", "clean")
            ]
            return Preview(contact.node, _lines(found[-1]), found[-1])

        asked = [each for name, each in self._contacts.items() if name not in without]
        return list(await asyncio.gather(*map(one, asked)))

    async def adopt(self, preview: Preview, run: str, *, released: bool = False) -> NodeResult:
        """Record exactly what was shown; as the release that was brought, if it was."""
        shown = {name: preview.message[name] for name in ("version", "digest")}
        answer = await self._contacts[preview.node].ask(
            "adopt", run=run, released=released, **shown
        )
        if not answer.is_ok:
            return self._failed(preview.node, Phase.FINALIZE, answer)
        self._say(preview.node, Phase.FINALIZE, line(f"adopted {shown['version']}, finalized"))
        return NodeResult(preview.node, Result.FINALIZED)

    async def verify(self, readings: Sequence[NodeReading]) -> list[NodeResult]:
        """Hold what runs against what was recorded of it, on all these nodes at once."""
        return list(await asyncio.gather(*(self._verify_one(each) for each in readings)))

    async def _verify_one(self, reading: NodeReading) -> NodeResult:
        node = reading.name
        if reading.left_out is not None:
            return self.left_alone(reading)
        self._scribe.say(Kind.PHASE, "verify", node=node, phase=Phase.CHECK)
        answer = await self._contacts[node].verify(
            lambda row: self._scribe.row(row, node=node, phase=Phase.CHECK)
        )
        for message in answer.all("verified"):
            self._tell_verified(node, message)
        if answer.is_ok:
            self._say(node, Phase.CHECK, "what runs is as recorded")
            return NodeResult(node, Result.DONE)
        found = self._failed(node, Phase.CHECK, answer)
        has_drifted = answer.problem is not None and answer.problem.code == "drift"
        return replace(found, result=Result.DRIFTED) if has_drifted else found

    def _tell_verified(self, node: str, message: Message) -> None:
        """The paths by name: rows have only the first ones."""
        for word in ("changed", "missing", "foreign"):
            said, counts = message.get(word), message.get("count")
            paths = [line(str(path)) for path in said] if isinstance(said, list) else []
            count = counts.get(word) if isinstance(counts, dict) else None
            count = count if isinstance(count, int) else len(paths)
            if paths:
                text, data = f"{word}: {_few(paths, count)}", {"paths": paths, "count": count}
                self._scribe.say(Kind.RESULT, text, node=node, phase=Phase.CHECK, data=data)

    async def clean(self, preview: Preview, *, everything: bool) -> NodeResult:
        """Remove what was shown."""
        answer = await self._contacts[preview.node].ask("clean", everything=everything)
        if not answer.is_ok:
            return self._failed(preview.node, Phase.FINALIZE, answer)
        self._scribe.say(Kind.RESULT, "cleaned", node=preview.node)
        return NodeResult(preview.node, Result.DONE)

    async def take_back(self, reading: NodeReading, why: str, data: str | None) -> NodeResult:
        """Take the open upgrade of one node back, and see it proven."""
        contact = self._contacts[reading.name]
        facts = reading.facts
        if facts is None or facts.transaction is None:
            raise AssertionError("only an open upgrade is rolled back")
        self._scribe.say(Kind.PHASE, "roll back", node=contact.node, phase=Phase.ROLLBACK)
        run, txn = facts.transaction.run, facts.transaction.txn
        begun_at = await contact.journal_end(txn)
        answer = await give(contact, "rollback", txn, run=run, why=why, data=data)
        gone = answer.problem is not None and answer.problem.code == "no-upgrade-open"
        if answer.outcome is Outcome.REFUSED and not gone:
            return self._failed(contact.node, Phase.ROLLBACK, answer)
        await contact.follow(
            txn,
            begun_at,
            lambda message: self._scribe.record(message, node=contact.node, txn=txn),
            _UNDO_SECONDS,
        )
        return await self._see_rolled_back(contact, txn)

    async def _see_rolled_back(self, contact: Contact, txn: str) -> NodeResult:
        give_up = time.monotonic() + _UNDO_SECONDS
        while True:
            reading = await contact.read()
            facts = reading.facts
            if facts is not None and facts.transaction is None and facts.last_txn == txn:
                return self._ended(contact.node, facts)
            if facts is not None and facts.state is NodeState.INCONSISTENT:
                return self._stuck(contact.node, Phase.ROLLBACK, facts.problem)
            if time.monotonic() > give_up:
                return NodeResult(contact.node, Result.LOST, reading.problem)
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

    def _ended(self, node: str, facts: NodeFacts) -> NodeResult:
        """How the transaction that was to be undone has ended: perhaps somebody finalized it."""
        if facts.last_outcome == "undone" and facts.state is NodeState.ROLLED_BACK:
            self._say(node, Phase.ROLLBACK, back_in_words(facts))
            return NodeResult(node, Result.ROLLED_BACK)
        problem = Problem(
            "finalized-meanwhile",
            f"{node} did not go back: {in_words(facts.final_version)} is final there",
            advice="a finalized version is upgraded, not undone",
        )
        self._scribe.problem(problem, node=node, phase=Phase.ROLLBACK)
        return NodeResult(node, Result.REFUSED, problem, forward=True)

    async def _see_finalized(self, contact: Contact, txn: str, begun_at: int) -> NodeResult:
        give_up = time.monotonic() + _UNDO_SECONDS
        offset, said = begun_at, None  # what a hook that failed has said

        def see(message: Message) -> None:
            nonlocal offset, said
            offset = int(message["offset"])
            self._scribe.record(message, node=contact.node, txn=txn)
            record = message["record"]
            if record["t"] == "CALL" and record["ok"] is False:
                said = line(str(record["text"]))

        while True:
            await contact.follow(txn, offset, see, _UNDO_SECONDS)
            reading = await contact.read()
            facts = reading.facts
            if facts is not None and facts.transaction is None:
                undone = facts.last_txn == txn and facts.last_outcome == "undone"
                if facts.is_finalized and not undone:
                    self._say(contact.node, Phase.FINALIZE, f"{facts.final_version} is final")
                    return NodeResult(contact.node, Result.FINALIZED, forward=True)
                return self._stuck(contact.node, Phase.FINALIZE, facts.problem)
            if facts is not None and facts.state is NodeState.INCONSISTENT:
                return self._stuck(contact.node, Phase.FINALIZE, facts.problem)
            opened = facts.transaction if facts is not None else None
            if opened is not None and opened.decision == "ACCEPT" and not opened.driver_alive:
                return self._not_finalized(contact.node, said)
            if time.monotonic() > give_up:
                return NodeResult(contact.node, Result.LOST, reading.problem)
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

    def _not_finalized(self, node: str, said: str | None) -> NodeResult:
        problem = Problem(
            "not-heard" if said is None else "hook-failed",
            f"{node} is not finalized: "
            + ("no answer to the order came" if said is None else "a hook before it failed"),
            said or "",
            "It is as it was, accepted and reversible. Settle what a hook says, then finalize.",
        )
        self._scribe.problem(problem, node=node, phase=Phase.FINALIZE)
        return NodeResult(node, Result.REFUSED, problem, forward=True)

    def _stuck(self, node: str, phase: Phase, problem: Problem | None) -> NodeResult:
        if problem is not None:
            self._scribe.problem(problem, node=node, phase=phase)
        return NodeResult(node, Result.INCONSISTENT, problem)

    def _recovered(self, node: str, text: str) -> None:
        self._scribe.say(Kind.RESULT, text, node=node, phase=Phase.ROLLBACK)

    def left_alone(self, reading: NodeReading) -> NodeResult:
        """The result of a node on which nothing is done, with the reason."""
        if reading.left_out is not None:
            problem = Problem("left-out", f"{reading.name} is left out: {reading.left_out}")
            return NodeResult(reading.name, Result.EXCLUDED, problem)
        if not reading.read:
            return NodeResult(reading.name, Result.UNREACHABLE, reading.problem)
        if is_reversible(reading):
            return NodeResult(reading.name, Result.NOT_STARTED)
        return NodeResult(reading.name, Result.ALREADY)

    def _refused(self, reading: NodeReading, code: str, text: str) -> NodeResult:
        problem = reading.problem or Problem(code, f"{reading.name}: {text}")
        self._scribe.problem(problem, node=reading.name)
        result = Result.REFUSED if reading.read else Result.UNREACHABLE
        return NodeResult(reading.name, result, problem)

    def _failed(self, node: str, phase: Phase, answer: Answer) -> NodeResult:
        found = not_done(node, answer, phase)
        if found.problem is not None:
            self._scribe.problem(found.problem, node=node, phase=phase)
        return found

    def _say(self, node: str, phase: Phase, text: str) -> None:
        self._scribe.say(Kind.RESULT, text, node=node, phase=phase)


def _few(paths: Sequence[object], count: int | None = None) -> str:
    """The first paths, and how many more there are of all `count`."""
    shown = [line(str(path)) for path in paths[:_NAMES]]
    left = (len(paths) if count is None else count) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left > 0 else "")


def _lines(message: Message) -> tuple[str, ...]:
    if message["t"] == "adopted":
        own, digest = [str(path) for path in message["own"]], str(message["digest"])
        return (
            line(f"{message['version']}, {message['files']} paths, digest {digest[:12]}"),
            *([f"not counted, beside it or changed since the start: {_few(own)}"] if own else []),
            *(
                f"{word}, and so DRIFT once it is recorded: {_few(message[word])}"
                for word in ("changed", "missing")
                if message[word]
            ),
        )
    return (
        *(f"remove {path}" for path in message["paths"]),
        *(f"remove kept foreign file {path}" for path in message["kept"]),
        *(f"leave {path}" for path in message["stays"]),
    )
