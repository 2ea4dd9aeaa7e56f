"""The trial: the new version serves, the dead-man timer runs, and somebody must say ACCEPT.

Three clocks, all counted since boot so that no clock change moves them: healthy deadline, min
healthy, accept window. Silence means back: nobody has to be there for the node to return.
"""

import logging
import time
from typing import Dict, List, Optional, Tuple

from backends.node import clock, health, rollback, standing
from backends.node.journal import AppendFailed
from backends.node.transaction import Transaction

_log = logging.getLogger("liftlock")

_LOOK_SECONDS = 0.1
"""How often the journal is read for a decision."""

_FILE_SECONDS = 0.1
"""How often a status file is read, as BindPlane's updater does."""

_TICKS = 20
"""Into how many parts the accept window is counted in the journal."""


class Trial:
    """What the watcher remembers between two looks."""

    def __init__(self, transaction: Transaction) -> None:
        now = clock.since_boot()
        begun = standing.last(transaction.records, "TRIAL")
        here = begun is not None and begun["bid"] == clock.boot_id()
        self.answers: Dict[str, bool] = {}
        self.soft_since: Dict[str, float] = {}
        """Since when a soft check has failed without a break."""

        baseline = standing.last(transaction.records, "BASELINE") or {"failing": ()}
        self.as_before = frozenset(baseline["failing"])
        """Soft checks that failed with the old version, too: nobody is asked for those."""

        starts = [record for record in transaction.records if record.get("verb") == "start"]
        self.stale: health.Stale = starts[-1].get("stale") or {} if starts else {}
        self.files: List[Tuple[bool, bool]] = []
        """What the status files said last."""
        self.healthy_since: Optional[float] = None
        self.failing_since: Optional[float] = float(begun["bt"]) if begun and here else now
        self.identity = transaction.new_service.identity()
        self.known = self.identity
        self.restarts = 0
        self.flaps = 0
        self.next_look = now
        self.next_file = now
        self.next_tick = now
        self.last_failure = "no check has run yet"


def watch(transaction: Transaction) -> str:
    """Watch the trial to its end; the outcome word (ok, undone, unproven) or `held`."""
    transaction.remember_start(transaction.new_service)
    trial = Trial(transaction)
    while True:
        transaction.journal.refresh()
        decided = standing.decision(transaction.records)
        if decided == "ROLLBACK":
            return rollback.undo(transaction)
        if decided is not None:
            return "ok"
        if standing.is_held(transaction.records):
            return "held"
        try:
            why = _look(transaction, trial)
        except Exception as error:  # a watcher that dies is a dead-man timer that never rings
            _log.exception("while watching")
            why = "the trial could not be watched: %s" % error
        if why is not None:
            return _fail(transaction, why)
        if _is_over(transaction):
            return _end_of_window(transaction, trial)
        time.sleep(_LOOK_SECONDS)


def resume(transaction: Transaction) -> str:
    """Watch a trial whose watcher died, deadlines unchanged; a reboot in between counts as time.

    What the journal counted as spent before another boot is taken off the window.
    """
    trial = standing.last(transaction.records, "TRIAL")
    newest = standing.last(transaction.records, "TICK", "TRIAL")
    if trial is None or newest is None:
        raise AssertionError("no trial to resume")
    if newest["bid"] != clock.boot_id():
        left = max(0.0, float(trial["window"]) - float(newest["spent"]))
        until = round(clock.since_boot() + left, 3)
        transaction.log("EXTEND", until=until, by="the updater", why="the node was restarted")
    return watch(transaction)


def _look(transaction: Transaction, trial: Trial) -> Optional[str]:
    """One look at the service, when it is time; why the trial has failed, or None."""
    now = clock.since_boot()
    _count_time(transaction, trial, now)
    if now < trial.next_look and not _a_file_says_something_new(transaction, trial, now):
        return None
    trial.next_look = now + float(transaction.limits["health_poll"])
    checks = health.run_all(transaction.document, transaction.new_service, trial.stale)
    _journal_changes(transaction, trial, checks)
    why = _count_restarts(transaction, trial)
    if why is not None:
        return why
    return _judge(transaction, trial, checks, clock.since_boot())


def _a_file_says_something_new(transaction: Transaction, trial: Trial, now: float) -> bool:
    """Status files are read more often than anything is asked: features B11 to B14."""
    if now < trial.next_file:
        return False
    trial.next_file = now + _FILE_SECONDS
    found = health.run_all(
        transaction.document, transaction.new_service, trial.stale, kinds=("status_file",)
    )
    before, trial.files = trial.files, [(check.ok, check.is_final) for check in found]
    return trial.files != before


