"""What drives an open upgrade on a simulated node: the way forward, and what follows a decision.

The same records in the same order as the real driver writes them, with time passing in between.
"""

from collections.abc import Callable, Mapping
from typing import Any

from backends.node import wire
from backends.node.canonical import canonical
from backends.node.expand import expand
from backends.sim import records as standing
from backends.sim.content import compare, sha256_of
from backends.sim.node import SimNode, Step, Transaction
from backends.sim.opened import Open, Waits, put_away
from backends.sim.records import Records
from backends.sim.routine import Routine, Steps
from backends.sim.trial import LOOK_SECONDS, resume, watch
from backends.sim.undoing import complete, decide_and_undo, undo


class StepFailed(Exception):
    """The way forward ends here; the text is the first error and stays visible."""


def begin(
    node: SimNode, plan: Mapping[str, Any], updater: str, order: Mapping[str, Any]
) -> Transaction:
    """Create the transaction: from here on it is there for everybody."""
    journal = Records(node.stamp)
    opened = Transaction(plan, journal, updater)
    node.disk.active = opened
    journal.listeners.append(lambda: _heard(node))
    journal.append(
        "BEGIN",
        plan=sha256_of(canonical(plan) + b"\n"),
        txn=plan["txn"],
        run=plan["run"],
        source=plan["from"],
        target=plan["to"],
        updater=updater,
        operator=plan["operator"],
        reason=plan["reason"],
        **wire.request_of(order),
    )
    return opened


def _heard(node: SimNode) -> None:
    if node.driver is not None:
        node.driver.wake(LOOK_SECONDS)
    node.changed()


def launch(node: SimNode, waits: Callable[[Open], Waits], **owner: object) -> None:
    """Start a driver for the open transaction; it has the lock until it is over."""
    if node.disk.active is None:
        raise AssertionError("nothing is open that could be driven")
    node.owner = {**owner, "since": node.clock.now()}
    opened = Open(node, node.disk.active)
    node.driver = Routine(node.clock, _steps(waits(opened)), lambda: let_go(node))
    node.driver.step()
    node.changed()


def _steps(waits: Waits) -> Steps:
    yield from waits


def let_go(node: SimNode) -> None:
    """After a driver ended: carry out what was ordered while it was leaving."""
    node.driver = None
    node.changed()
    newest = node.disk.active.records[-1]["t"] if node.disk.active else ""
    if newest in ("ROLLBACK", "FINALIZE"):
        launch(node, recover, **node.owner)
    elif newest == "EXTEND":
        launch(node, watch, **node.owner)


def recover(opened: Open) -> Waits:
    """Bring a transaction that nobody drives to rest: the outcome word."""
    records = opened.records
    decided = standing.decision(records)
    if standing.last(records, "END"):
        put_away(opened)
        return "ok"
    if decided == "FINALIZE":
        return (yield from complete(opened))
    if decided == "ROLLBACK":
        return (yield from undo(opened))
    if decided == "ACCEPT" or standing.is_held(records):
        return "ok"
    if not standing.last(records, "TRIAL"):
        why = f"the updater died before the trial; last record {records[-1]['t']}"
        return (yield from decide_and_undo(opened, why, "recover"))
    if opened.plan["policy"]["if_operator_vanishes"] == "rollback":
        return (yield from decide_and_undo(opened, "the watcher died during the trial", "recover"))
    return (yield from resume(opened))


# --- the way forward ----------------------------------------------------------------------------


def forward(opened: Open) -> Waits:
    """From behind BEGIN to the trial and through it; any failure on it is the way back."""
    try:
        yield from _to_the_trial(opened)
    except StepFailed as error:
        return (yield from decide_and_undo(opened, str(error), "the updater"))
    if standing.decision(opened.records) == "ROLLBACK":
        return (yield from undo(opened))
    return (yield from watch(opened))


def _give_leadership_away(opened: Open) -> Steps:
    """On a simulated node another one leads as soon as it is asked to."""
    how = opened.document.get("leader")
    if opened.old is None or not how or not opened.node.leads:
        return
    if not how["move"]:
        text = "it leads, and the profile names no way to move that"
        opened.log("CALL", hook="leadership", when="before_stop", ok=True, text=text)
        return
    opened.log("CALL", hook="leadership", when="before_stop", ok=None, text="")
    yield from opened.pause(opened.node.durations.switch / 2)
    opened.node.leads = False
    text = "it does not lead any more"
    opened.log("CALL", hook="leadership", when="before_stop", ok=True, text=text)


def _call(opened: Open, when: str) -> Steps:
    """The hooks of a moment: on a simulated node, all of them succeed."""
    for hook in opened.document["hooks"]:
        if hook["when"] == when and (opened.old is not None or when.endswith("_start")):
            opened.log("CALL", hook=hook["name"], when=when, ok=None, text="")
            yield from opened.pause(opened.node.durations.switch / 2)
            opened.log("CALL", hook=hook["name"], when=when, ok=True, text="exit 0")


