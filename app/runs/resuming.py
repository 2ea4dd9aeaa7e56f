"""Which run is to go on: what the nodes have open, else what this workstation was last at.

The nodes decide. The run history says which file the release was. For which nodes the run was
begun, and at which pace, it says, too, or they do.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app.runs.upgrading import open_for
from app.session import Session
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.begun import BegunAs, begun_as, how_begun
from backends.engine.orders import ABORTED
from backends.engine.reading import NO_SENSE
from backends.releases.read import Release, open_release
from backends.store.book import Book, Run

_DECIDES = frozenset({"upgrade", "rollback", "finalize", "abort"})
"""After the newest of these it is known whether a run waits."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has begun and not come to its end."""

    run: str
    version: str
    digest: str
    by: str
    on: tuple[str, ...]
    """The nodes that have it open; none: it waits before its first one."""


def begun_run(session: Session, book: Book, readings: Sequence[NodeReading]) -> Begun:
    """The run that can be taken up.

    Raises:
        LiftlockError: There is none, or several (exit 4); or nodes are not read, and none of the
            others has one (exit 3).
    """
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    """By run, version and content: the nodes, and who began there; whoever went on may differ."""

    for reading in readings:
        opened = reading.facts.transaction if reading.read and reading.facts else None
        if opened is not None and reading.left_out is None and opened.decision != "FINALIZE":
            about = (opened.run, opened.to_version, opened.to_digest)
            found.setdefault(about, {})[reading.name] = opened.operator
    runs = [
        Begun(*about, by=", ".join(dict.fromkeys(nodes.values())), on=tuple(nodes))
        for about, nodes in found.items()
    ]
    if len(runs) > 1:
        raise LiftlockError(
            Problem(
                "several-runs",
                "Several runs are open; it is not known which one is to go on.",
                "\n".join(
                    f"{each.run} to {each.version} on {', '.join(each.on)}" for each in runs
                ),
                f"Roll all but one back: liftlock rollback {session.name} -n NODES.",
            ),
            Exit.REFUSED,
        )
    if runs:
        return runs[0]
    last = next(
        (
            each
            for each in book.runs(session.cluster.name)
            if each.kind in _DECIDES and each.product == session.profile.name
        ),
        None,
    )
    if last is not None and _waits(last) and last.version and last.digest:
        return Begun(last.id, last.version, last.digest, last.operator, ())
    raise _nothing(session, readings)


def release_of(session: Session, book: Book, run: Begun) -> Release:
    """The release of a run, from where it was or from the folder of releases.

    Raises:
        LiftlockError: It is at neither place (exit 2), or what is there is refused (exit 4).
    """
    plan = book.plan(run.run)
    known = plan.get("tarball")
    paths = [Path(known)] if isinstance(known, str) else []
    paths += sorted(session.cluster.releases.glob(f"*{run.version}.tar.gz"))
    tried = []
    for path in dict.fromkeys(paths):
        if not path.is_file() or open_release(path).manifest.version != run.version:
            tried.append(f"{path}: not there, or another version")
            continue
        found = open_for(session, path)
        if found.digest == run.digest:
            return found
        tried.append(f"{path}: other content than run {run.run} has begun with")
    raise LiftlockError(
        Problem(
            "release-unknown",
            f"Where is the release {run.version} of run {run.run}?",
            "\n".join(tried) or f"none in {session.cluster.releases}",
            f"Name it: liftlock resume {session.name} RELEASE.",
        ),
        Exit.USAGE,
    )


async def how_it_was_begun(session: Session, book: Book, run: Begun) -> BegunAs | None:
    """Which nodes, and at which pace: from our own history, else from a node that has it open.

    None where nobody has written that down: the run waits before its first node, or was begun with
    an older program.

    Raises:
        LiftlockError: A node that has the run open did not say it (exit 3).
    """
    plan = book.plan(run.run)
    if isinstance(plan.get("policy"), dict):
        with suppress(*NO_SENSE):  # another version of this program wrote it: the nodes are asked
            return begun_as([item["node"] for item in plan["nodes"]], plan["policy"])
    unheard: Problem | None = None
    for name in run.on:
        found = await how_begun(session.contacts[name], run.run)
        if isinstance(found, BegunAs):
            return found
        unheard = unheard or found
    if unheard is not None:
        raise LiftlockError(
            Problem(
                "not-known-how-begun",
                f"It is not known for which nodes run {run.run} was begun, nor at which pace.",
                f"{unheard.code}: {unheard.summary} {unheard.evidence}".strip(),
                "Name the nodes and the pace: liftlock upgrade takes the run up, too, with -n, "
                "--batch and --pause.",
            ),
            Exit.UNREACHABLE,
        )
    return None


def as_begun(session: Session, run: Begun, begun: BegunAs) -> Session:
    """The session with the nodes and the pace that the run was begun with.

    Nodes that are named now count more.
    """
    if session.chosen == tuple(session.subjects):
        its = {*begun.nodes, *run.on}
        session = replace(session, chosen=tuple(each for each in session.chosen if each in its))
    return replace(session, policy=begun.over(session.policy))


def _waits(run: Run) -> bool:
    """Whether it has begun, by this book, and neither got there nor was ended by a person."""
    is_aborted = (run.outcome or "").startswith(ABORTED)
    return run.kind == "upgrade" and run.exit != Exit.OK and not is_aborted


def _nothing(session: Session, readings: Sequence[NodeReading]) -> LiftlockError:
    unread = [each.name for each in readings if not each.read and each.left_out is None]
    if unread:
        return LiftlockError(
            Problem(
                "not-known-what-is-open",
                "It is not known whether a run is open.",
                f"not read: {', '.join(unread)}; on the others none is open",
                f"Read them first: liftlock status {session.name}.",
            ),
            Exit.UNREACHABLE,
        )
    return LiftlockError(
        Problem(
            "nothing-to-resume",
            f"No run is open on {session.cluster.name}.",
            advice=f"Begin one: liftlock upgrade {session.name} RELEASE.",
        ),
        Exit.REFUSED,
    )
