"""`exclude` and `include`: leave nodes out, pin them, forbid a version; each with a reason."""

import json
import time
from collections.abc import Sequence
from datetime import date

from app.headless.options import Options
from app.headless.say import observer, out, talk
from app.headless.work import drive, open_cluster
from app.runs.keeping import about, always_ended, begin_run, end_run, fresh_run
from app.runs.looking import look
from app.session import Session, open_book
from backends.domain.clean import line
from backends.domain.facts import NodeReading
from backends.domain.marks import Mark, MarkKind
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.events import Kind
from backends.engine.reading import utc
from backends.engine.scribe import Scribe
from backends.settings.locations import ensure_private
from backends.store.marks import Marks


def exclude(
    options: Options, nodes: Sequence[str], *, pin: bool, forbid: str, until: str | None
) -> int:
    """Mark nodes, or a version; nothing is changed on a node, and none has to be reached.

    A node in the middle of an upgrade is left to what it decides by itself, which is said.
    """
    _refuse_empty_reason(options, "exclude")
    session = open_cluster(options)
    _refuse_unknown(session, nodes)
    kind = MarkKind.FORBID if forbid else MarkKind.PIN if pin else MarkKind.EXCLUDE
    if not nodes and kind is not MarkKind.FORBID:
        raise LiftlockError(
            Problem("node-missing", "Which node is left out?", advice="Name it."), Exit.USAGE
        )
    until = _day(until)
    marks = [
        Mark(
            kind=kind,
            node=node,
            version=forbid,
            reason=options.reason.strip(),
            owner=session.operator,
            since=utc(time.time()),
            until=until,
        )
        for node in (nodes or ("",))
    ]
    if kind is not MarkKind.FORBID:
        _tell_open(session, nodes, kind)
    _write(session, options, "exclude", marks)
    return _show(session, options)


def include(options: Options, nodes: Sequence[str], *, forbid: str) -> int:
    """Take marks away again; what the cluster file says stays.

    Raises:
        LiftlockError: There is no such mark (exit 2).
    """
    _refuse_empty_reason(options, "include")
    session = open_cluster(options)
    _refuse_unknown(session, nodes)
    there = _marks(session).read()
    if forbid:
        gone = [
            each for each in there if each.version == forbid and (each.node in nodes or not nodes)
        ]
    else:
        gone = [each for each in there if each.node in nodes and each.kind is not MarkKind.FORBID]
    without = {*nodes} - {each.node for each in gone} if nodes else set()
    if not gone or without:
        in_file = [
            f"{node.name}: {node.excluded or node.pinned} (cluster file)"
            for node in session.cluster.nodes
            if node.name in without and (node.excluded or node.pinned)
        ]
        raise LiftlockError(
            Problem(
                "mark-unknown",
                f"No mark of yours is on {', '.join(sorted(without)) or forbid or 'that'}.",
                "\n".join([*in_file, *(_words(each) for each in there)]) or "there are none",
                "What stands in the cluster file is changed there."
                if in_file
                else "Name what is marked.",
            ),
            Exit.USAGE,
        )
    _write(session, options, "include", gone)
    return _show(session, options)


def _write(session: Session, options: Options, kind: str, marks: Sequence[Mark]) -> None:
    """In the book first, then in the file."""
    with open_book(session.state_dir) as book:
        run, see = fresh_run(book), observer(options)
        begin_run(book, session, about(session, run, kind, options.reason))
        scribe = Scribe(book, run, see)
        with always_ended(book, scribe, see):
            for mark in marks:
                scribe.say(Kind.PHASE, f"{kind}: {_words(mark)}", node=mark.node)
            kept = _marks(session)
            if kind == "exclude":
                kept.put(marks)
            else:
                kept.take_away(marks)
        end_run(book, scribe, Exit.OK, f"{kind}: {', '.join(map(_what, marks))}", see)


def _tell_open(session: Session, nodes: Sequence[str], kind: MarkKind) -> None:
    """What marked nodes are in the middle of; one cannot be pinned there."""
    readings, _ = drive(session, look(session))
    opened = [
        reading
        for reading in readings
        if reading.name in nodes and reading.read and reading.facts and reading.facts.transaction
    ]
    if opened and kind is MarkKind.PIN:
        raise LiftlockError(
            Problem(
                "upgrade-open",
                f"{', '.join(each.name for each in opened)}: in the middle of an upgrade.",
                "\n".join(_open_words(each) for each in opened),
                "Finalize it or roll it back, then pin the node to what it runs.",
            ),
            Exit.REFUSED,
        )
    for reading in opened:
        talk([_open_words(reading)])


def _open_words(reading: NodeReading) -> str:
    opened = reading.facts.transaction if reading.facts else None
    if opened is None:
        return f"{reading.name}: nothing is open there"
    ends = opened.decides_at_seconds
    when = f"in {ends:.0f} s at the latest {opened.then}" if ends is not None else "it stays so"
    return (
        f"{reading.name}: run {opened.run} to {opened.to_version} is open there; left out, "
        f"{when}, and nobody finalizes it or takes it back with the others"
    )


def _show(session: Session, options: Options) -> int:
    marks = _marks(session).read()
    if options.json:
        content = {
            "schema": "liftlock.marks/1",
            "cluster": session.cluster.name,
            "marks": [
                {
                    "kind": each.kind.value,
                    "node": each.node or None,
                    "version": each.version or None,
                    "reason": each.reason,
                    "owner": each.owner,
                    "since": each.since,
                    "until": each.until or None,
                }
                for each in marks
            ],
        }
        out([json.dumps(content, sort_keys=True)])
    else:
        out([_words(each) for each in marks] or ["nothing is marked"])
    return Exit.OK


def _what(mark: Mark) -> str:
    what = f"{mark.kind} {mark.version}" if mark.version else str(mark.kind)
    return f"{what} {mark.node or 'every node'}"


def _words(mark: Mark) -> str:
    return line(f"{_what(mark)}: {mark}")


def _marks(session: Session) -> Marks:
    return Marks(ensure_private(session.state_dir), session.cluster.name)


def _refuse_empty_reason(options: Options, kind: str) -> None:
    if not options.reason.strip():
        raise LiftlockError(
            Problem(
                "reason-missing",
                f"To {kind} is a named act: it needs a reason.",
                advice='Say --reason "..."; it is shown wherever the node is.',
            ),
            Exit.USAGE,
        )


def _refuse_unknown(session: Session, nodes: Sequence[str]) -> None:
    unknown = [name for name in nodes if name not in session.subjects]
    if unknown:
        raise LiftlockError(
            Problem(
                "node-unknown",
                f"There is no node {', '.join(unknown)}.",
                f"Nodes: {', '.join(session.subjects)}",
            ),
            Exit.USAGE,
        )


def _day(words: str | None) -> str:
    if not words:
        return ""
    try:
        return date.fromisoformat(words).isoformat()
    except ValueError as error:
        raise LiftlockError(
            Problem("day-unreadable", f"{line(words)!r} is no day.", advice="As in 2026-12-01."),
            Exit.USAGE,
        ) from error
