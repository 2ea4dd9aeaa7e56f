"""The trial on a simulated node: the new version serves, and somebody must say ACCEPT.

Healthy deadline, min healthy, accept window, restarts and flaps count as the real watcher counts
them. Silence means back.
"""

from backends.sim import records as standing
from backends.sim.opened import Open, Waits
from backends.sim.service import Check, first_failure
from backends.sim.undoing import decide_and_undo, undo

LOOK_SECONDS = 0.1
"""How soon a watcher notices what somebody else wrote into its journal."""

_TICKS = 20
"""Into how many parts the accept window is counted in the journal."""

_CLOSE = 1e-6
"""Seconds by which a moment counts as reached: sums of floats are never quite exact."""


class Trial:
    """What the watcher remembers between two looks."""

    def __init__(self, opened: Open) -> None:
        now = opened.node.since_boot()
        begun = standing.last(opened.records, "TRIAL")
        here = begun is not None and begun["bid"] == opened.node.boot_id
        self.answers: dict[str, bool] = {}
        self.soft_since: dict[str, float] = {}
        baseline = standing.last(opened.records, "BASELINE") or {"failing": ()}
        self.as_before = frozenset(baseline["failing"])
        self.healthy_since: float | None = None
        self.failing_since: float | None = float(begun["bt"]) if begun and here else now
        self.identity = opened.new.identity
        self.known = self.identity
        self.restarts = 0
        self.flaps = 0
        self.next_look = now
        self.next_tick = now
        self.last_failure = "no check has run yet"


def watch(opened: Open) -> Waits:
    """Watch the trial to its end; the outcome word (ok, undone, unproven) or `held`."""
    opened.remember_start(opened.new)
    trial = Trial(opened)
    while True:
        decided = standing.decision(opened.records)
        if decided == "ROLLBACK":
            return (yield from undo(opened))
        if decided is not None:
            return "ok"
        if standing.is_held(opened.records):
            return "held"
        why = _look(opened, trial)
        if why is not None:
            return (yield from _fail(opened, why))
        ends = standing.deadline(opened.records)
        now = opened.node.since_boot()
        if ends is not None and now > ends:
            return (yield from _end_of_window(opened, trial))
        soonest = min(trial.next_look, trial.next_tick, (ends or now) + LOOK_SECONDS)
        yield max(LOOK_SECONDS, soonest - now)


def resume(opened: Open) -> Waits:
    """Watch a trial whose watcher died, deadlines unchanged; a reboot counts as time."""
    trial = standing.last(opened.records, "TRIAL")
    newest = standing.last(opened.records, "TICK", "TRIAL")
    if trial is None or newest is None:
        raise AssertionError("no trial to resume")
    if newest["bid"] != opened.node.boot_id:
        left = max(0.0, float(trial["window"]) - float(newest["spent"]))
        until = round(opened.node.since_boot() + left, 3)
        opened.log("EXTEND", until=until, by="the updater", why="the node was restarted")
    return (yield from watch(opened))


def _look(opened: Open, trial: Trial) -> str | None:
    """One look at the service, when it is time; why the trial has failed, or None."""
    now = opened.node.since_boot()
    _count_time(opened, trial, now)
    if now < trial.next_look - _CLOSE:
        return None
    trial.next_look = now + float(opened.limits["health_poll"])
    checks = opened.new.health()
    for check in checks:
        if trial.answers.get(check.name) != check.ok:
            trial.answers[check.name] = check.ok
            opened.log("CHECK", **check.row())
    return _count_restarts(opened, trial) or _judge(opened, trial, checks, now)


