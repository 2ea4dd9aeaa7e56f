"""The way back on a simulated node, and the way to the end: finalize.

Reverse order, past failures, and it ends with a proof or says what is missing.
"""

from collections.abc import Generator

from backends.node.canonical import canonical
from backends.sim import records as standing
from backends.sim.content import Comparison, Content, Tree, compare, sha256_of
from backends.sim.node import Step
from backends.sim.opened import Open, Waits, put_away
from backends.sim.service import Service

_Problems = Generator[float | None, None, list[str]]


def decide_and_undo(opened: Open, why: str, by: str) -> Waits:
    """Record ROLLBACK by ourselves, unless somebody decided first, and go back; the outcome."""
    reason = opened.decide("ROLLBACK", standing.decision, why=why[:4000], by=by)
    if reason not in (None, "ROLLBACK"):
        return "ok"
    return (yield from undo(opened))


def undo(opened: Open) -> Waits:
    """Put everything back: `undone`, or `unproven` with the exact paths in the journal."""
    if standing.last(opened.records, "RESTORED") is None:
        _save_evidence(opened)
        failures = yield from _stop_new(opened)
        failures += yield from _undo_steps(opened)
        yield from opened.pause(opened.node.durations.undo)
        if not _prove(opened, failures):
            return "unproven"
        opened.log("RESTORED", files=len(opened.steps))
    proven = yield from _start_old(opened)
    if not proven:
        return "unproven"
    _clean(opened)
    opened.log("END", outcome="undone")
    put_away(opened)
    return "undone"


def missing(opened: Open) -> list[str]:
    """What the way back from an accepted version would not find as it was; nothing is changed."""
    return _prove_old_tree(opened, is_told=False)


def complete(opened: Open) -> Waits:
    """Carry out a recorded FINALIZE: marker, floor, then the backups are given up."""
    yield from opened.pause(opened.node.durations.finalize)
    disk, version = opened.disk, opened.to["version"]
    decided = standing.last(opened.records, "FINALIZE")
    disk.finalized = {
        "version": version,
        "digest": opened.to["digest"],
        "packaged": opened.record.packaged,
        "run": opened.plan["run"],
        "previous": (opened.disk.finalized or {}).get("previous")
        if _is_again(opened)
        else opened.previous,
        "time": decided["wt"] if decided else None,
    }
    disk.floor = max(disk.floor, opened.record.sequence or -1)
    for tree in disk.store.values():
        _set_aside(opened, tree, disk.manifests[version], "finalize")
    disk.store.clear()
    disk.marks.pop(version, None)
    disk.manifests[version] = opened.record
    disk.nexts.pop(version, None)
    opened.log("END", outcome="ok")
    put_away(opened)
    return "ok"


def _save_evidence(opened: Open) -> None:
    new = opened.new
    word, text = new.status()
    log = new.log_tail()
    found = {
        "service": f"{word}: {text}",
        "pids": new.living,
        "log": log,
        "checks": [check.row() for check in new.health()],
        "start": "",
    }
    opened.log("EVIDENCE", file=sha256_of(canonical(found) + b"\n"), log=log[-4000:])


def _stop_new(opened: Open) -> _Problems:
    new = opened.new
    reached = any(r["t"] == "SVC" and r["verb"] == "start" for r in opened.records)
    if not reached or new.version not in opened.disk.trees or new.process is None:
        return []
    gone, text = yield from opened.stop(new)
    opened.log("UNDO", what="stop the new version", ok=gone, text=text)
    return [] if gone else [f"the new version still runs: {text}"]


def _undo_steps(opened: Open) -> _Problems:
    failures = []
    for step in reversed(opened.steps):
        yield from opened.pause(opened.node.durations.undo)
        stuck = _why_stuck(opened, step)
        if stuck is None:
            text = _undo_step(opened, step)
        else:
            text = stuck
            failures.append(f"{step.path}: {stuck}")
        opened.log("UNDO", step=step.number, what=step.path, ok=stuck is None, text=text)
    return failures


def _why_stuck(opened: Open, step: Step) -> str | None:
    stuck = opened.new.behaviour.stuck
    return next((why for end, why in stuck.items() if step.path.endswith(end)), None)


