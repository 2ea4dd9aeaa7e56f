"""The single acts beside an upgrade: each a run of its own, in the book before it begins."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from app.runs.afterwards import Ticking, open_steps, refuse_idle_ticks, tick_off
from app.runs.keeping import about, always_ended, begin_run, end_run, without_secrets
from app.runs.looking import chosen, look, unknown_nodes
from app.runs.notifying import notify
from app.session import Session
from backends.domain.facts import Finalized, NodeReading, OpenTransaction
from backends.domain.plan import order_nodes
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import CHANGING
from backends.domain.verdict import decide
from backends.engine.accepted import is_reversible, refuse_unless_all_accepted
from backends.engine.acts import Acts, Preview
from backends.engine.events import Observer
from backends.engine.restarting import Restarts
from backends.engine.results import NodeResult, Result, exit_of_act
from backends.engine.scribe import Scribe
from backends.engine.way_back import GoOn
from backends.releases.read import Release
from backends.store.book import Book


@dataclass(frozen=True, slots=True)
class Scene:
    """What an act has to work with."""

    session: Session
    run: str
    acts: Acts
    readings: Sequence[NodeReading]
    """Of the whole cluster."""

    chosen: Sequence[NodeReading]
    book: Book
    scribe: Scribe
    left: list[str] = field(default_factory=list)
    """What keeps the act from being complete although every node did its part: a person's."""


Work = Callable[[Scene], Awaitable[list[NodeResult]]]


@dataclass(frozen=True, slots=True)
class Done:
    """How an act ended."""

    run: str
    kind: str
    exit: Exit
    nodes: tuple[NodeResult, ...]
    text: str


class Interrupted(asyncio.CancelledError):
    """An act was interrupted here; what a node has begun it finishes by itself."""

    def __init__(self, begun: tuple[str, ...]) -> None:
        super().__init__()
        self.begun = begun
        """The nodes on which the book has something."""


async def act(
    session: Session,
    book: Book,
    run: str,
    kind: str,
    wanted: Result,
    work: Work,
    observe: Observer,
    note: str = "",
    *,
    changes: bool = True,
) -> Done:
    """Do one act on the chosen nodes; `run` is its id, which the book does not have yet.

    `changes`: whether it may have changed something on a node.

    Raises:
        LiftlockError: It was refused or declined; the book says so.
        Interrupted: It was cancelled; the book says so.
        Exception: Nobody expected it; the book says that it broke off.
    """
    readings, _ = await look(session)
    start = about(session, run, kind, note, readings=chosen(session, readings))
    begin_run(book, session, start)
    scribe = Scribe(book, run, observe)
    acts = Acts(session.chosen_contacts, scribe, session.limits.healthy_deadline_seconds)
    scene = Scene(session, run, acts, readings, chosen(session, readings), book, scribe)
    try:
        with always_ended(book, scribe, observe):
            results = without_secrets(book, await work(scene) + unknown_nodes(session))
    except asyncio.CancelledError:
        begun = tuple(sorted({entry.node for entry in book.entries(run) if entry.node}))
        raise Interrupted(begun) from None
    code = exit_of_act(results, wanted, changes=changes)
    words = (f"{item.node} {item.result.replace('_', ' ')}" for item in results)
    text = f"{kind}: {', '.join(words)}"
    if scene.left:
        text += f"; left to do: {', '.join(scene.left)}"
        code = Exit.WAITING if code is Exit.OK else code
    end_run(book, scribe, code, text, observe, results)
    if changes:
        await notify(session, scribe, kind, code, text, results)
    return Done(run, kind, code, tuple(results), text)


async def roll_back(
    scene: Scene,
    reason: str,
    agreed: Callable[[Sequence[NodeReading]], Awaitable[str | None]],
    go_on: GoOn,
) -> list[NodeResult]:
    """Take back the open upgrades of the chosen nodes, the last one first.

    `agreed` is asked with the nodes in that order and raises what ends the act. It says what
    becomes of copied data, `keep` or `restore`; None where none was copied.

    Raises:
        LiftlockError: None is open (exit 4), or that is not known (exit 3).
    """
    todo = _last_first(scene)
    going = [reading for reading in todo if is_reversible(reading)]
    if not going:
        raise _nothing_to_roll_back(scene)
    _refuse_apart(scene, going)
    data = await agreed(going)
    return await scene.acts.roll_back(todo, reason or "asked for by a person", go_on, data)