def _copy_data(opened: Open) -> None:
    """On a simulated node every data directory holds the same."""
    values = {**opened.document["values"], "directory": opened.document["directory"]}
    copied = [
        {
            "path": expand(path, values).encode().hex(),
            "store": "",
            "digest": None,
            "files": 3,
            "bytes": 4096,
        }
        for path in opened.document["data"]["directories"]
    ]
    if copied:
        opened.log("DATA", copied=copied, seconds=0.1)


def _take_baseline(opened: Open) -> None:
    if opened.old is None or all(each["level"] == "hard" for each in opened.document["health"]):
        return
    failing = [each.name for each in opened.old.health() if each.level == "soft" and not each.ok]
    opened.log("BASELINE", failing=failing)


def _to_the_trial(opened: Open) -> Steps:
    durations = opened.node.durations
    is_ordered_so = opened.plan["policy"]["second_layer"] == "none"
    if is_ordered_so:
        opened.log("HOOK", layer="none", why="ordered so by second_layer")
    else:
        opened.log("HOOK", layer="systemd", why="")
    _take_baseline(opened)
    yield from opened.pause(durations.prepare / 2)
    opened.transaction.steps = _compile(opened)
    opened.log(
        "INTENTS",
        file=sha256_of(canonical([step.path for step in opened.steps])),
        steps=len(opened.steps),
    )
    yield from opened.pause(durations.prepare / 2)
    opened.log("BACKUPS", steps=len(opened.steps))
    if standing.decision(opened.records) == "ROLLBACK":
        return
    yield from _give_leadership_away(opened)
    yield from _call(opened, "before_stop")
    yield from _stop_old(opened)
    _copy_data(opened)
    yield from _call(opened, "after_stop")
    opened.log("QUIET", file=sha256_of(b"{}"), kept=0)
    for step in opened.steps:
        yield from opened.pause(durations.switch / 2)
        _apply(opened, step)
        done = "create" if step.before == "absent" else "replace"
        opened.log("EFFECT", step=step.number, what=f"{done} {step.path}")
    yield from opened.pause(durations.switch / 2)
    _check_target(opened)
    if standing.decision(opened.records) == "ROLLBACK":
        return
    yield from _call(opened, "before_start")
    yield from _start_new(opened)
    yield from _call(opened, "after_start")
    window = float(opened.limits["accept_window"])
    until = round(opened.node.since_boot() + window, 3)
    opened.log("TRIAL", until=until, window=window, spent=0.0)


def _compile(opened: Open) -> list[Step]:
    """The steps; a tree that is in place and exactly the release is left alone."""
    version, disk = opened.to["version"], opened.disk
    steps = []
    placed = disk.trees.get(version)
    if not compare(placed, opened.record.files).is_exact:
        steps.append(Step(0, opened.to["path"], "dir" if placed else "absent"))
    before = "absent" if disk.pointer is None else "file"
    steps.append(Step(len(steps), opened.pointer, before))
    return steps


def _apply(opened: Open, step: Step) -> None:
    version, disk = opened.to["version"], opened.disk
    if step.path == opened.pointer:
        opened.node.select(version)
    else:
        if version not in disk.staging:
            raise StepFailed(f"[Errno 2] No such file or directory: {version!r}")
        if step.before == "dir":
            disk.store[step.number] = disk.trees[version]
        disk.trees[version] = disk.staging.pop(version)
    step.is_done = True
    opened.node.changed()


def _stop_old(opened: Open) -> Steps:
    old = opened.old
    if old is None:
        opened.log("SVC", verb="stop", was="absent", ok=True, text="first install")
        return
    was, text = old.status()
    if was == "stopped" and not old.living:
        opened.log("SVC", verb="stop", was="stopped", ok=True, text=text)
        return
    opened.log(
        "SVC",
        verb="stop",
        was="started",
        ok=None,
        pids=old.living,
        start_id=old.identity,
        text=text,
    )
    gone, text = yield from opened.stop(old)
    opened.log("SVC", verb="stopped", ok=gone, text=text)
    if not gone:
        raise StepFailed(f"the service did not stop: {text}")


def _check_target(opened: Open) -> None:
    version = opened.to["version"]
    tree = opened.disk.trees.get(version)
    found = compare(tree, opened.record.files)
    pointer = opened.disk.pointer
    if not found.is_exact or pointer != version:
        raise StepFailed(f"not what was staged: {found.text()}; the pointer names {pointer}")
    opened.log("TARGET", digest=opened.to["digest"], files=found.equal)


def _start_new(opened: Open) -> Steps:
    new = opened.new
    opened.log("SVC", verb="start", ok=None, text="")
    ok, text = yield from opened.start(new)
    opened.log("SVC", verb="started", ok=ok, text=text, start_id=new.identity)
    if not ok:
        raise StepFailed(f"the new version did not start: {text}")