def _undo_step(opened: Open, step: Step) -> str:
    disk, version = opened.disk, opened.to["version"]
    was_done, step.is_done = step.is_done, False
    if step.path == opened.pointer:
        if was_done:
            opened.node.select(opened.previous["version"] if opened.previous else None)
        if step.before == "file":
            return "old one put back" if was_done else "is the old one"
        return "taken away again" if was_done else "was not there, is not there"
    if not was_done:
        return "untouched" if step.before == "dir" else "was not there, is not there"
    disk.staging[version] = disk.trees.pop(version)
    if step.before == "dir":
        disk.trees[version] = disk.store.pop(step.number)
        return "taken away again, directory moved back"
    return "taken away again"


def _prove(opened: Open, failures: list[str]) -> bool:
    """Compare every path of the plan and the old version's tree with what they were."""
    problems = list(failures)
    for step in opened.steps:
        differs = "mtime, sha256" if step.is_done else ""
        opened.log("PROOF", what=step.path, ok=not differs, text=differs)
        if differs:
            problems.append(f"{step.path}: {differs}")
    problems.extend(_prove_old_tree(opened, is_told=True))
    if problems:
        opened.log("UNPROVEN", paths=[problem[:500] for problem in problems[:100]])
    return not problems


def _is_again(opened: Open) -> bool:
    """Whether the version that was there is installed again."""
    previous = opened.previous
    return previous is not None and previous["version"] == opened.to["version"]


def _prove_old_tree(opened: Open, is_told: bool) -> list[str]:
    """Nothing in it is anybody's step, unless the same version was put in its place."""
    if opened.previous is None:
        return []
    version, again = opened.previous["version"], _is_again(opened)
    only_pointer = [step.path for step in opened.steps] == [opened.pointer]
    if again and not only_pointer:
        return []
    manifest = opened.record if again else opened.disk.manifests.get(version)
    if manifest is None:
        return [f"the manifest of {version} is gone: its tree cannot be proven"]
    path = f"{opened.document['directory']}/{version}"
    found = compare(opened.disk.trees.get(version), manifest.files)
    if is_told:
        opened.log("PROOF", what=path, ok=found.is_whole, text=found.text())
    return [] if found.is_whole else [f"{path}: {found.text()}"]


def _start_old(opened: Open) -> Generator[float | None, None, bool]:
    """Start the old version if it ran before, and hear it answer."""
    stopped = [record for record in opened.records if record.get("verb") == "stop"]
    old: Service | None = opened.old
    if old is None or not stopped or stopped[0]["was"] != "started":
        return True
    if old.process is None:
        ok, text = yield from opened.start(old)
        opened.log("UNDO", what="start the old version", ok=ok, text=text)
    word, text = old.status()
    ok = word == "started" and old.identity is not None
    opened.log("PROOF", what="the old version runs", ok=ok, text=text, start_id=old.identity)
    if not ok:
        opened.log("UNPROVEN", paths=[f"the old version does not run: {text[:500]}"])
        return False
    opened.remember_start(old)
    return True


def _clean(opened: Open) -> None:
    """Give up the store; what the new version wrote into its tree goes to `conflicts`."""
    disk, version = opened.disk, opened.to["version"]
    disk.store.clear()
    tree = disk.staging.get(version)
    if tree is None:
        return
    found = _set_aside(opened, tree, opened.record, "rollback")
    tree.extra.clear()
    tree.missing |= tree.changed
    tree.changed.clear()
    if not found.is_whole:
        disk.marks.pop(version, None)


def _set_aside(opened: Open, tree: Tree, record: Content, during: str) -> Comparison:
    """Keep what a tree holds that its record does not know; how it differs."""
    version = opened.to["version"]
    found = compare(tree, record.files)
    for path in found.extra + found.changed:
        kept = f"{opened.txn}/{version}/{path}"
        opened.disk.conflicts.append(kept)
        home = opened.plan["home"]
        opened.log(
            "CONFLICT", what=f"{version}/{path}", kept=f"{home}/conflicts/{kept}", during=during
        )
    return found