async def verify(scene: Scene) -> list[NodeResult]:
    """Hold what runs on the chosen nodes against what was recorded of it.

    Raises:
        LiftlockError: None of them counts (exit 4).
    """
    results = await scene.acts.verify(scene.chosen)
    if results and all(each.result is Result.EXCLUDED for each in results):
        raise LiftlockError(
            Problem(
                "nothing-to-verify",
                "None of the chosen nodes counts.",
                "; ".join(each.problem.summary for each in results if each.problem),
            ),
            Exit.REFUSED,
        )
    return results


def with_data(readings: Sequence[NodeReading]) -> list[OpenTransaction]:
    """The open upgrades of these nodes in which data was copied and nothing is decided on it."""
    opened = [reading.facts.transaction for reading in readings if reading.facts is not None]
    return [
        each for each in opened if each is not None and each.data and each.decision != "ROLLBACK"
    ]


async def finalize(
    scene: Scene,
    version: str | None,
    agreed: Callable[[str], Awaitable[None]],
    ticking: Ticking | None = None,
) -> list[NodeResult]:
    """Make the accepted version final on every node; `agreed` is asked with it before.

    Where it is final everywhere already, nobody is asked. What is left of the steps after it is
    in the scene.

    Raises:
        LiftlockError: A node is not accepted, does not serve, or is on another version than
            `version` (exit 4); not read (exit 3).
    """
    wanted = refuse_unless_all_accepted(scene.readings, version)
    if any(is_reversible(reading) for reading in scene.readings):
        await agreed(wanted)
    results = await scene.acts.finalize(scene.readings)
    session, readings = scene.session, scene.readings
    steps = session.profile.finalize.after
    if steps:
        about = (session.cluster.name, session.profile.name)
        found = open_steps(steps, scene.book, *about, readings, results)
        done = ticking or Ticking()
        scene.left.extend(await tick_off(steps, found, done, scene.scribe, readings, results))
        refuse_idle_ticks(done, readings, results)
    return results


async def adopt(
    scene: Scene,
    agreed: Callable[[tuple[Preview, ...]], Awaitable[bool]],
    release: Release | None = None,
) -> list[NodeResult]:
    """Record what runs, and its content, as finalized; `agreed` is asked with it before.

    With the release that it came from, what runs is held against that, and it is recorded as that.

    Raises:
        LiftlockError: It was not agreed to (exit 4).
    """
    acts, failed = scene.acts, dict[str, NodeResult]()
    shown = await acts.preview("adopt")
    if release is not None:  # only where there is something to adopt
        others = [item for item in shown if isinstance(item, NodeResult)]
        without = [item.node for item in others]
        session = scene.session
        failed = await acts.bring(
            release, scene.run, session.staging, session.limits.uploads, without
        )
        without += failed
        shown = [*await acts.preview("adopt", without=without, released=True), *others]
    previews = tuple(item for item in shown if isinstance(item, Preview))
    if previews and not await agreed(previews):
        raise LiftlockError(Problem("declined", "Nothing was recorded: it was not agreed to."))
    released = release is not None
    done = [await acts.adopt(preview, scene.run, released=released) for preview in previews]
    refused = [item for item in shown if isinstance(item, NodeResult)]
    return done + refused + [*failed.values()] + left_out(scene)


async def restart(
    scene: Scene,
    reason: str,
    agreed: Callable[[Sequence[NodeReading]], Awaitable[None]],
    go_on: GoOn,
) -> list[NodeResult]:
    """Restart the service on the chosen nodes, one after the other, in the order of a plan.

    `agreed` is asked with the nodes before; `go_on` where one that serves would go down while
    others do not.

    Raises:
        LiftlockError: An upgrade is at work, or nothing is there to restart (exit 4); none of
            the chosen nodes can be read (exit 3).
    """
    _refuse_beside_an_upgrade(scene)
    todo = _first_first(scene)
    going = [each for each in todo if each.left_out is None and each.read]
    if not going:
        raise _nothing_to_restart(todo)
    await agreed(going)
    session = scene.session
    restarts = Restarts(
        session.contacts,
        scene.scribe,
        session.limits.healthy_deadline_seconds,
        session.policy.second_layer,
    )
    counted = [reading.name for reading in scene.readings if reading.left_out is None]
    done = await restarts.restart(going, counted, reason, go_on)
    return done + [_passed_over(each) for each in todo if each not in going]