def _judge(opened: Open, trial: Trial, checks: list[Check], now: float) -> str | None:
    failure = first_failure(checks)
    for check in checks:
        if check.level == "soft" and not check.ok:
            trial.soft_since.setdefault(check.name, now)
        else:
            trial.soft_since.pop(check.name, None)
    if failure is None and trial.identity is not None:
        trial.failing_since = None
        if trial.healthy_since is None:
            trial.healthy_since = now
        if now - trial.healthy_since >= opened.limits["min_healthy"] - _CLOSE:
            _say_healthy(opened, trial, now)
        return None
    what = "no process of the new version" if failure is None else failure.name
    said = "" if failure is None else failure.evidence
    trial.last_failure = f"{what}: {said}" if said else what
    if trial.healthy_since is not None or standing.is_healthy(opened.records):
        trial.flaps += 1
        trial.healthy_since = None
        opened.log("UNHEALTHY", why=trial.last_failure[:2000])
        if trial.flaps > opened.limits["max_flaps"]:
            return f"healthy and failing {trial.flaps} times; {trial.last_failure}"
    if trial.failing_since is None:
        trial.failing_since = now
    limit = opened.limits["healthy_deadline"]
    if now - trial.failing_since > limit:
        return f"not healthy within {limit:g} s; {trial.last_failure}"
    return None


def _say_healthy(opened: Open, trial: Trial, now: float) -> None:
    since = trial.soft_since
    soft = sorted(name for name in since if name not in trial.as_before)
    if standing.is_healthy(opened.records):
        said = standing.last(opened.records, "HEALTHY")
        if soft or said is None or not said["soft"]:
            return
    limit = opened.limits["min_healthy"] - _CLOSE
    if any(now - since[name] < limit for name in soft):
        return
    passed = now - (trial.healthy_since or now)
    as_before = sorted(trial.as_before.intersection(since))
    opened.log("HEALTHY", seconds=round(passed, 1), soft=soft, as_before=as_before)


def _count_restarts(opened: Open, trial: Trial) -> str | None:
    identity = opened.new.identity
    if identity == trial.identity:
        return None
    trial.identity = identity
    if identity is None:
        return None
    before, trial.known = trial.known, identity
    if before in (None, identity):
        return None
    trial.healthy_since = None
    trial.restarts += 1
    opened.log("RESTART", before=before, now=identity, times=trial.restarts)
    if trial.restarts > opened.limits["max_restarts"]:
        return f"restarted {trial.restarts} times during the trial"
    opened.remember_start(opened.new)
    return None


def _count_time(opened: Open, trial: Trial, now: float) -> None:
    if now < trial.next_tick - _CLOSE:
        return
    record = standing.last(opened.records, "TRIAL")
    ends = standing.deadline(opened.records)
    if record is None or ends is None:
        raise AssertionError("no trial to count")
    window = float(record["window"])
    trial.next_tick = now + window / _TICKS
    opened.log("TICK", spent=round(max(0.0, window - max(0.0, ends - now)), 3))


def _fail(opened: Open, why: str) -> Waits:
    if opened.plan["policy"]["on_failure"] == "hold":
        return (yield from _hold(opened, why))
    return (yield from decide_and_undo(opened, why, "the updater"))


def _end_of_window(opened: Open, trial: Trial) -> Waits:
    """Nobody accepted: the vanished-operator policy decides."""
    policy = opened.plan["policy"]["if_operator_vanishes"]
    healthy = standing.is_healthy(opened.records)
    if policy == "hold":
        return (yield from _hold(opened, "the accept window ended without a decision"))
    if policy == "keep_if_healthy" and healthy:
        reason = opened.decide("ACCEPT", by="the updater", how="unattended")
        if reason in (None, "ACCEPT"):
            return "ok"
    word = "healthy" if healthy else f"not healthy ({trial.last_failure})"
    why = f"nobody accepted within {opened.limits['accept_window']:g} s; {word}"
    return (yield from decide_and_undo(opened, why, "the updater"))


def _hold(opened: Open, why: str) -> Waits:
    reason = opened.decide("HELD", why=why[:4000])
    if reason == "ROLLBACK":
        return (yield from undo(opened))
    return "ok" if reason else "held"