def _judge(
    transaction: Transaction, trial: Trial, checks: List[health.Check], now: float
) -> Optional[str]:
    failure = health.first_failure(checks)
    _count_soft(trial, checks, now)
    if failure is None and trial.identity is not None:
        trial.failing_since = None
        if trial.healthy_since is None:
            trial.healthy_since = now
        if now - trial.healthy_since >= transaction.limits["min_healthy"]:
            _say_healthy(transaction, trial, now)
        return None
    if failure is not None and failure.is_final:
        return "%s: %s" % (failure.name, failure.evidence)
    what = "no process of the new version" if failure is None else failure.name
    said = "" if failure is None else failure.evidence
    trial.last_failure = "%s: %s" % (what, said) if said else what
    if trial.healthy_since is not None or standing.is_healthy(transaction.records):
        trial.flaps += 1
        trial.healthy_since = None
        transaction.log("UNHEALTHY", durable=False, why=trial.last_failure[:2000])
        if trial.flaps > transaction.limits["max_flaps"]:
            return "healthy and failing %d times; %s" % (trial.flaps, trial.last_failure)
    if trial.failing_since is None:
        trial.failing_since = now
    limit = transaction.limits["healthy_deadline"]
    if now - trial.failing_since > limit:
        return "not healthy within %g s; %s" % (limit, trial.last_failure)
    return None


def _count_soft(trial: Trial, checks: List[health.Check], now: float) -> None:
    for check in checks:
        if check.level == "soft" and not check.ok:
            trial.soft_since.setdefault(check.name, now)
        else:
            trial.soft_since.pop(check.name, None)


def _say_healthy(transaction: Transaction, trial: Trial, now: float) -> None:
    """Say it once, and once more when the soft checks that a person was asked about pass.

    A soft check that has begun to fail is waited for: until it passes, or has failed so long that
    it counts. One that failed with the old version, too, is named and asks nobody.
    """
    since = trial.soft_since
    soft = sorted(name for name in since if name not in trial.as_before)
    if standing.is_healthy(transaction.records):
        said = standing.last(transaction.records, "HEALTHY")
        if soft or said is None or not said["soft"]:
            return
    limit = transaction.limits["min_healthy"]
    if any(now - since[name] < limit for name in soft):
        return
    passed = now - (trial.healthy_since or now)
    as_before = sorted(trial.as_before.intersection(since))
    transaction.log("HEALTHY", seconds=round(passed, 1), soft=soft, as_before=as_before)


def _journal_changes(transaction: Transaction, trial: Trial, checks: List[health.Check]) -> None:
    for check in checks:
        if trial.answers.get(check.name) != check.ok:
            trial.answers[check.name] = check.ok
            transaction.log("CHECK", durable=False, **check.row())


def _count_restarts(transaction: Transaction, trial: Trial) -> Optional[str]:
    identity = transaction.new_service.identity()
    if identity == trial.identity:
        return None
    trial.identity = identity
    if identity is None:
        return None  # gone: the checks judge that, and only a new one is counted
    before, trial.known = trial.known, identity
    if before in (None, identity):
        return None
    trial.healthy_since = None
    trial.restarts += 1
    transaction.log("RESTART", durable=False, before=before, now=identity, times=trial.restarts)
    if trial.restarts > transaction.limits["max_restarts"]:
        return "restarted %d times during the trial" % trial.restarts
    transaction.remember_start(transaction.new_service)
    return None


def _count_time(transaction: Transaction, trial: Trial, now: float) -> None:
    if now < trial.next_tick:
        return
    record = standing.last(transaction.records, "TRIAL")
    ends = standing.deadline(transaction.records)
    if record is None or ends is None:
        raise AssertionError("no trial to count")
    window = float(record["window"])
    trial.next_tick = now + window / _TICKS
    transaction.log("TICK", spent=round(max(0.0, window - max(0.0, ends - now)), 3))


def _is_over(transaction: Transaction) -> bool:
    ends = standing.deadline(transaction.records)
    return ends is not None and clock.since_boot() > ends


def _fail(transaction: Transaction, why: str) -> str:
    if transaction.policy["on_failure"] == "hold":
        return _hold(transaction, why)
    return rollback.decide_and_undo(transaction, why, "the updater")


def _end_of_window(transaction: Transaction, trial: Trial) -> str:
    """Nobody accepted: the vanished-operator policy decides."""
    policy = transaction.policy["if_operator_vanishes"]
    healthy = standing.is_healthy(transaction.records)
    if policy == "hold":
        return _hold(transaction, "the accept window ended without a decision")
    if policy == "keep_if_healthy" and healthy:
        try:
            reason = transaction.decide("ACCEPT", by="the updater", how="unattended")
        except AppendFailed as error:
            return rollback.decide_and_undo(transaction, str(error), "the updater")
        if reason in (None, "ACCEPT"):
            return "ok"
    state = "healthy" if healthy else "not healthy (%s)" % trial.last_failure
    why = "nobody accepted within %g s; %s" % (transaction.limits["accept_window"], state)
    return rollback.decide_and_undo(transaction, why, "the updater")


def _hold(transaction: Transaction, why: str) -> str:
    reason = transaction.decide("HELD", why=why[:4000])
    if reason == "ROLLBACK":
        return rollback.undo(transaction)
    return "ok" if reason else "held"