def _refuse_beside_an_upgrade(scene: Scene) -> None:
    at_work = [
        f"{reading.name}: {reading.facts.state.replace('_', ' ')}"
        for reading in scene.readings
        if reading.left_out is None and reading.facts and reading.facts.state in CHANGING
    ]
    if at_work:
        raise LiftlockError(
            Problem(
                "upgrade-at-work",
                "An upgrade is at work on the cluster: no node is restarted beside it.",
                "\n".join(at_work),
                "Wait for its end, accept it, or roll it back.",
            ),
            Exit.REFUSED,
        )


def _nothing_to_restart(todo: Sequence[NodeReading]) -> LiftlockError:
    found = [_passed_over(each) for each in todo]
    unread = any(each.result is Result.UNREACHABLE for each in found)
    return LiftlockError(
        Problem(
            "nothing-to-restart",
            "None of the chosen nodes can be restarted.",
            "\n".join(each.problem.summary for each in found if each.problem),
        ),
        Exit.UNREACHABLE if unread else Exit.REFUSED,
    )


def _passed_over(reading: NodeReading) -> NodeResult:
    if reading.left_out is None:
        return NodeResult(reading.name, Result.UNREACHABLE, reading.problem)
    problem = Problem("left-out", f"{reading.name} is left out: {reading.left_out}")
    return NodeResult(reading.name, Result.EXCLUDED, problem)


def _first_first(scene: Scene) -> list[NodeReading]:
    """The chosen nodes in the order in which they are installed."""
    return _last_first(scene)[::-1]


def _last_first(scene: Scene) -> list[NodeReading]:
    """The chosen nodes in the reverse of the order in which they are installed."""
    session = scene.session
    subjects = [session.subjects[reading.name] for reading in scene.chosen]
    order = order_nodes(
        [(subject.node, subject.role, subject.canary) for subject in subjects],
        session.profile.product.roles,
    )
    by_name = {reading.name: reading for reading in scene.chosen}
    return [by_name[name] for name in reversed(order)]


def _refuse_apart(scene: Scene, going: Sequence[NodeReading]) -> None:
    """Where this upgrade is final on a node already, the others do not all go back unasked for.

    Raises:
        LiftlockError: `final-in-part`, exit 4.
    """
    opened = [each.facts.transaction for each in going if each.facts is not None]
    runs = {each.run for each in opened if each is not None}
    final = [
        reading.name
        for reading in scene.readings
        if reading.left_out is None
        and reading.facts is not None
        and isinstance(reading.facts.finalized, Finalized)
        and reading.facts.finalized.run in runs
    ]
    if final and len(scene.chosen) == len(scene.readings):
        name, others = scene.session.name, ",".join(each.name for each in going)
        raise LiftlockError(
            Problem(
                "final-in-part",
                f"{', '.join(final)}: final already, without a way back.",
                f"not final yet: {', '.join(each.name for each in going)}",
                f"Finish it: liftlock finalize {name}. Or have two versions: liftlock rollback "
                f"{name} -n {others}.",
            ),
            Exit.REFUSED,
        )


def _nothing_to_roll_back(scene: Scene) -> LiftlockError:
    unread = [
        reading.name for reading in scene.chosen if not reading.read and not reading.excluded
    ]
    verdict = decide(scene.readings, scene.session.name)
    if unread:
        return LiftlockError(
            Problem(
                "not-known-what-is-open",
                "It is not known whether an upgrade is open on the chosen nodes.",
                f"not read: {', '.join(unread)}; on the others none is open",
                verdict.next_action,
            ),
            Exit.UNREACHABLE,
        )
    return LiftlockError(
        Problem(
            "nothing-to-roll-back",
            "No upgrade is open on the chosen nodes.",
            verdict.headline(),
            f"way back: {verdict.way_back}",
        ),
        Exit.REFUSED,
    )


def left_out(scene: Scene) -> list[NodeResult]:
    """A result for each chosen node that the cluster file leaves out."""
    return [
        NodeResult(
            reading.name,
            Result.EXCLUDED,
            Problem("left-out", f"{reading.name} is left out: {reading.excluded}"),
        )
        for reading in scene.chosen
        if reading.excluded is not None
    ]
