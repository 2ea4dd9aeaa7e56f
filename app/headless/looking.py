"""Looking: status, plan, what is staged. Nothing is changed, on no node."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from app.headless import lines, plan_lines, shapes
from app.headless.options import Meant, Options
from app.headless.say import out, show_status, talk
from app.headless.upgrading import meant_by, shut
from app.headless.whole import write_whole
from app.headless.work import drive, open_cluster
from app.history.last_time import LastTime, last_time
from app.runs.keeping import today
from app.runs.looking import chosen, look
from app.runs.reviewed import as_json
from app.runs.upgrading import open_for, plan_from
from app.session import Session, open_book
from backends.domain.conflicts import Conflict
from backends.domain.drift import Drift
from backends.domain.facts import NodeReading
from backends.domain.gates import before_upgrade
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.verdict import Verdict, decide
from backends.engine.conflicting import conflicts_of
from backends.engine.planner import new_run, target_of
from backends.engine.reading import utc
from backends.engine.readings import aged


def status(options: Options, *, expect: str | None = None, watch: bool = False) -> int:
    """What the cluster is; the exit code is the verdict's."""
    session = open_cluster(options)
    if not watch:
        readings, verdict = drive(session, look(session))
        show_status(session, options, chosen(session, readings), verdict)
        code = _expected(verdict, expect)
        return Exit.USAGE if session.unknown and code is Exit.OK else code
    with suppress(KeyboardInterrupt):
        drive(session, _watch(session, options))
    return Exit.OK


def plan(options: Options, release: Path, meant: Meant, file: Path | None = None) -> int:
    """Show the plan and the gate before it; nodes are read, nothing is changed.

    `file` is where it is written to, to be reviewed and carried out later.
    """
    session = meant_by(open_cluster(options), meant)
    found = open_for(session, release)
    readings, verdict = drive(session, look(session))
    made = plan_from(session, found, readings, new_run(today(), lambda _: False))
    gate = before_upgrade(readings, target_of(made, found, utc(time.time())), session.name)
    if file is not None:
        write_whole(file, f"{as_json(made)}\n", replaces=True)
    if options.json:
        out([as_json(made)])
        if not gate.is_open:
            raise shut(gate)  # its lines, for who sees no screen
    else:
        last = _last_time(session)
        out([*plan_lines.plan(made, last=last), "", *plan_lines.gate(gate)])
    if verdict.nodes_read < verdict.nodes_total:
        talk([f"not certain: {verdict.nodes_read} of {verdict.nodes_total} read"])
        return Exit.UNREACHABLE
    return Exit.OK if gate.is_open else Exit.REFUSED


def _last_time(session: Session) -> LastTime | None:
    """How long it took before; a plan is also shown where the history cannot be read."""
    if not (session.state_dir / "history.sqlite3").exists():
        return None  # looking makes no file
    try:
        with open_book(session.state_dir) as book:
            return last_time(book, session.cluster.name, session.profile.name)
    except LiftlockError as error:
        talk([f"how long it took before is not known: {error.problem.summary}"])
        return None


def stages(options: Options) -> int:
    """What lies ready on each node, and since when; nothing is changed."""
    session = open_cluster(options)
    readings, _ = drive(session, look(session))
    shown = chosen(session, readings)
    if options.json:
        found = shapes.stages(session.cluster.name, time.time(), shown)
        out([json.dumps(found, sort_keys=True)])
    else:
        out(lines.stages(shown, time.time()))
    unread = any(not reading.read and reading.left_out is None for reading in shown)
    return Exit.UNREACHABLE if unread else Exit.USAGE if session.unknown else Exit.OK


def conflicts(options: Options) -> int:
    """Edited configuration beside which a new default lies, with what differs; nothing changes."""
    session = open_cluster(options)

    async def ask() -> dict[str, tuple[Conflict, ...] | Problem]:
        found = await asyncio.gather(*map(conflicts_of, session.chosen_contacts.values()))
        return dict(zip(session.chosen_contacts, found, strict=True))

    found = drive(session, ask())
    if options.json:
        out([json.dumps(shapes.conflicts(session.cluster.name, time.time(), found))])
    else:
        out(lines.conflicts(found))
    unread = any(isinstance(each, Problem) for each in found.values())
    return Exit.UNREACHABLE if unread else Exit.USAGE if session.unknown else Exit.OK


async def _watch(session: Session, options: Options) -> None:
    """Show the status again whenever a node says something that changes what is shown."""
    readings, verdict = await look(session)
    show_status(session, options, chosen(session, readings), verdict)
    latest = {reading.name: (reading, time.monotonic()) for reading in readings}
    shown = _without_clocks(session, readings)

    def see(reading: NodeReading) -> None:
        nonlocal shown
        latest[reading.name] = (reading, time.monotonic())
        now = [aged(known, at) for known, at in latest.values()]
        news = _without_clocks(session, now)
        if news == shown:
            return
        shown = news
        if not options.json:
            out(["", f"-- {lines.when(time.time())}"])
        show_status(session, options, chosen(session, now), decide(now, session.name))

    watching = [contact.watch(see) for contact in session.contacts.values()]
    await asyncio.gather(*watching)


def _without_clocks(session: Session, readings: Sequence[NodeReading]) -> str:
    """What a status shows, without what changes by itself from one second to the next."""
    still = [_stopped(reading) for reading in readings]
    found = shapes.status("", "", 0.0, chosen(session, still), decide(still, session.name))
    return json.dumps(found, sort_keys=True)


def _stopped(reading: NodeReading) -> NodeReading:
    facts = reading.facts
    if facts is not None and isinstance(facts.drift, Drift):
        facts = replace(facts, drift=replace(facts.drift, read=""))
    if facts is not None and facts.transaction is not None:
        facts = replace(facts, transaction=replace(facts.transaction, decides_at_seconds=None))
    return replace(reading, facts=facts, age_seconds=None)


def _expected(verdict: Verdict, expect: str | None) -> Exit:
    code = verdict.exit_code()
    if expect is None or code is not Exit.OK or verdict.to_version == expect:
        return code
    talk([f"expected {expect}, found {verdict.to_version}"])
    return Exit.NEEDS_PERSON
