"""What is read from this workstation's own disk for the screen: releases, and the newest run."""

import time
from pathlib import Path

from app.between.news import Recalled, ReleaseFound, Releases
from backends.domain.clean import clean, line
from backends.domain.problem import LiftlockError
from backends.domain.states import Phase
from backends.engine.events import Event, Kind
from backends.engine.reading import LAST_MOMENT
from backends.releases.read import TARBALL_SUFFIX, open_release
from backends.releases.signature_rule import Rule, vouched
from backends.store.book import Book, Entry, Run
from backends.store.retention import WATCH

_RUNS_LOOKED_AT = 20


def find_releases(folder: Path, rule: Rule) -> Releases:
    """The releases in a folder, newest first; one that cannot be used says why.

    Their signatures are held against the `rule`; their tarballs are not read here.
    """
    paths = sorted(folder.glob(f"*{TARBALL_SUFFIX}")) if folder.is_dir() else []
    found = [_release(path, rule) for path in paths]
    found.sort(key=lambda each: (each.created, each.version), reverse=True)
    return Releases(_shown(folder), tuple(found))


def newest_run(book: Book, cluster: str) -> Recalled | None:
    """The newest run of a cluster in which something was done on a node, not merely noticed.

    Whatever is written there is shown as far as it is understood: another version of this program
    may have written it, and nobody may be kept from watching the nodes by it.

    Raises:
        LiftlockError: The history cannot be read at all.
    """
    for run in book.runs(cluster, limit=_RUNS_LOOKED_AT):
        if run.kind == WATCH:
            continue
        entries = book.entries(run.id)
        if any(entry.node for entry in entries):
            shown = (
                entry for entry in entries if entry.kind != Kind.COMMAND
            )  # as live: kept only
            events = tuple(map(_event, shown))
            return Recalled(run.id, run.kind, _end(run), events)
    return None


def _shown(folder: Path) -> str:
    """A folder as short as an operator would name it."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def _release(path: Path, rule: Rule) -> ReleaseFound:
    try:
        release = open_release(path)
    except LiftlockError as error:
        name = path.name.removesuffix(TARBALL_SUFFIX)
        return ReleaseFound(str(path), name, "", "", 0, problem=error.problem)
    problem = None
    try:
        release = vouched(release, rule, time.time())
    except LiftlockError as error:
        problem = error.problem
    manifest = release.manifest
    return ReleaseFound(
        path=str(path),
        version=manifest.version,
        name=manifest.name,
        created=manifest.created,
        bytes=manifest.total_bytes,
        provenance=release.provenance,
        problem=problem,
    )


def _end(run: Run) -> str:
    return run.outcome or "" if run.ended is not None else ""


def _event(entry: Entry) -> Event:
    """A line of the journal; words that this version does not know become part of its text."""
    text: str = clean(entry.text)
    phase, kind = None, Kind.RECORD
    if entry.phase in set(Phase):
        phase = Phase(entry.phase)
    elif entry.phase:
        text = f"{line(entry.phase)}: {text}"
    if entry.kind in set(Kind):
        kind = Kind(entry.kind)
    else:
        text = f"{line(entry.kind)}: {text}"
    return Event(
        time=_moment(entry.time),
        run=entry.run,
        node=entry.node,
        phase=phase,
        kind=kind,
        text=text,
        data=entry.data if isinstance(entry.data, dict) else {},
        key=entry.key or "",
    )


def _moment(seconds: float) -> float:
    """A time that a clock can show; what is none is the beginning of all."""
    return seconds if 0 <= seconds <= LAST_MOMENT else 0.0
