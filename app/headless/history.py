"""The run history: what was done, what is being done just now, and the report of a run."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from app.headless import lines, shapes
from app.headless.say import out, talk
from app.headless.whole import write_whole
from app.history.markdown import markdown
from app.history.report import report as report_of
from app.session import open_book, operator_state, read_cluster
from backends.domain.clean import clean
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.cluster import Cluster
from backends.settings.find import VARIABLE
from backends.store.book import Book, Entry, Run
from backends.store.retention import WATCH

_BETWEEN_LOOKS_SECONDS = 0.25
"""To ask whether something was written costs some microseconds."""


def runs(cluster: str | None, *, limit: int, watches: bool = False, as_json: bool = False) -> int:
    """The runs of a cluster, or of all, newest first."""
    known = _cluster_or_none(cluster)
    name = known.name if known is not None and cluster is not None else None
    with open_book(operator_state(known)) as book:
        found = book.runs(name, limit + 1, watches=watches)
    shown, more = found[:limit], len(found) > limit
    if as_json:
        out([json.dumps(shapes.runs(name, time.time(), shown, more=more), sort_keys=True)])
        return Exit.OK
    for run in shown:
        out(lines.run_in_list(run))
    if not shown:
        talk(["There is no run yet." if name is None else f"There is no run on {name} yet."])
    if more:
        talk([f"There are more; the newest {limit} are shown: --limit."])
    return Exit.OK


def journal(
    cluster: str | None,
    run: str | None,
    *,
    node: str | None = None,
    follow: bool = False,
    as_json: bool = False,
) -> int:
    """The journal of a run; when none is named the newest one, of the cluster if that is named.

    To `follow` one goes on until it has ended; a newest one that is open comes first then.
    """
    known = _cluster_or_none(cluster)
    name = known.name if known is not None and cluster is not None else None
    with open_book(operator_state(known)) as book:
        found = _find(book, name, run, open_first=follow)
        entries = book.entries(found.id, node)
        goes_on = follow and found.ended is None
        if node is not None and not entries and not goes_on:
            raise LiftlockError(
                Problem("node-unknown", f"Nothing of {clean(node)} is in run {found.id}."),
                Exit.USAGE,
            )
        if not as_json:
            out(lines.run(found))
        for item in _follow(book, found.id, node) if follow else entries:
            if as_json:
                said = {"schema": "liftlock.entry/1", **asdict(item)}
                out([json.dumps(said, sort_keys=True)])
            else:
                out(lines.entry(item))
            if goes_on:
                sys.stdout.flush()
        ended = book.run(found.id) if goes_on else None
    if ended is not None and not as_json:
        out(lines.end(ended))
    return Exit.OK


def report(
    cluster: str | None,
    run: str | None,
    *,
    path: Path | None = None,
    replaces: bool = False,
    as_json: bool = False,
) -> int:
    """The report of a run for a change ticket, to standard output or into a file."""
    known = _cluster_or_none(cluster)
    name = known.name if known is not None and cluster is not None else None
    with open_book(operator_state(known)) as book:
        found = _find(book, name, run)
        made = report_of(found, book.plan(found.id), book.entries(found.id), time.time())
    # A file is for people as well; standard output has one line for one value.
    indent = None if path is None else 2
    text = [json.dumps(made, indent=indent, sort_keys=True)] if as_json else markdown(made)
    if path is None:
        out(text)
    else:
        write_whole(path, "\n".join(text) + "\n", replaces=replaces)
        talk([f"{path}: the report of run {found.id}"])
    return Exit.OK


def _follow(book: Book, run: str, node: str | None) -> Iterator[Entry]:
    """Every line of a run, those that are still to be written, too, until it has ended."""
    last, writings = 0, -1
    while True:
        known, writings = writings, book.writings()
        if known != writings:
            state = book.run(run)  # before the lines: its end is written after the last of them
            for entry in book.entries(run, node, after=last):
                last = entry.seq
                yield entry
            if state is None or state.ended is not None:
                return
        time.sleep(_BETWEEN_LOOKS_SECONDS)


def _find(book: Book, cluster: str | None, run: str | None, *, open_first: bool = False) -> Run:
    """The run that is meant.

    Raises:
        LiftlockError: `run-unknown`, exit 2.
    """
    found = book.run(run) if run else _newest(book, cluster, open_first=open_first)
    if found is not None and (cluster is None or found.cluster == cluster):
        return found
    known_runs = [item.id for item in book.runs(cluster, limit=10)]
    where = f" on {cluster}" if cluster is not None else ""
    raise LiftlockError(
        Problem(
            "run-unknown",
            f"There is no run {clean(run)}{where}." if run else f"There is no run{where} yet.",
            f"{book.path} has: {', '.join(known_runs) or 'none'}",
            "Name one of these, or the cluster that it was on: liftlock runs CLUSTER",
        ),
        Exit.USAGE,
    )


def _newest(book: Book, cluster: str | None, *, open_first: bool) -> Run | None:
    """The newest run in which something was done on a node, else the newest of all."""
    found = [run for run in book.runs(cluster) if run.kind != WATCH]
    if open_first:
        is_open = next((run for run in found if run.ended is None), None)
        if is_open is not None:
            return is_open
    acted = (run for run in found if any(entry.node for entry in book.entries(run.id)))
    return next(acted, next(iter(found), None))


def _cluster_or_none(argument: str | None) -> Cluster | None:
    """The cluster whose history is meant; None: the operator's own history, of all clusters.

    Without a name it is ./cluster.toml or $LIFTLOCK_CLUSTER, as everywhere.
    """
    if argument is None and not (Path("cluster.toml").is_file() or os.environ.get(VARIABLE)):
        return None
    return read_cluster(argument)
