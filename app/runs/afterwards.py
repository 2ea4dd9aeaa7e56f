"""What a person has to do after a finalize: it is complete when each step was ticked.

Ticks are kept in the operator's book, with the upgrades that were made final before them.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from backends.domain.after import EVERY_STEP, Tick, left_of
from backends.domain.facts import Finalized, NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import Phase
from backends.engine.events import Kind
from backends.engine.results import NodeResult, Result
from backends.engine.scribe import Scribe
from backends.settings.toml_keys import nearest
from backends.store.book import Book, Run

FINALIZE = "finalize"
"""What such a run is called in the book."""

_RUNS_LOOKED_AT = 500

Asked = Callable[[str], Awaitable[bool]]
"""Whether a person says that this step is done."""


async def nobody(step: str) -> bool:
    """Nobody is there who could say that it is done."""
    return False


@dataclass(frozen=True, slots=True)
class Ticking:
    """What somebody says is done, and whom to ask about the rest."""

    done: frozenset[str] = frozenset()
    reason: str = ""
    ask: Asked = nobody


def named(
    steps: Sequence[str], words: Collection[str], reason: str, called: str
) -> frozenset[str]:
    """The steps that somebody named as done, of those of the profile.

    Raises:
        LiftlockError: There is none of that name, or no reason was given (exit 2).
    """
    if not words:
        return frozenset()
    if not reason:
        raise LiftlockError(
            Problem(
                "reason-missing",
                "To tick a step without being asked about it is a named act: it needs a reason.",
                advice=f'liftlock finalize {called} --done "..." --reason "..."',
            ),
            Exit.USAGE,
        )
    for word in words:
        if word not in (EVERY_STEP, *steps):
            near = nearest(word, [*steps])
            raise LiftlockError(
                Problem(
                    "step-unknown",
                    f"The profile has no step {word!r} after a finalize.",
                    "\n".join(steps) or "it has none at all",
                    f'Did you mean "{near}"?' if near else "",
                ),
                Exit.USAGE,
            )
    return frozenset(steps) if EVERY_STEP in words else frozenset(words)


def open_steps(
    steps: Sequence[str],
    book: Book,
    cluster: str,
    product: str,
    readings: Sequence[NodeReading],
    results: Sequence[NodeResult] = (),
) -> tuple[str, ...]:
    """The steps that are to be done now and that nobody has ticked, by this book.

    `results` are those of a finalize just now; before anything is final there is nothing to do.
    """
    runs = _made_final(readings, results)
    return left_of(steps, _ticks(book, cluster, product), runs) if runs else ()


async def tick_off(
    steps: Sequence[str],
    found: Sequence[str],
    ticking: Ticking,
    scribe: Scribe,
    readings: Sequence[NodeReading],
    results: Sequence[NodeResult],
) -> list[str]:
    """Tick what is done of the steps that were `found` open; what is left."""
    runs, left = sorted(_made_final(readings, results)), []
    for step in (each for each in steps if each in found):
        if step not in ticking.done and not await ticking.ask(step):
            left.append(step)
            continue
        reason = ticking.reason if step in ticking.done else "asked on the terminal"
        text = f"done after it: {step} ({reason})"
        data: dict[str, object] = {"after": step, "runs": runs, "reason": reason}
        scribe.say(Kind.RESULT, text, phase=Phase.FINALIZE, data=data)
    return left


def refuse_idle_ticks(
    ticking: Ticking, readings: Sequence[NodeReading], results: Sequence[NodeResult]
) -> None:
    """Raises LiftlockError, exit 4, where steps were named as done and there was nothing to tick.

    Where a finalize has just failed, its result says so.
    """
    is_idle = all(each.result in (Result.ALREADY, Result.EXCLUDED) for each in results)
    if ticking.done and is_idle and not _made_final(readings, results):
        raise LiftlockError(
            Problem(
                "nothing-to-tick",
                "Nothing was ticked: no upgrade was made final here that steps come after.",
                ", ".join(sorted(ticking.done)),
            ),
            Exit.REFUSED,
        )


def _made_final(readings: Sequence[NodeReading], results: Sequence[NodeResult]) -> frozenset[str]:
    """The upgrades that are final on every node; none while one is not, or none was made final.

    What was adopted was not made final by an upgrade, and nothing is to be done after it.
    """
    ended = {each.node: each.result for each in results}
    found: set[str] = set()
    was_upgraded = False
    for reading in readings:
        facts = reading.facts
        if reading.left_out is not None:
            continue
        if facts is None or not reading.read:
            return frozenset()
        marker = facts.finalized
        if facts.transaction is not None:
            if ended.get(reading.name) is not Result.FINALIZED:
                return frozenset()
            found.add(facts.transaction.run)
            was_upgraded = True
        elif isinstance(marker, Finalized):
            found.add(marker.run)
            was_upgraded |= facts.last_outcome == "ok" and facts.last_run == marker.run
        else:
            return frozenset()
    return frozenset(found) if was_upgraded else frozenset()


def _ticks(book: Book, cluster: str, product: str) -> Iterator[Tick]:
    for run in _finalizes(book, cluster, product):
        for entry in book.entries(run.id):
            step, runs = entry.data.get("after"), entry.data.get("runs")
            if isinstance(step, str) and isinstance(runs, list):
                reason = str(entry.data.get("reason", ""))
                yield Tick(step, frozenset(map(str, runs)), run.operator, reason)


def _finalizes(book: Book, cluster: str, product: str) -> Iterator[Run]:
    runs = book.runs(cluster, limit=_RUNS_LOOKED_AT)
    return (run for run in runs if (run.kind, run.product) == (FINALIZE, product))
