"""Sensitivity: faults seeded into the protocol, each of which a named harness must catch.

A harness that finds nothing proves something only if it would find this. Each fault is a change of
the updater's own code in the child process that runs a phase; the shipped file has none of them.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backends.node import (
    data,
    definition,
    finish,
    images,
    install,
    journal,
    living_on,
    parents,
    recover,
    rollback,
    standing,
    steps,
    transaction,
)
from backends.node import places as node_places
from tests.faults import power, readers, sweeps
from tests.faults.bench import Bench, Phase, run
from tests.faults.power import PowerBench
from tests.faults.sweeps import Tally

Harness = Callable[[Bench], Tally]


VERSIONS = "versions"


@dataclass(frozen=True)
class Seed:
    """A fault, the layout it is seeded on, and the harness that must catch it."""

    name: str
    plant: Phase
    harness: str
    layout: str = "overlay"

    @property
    def needs_power(self) -> bool:
        """Whether only a power cut can show it."""
        return self.harness in POWER_HARNESSES


HARNESSES: dict[str, Harness] = {
    "killed in install": lambda bench: sweeps.crash(bench, "install", "kill", 3),
    "torn in install": lambda bench: sweeps.crash(bench, "install", "tear"),
    "killed in rollback": lambda bench: sweeps.crash(bench, "rollback", "kill", 3),
    "killed in finalize": lambda bench: sweeps.crash(bench, "finalize", "kill"),
    "killed twice": lambda bench: sweeps.twice(bench, "rollback", "kill", 49),
    "error once": lambda bench: sweeps.error_once(bench, 28),
    "short write": lambda bench: sweeps.full_after_short_write(bench, 3),
    "readers": lambda bench: readers.cycles(bench, 40),
}

POWER_HARNESSES: dict[str, Callable[[PowerBench], Tally]] = {
    "power cut in install": lambda bench: power.cuts(bench, "install", 2),
    "power cut in rollback": lambda bench: power.cuts(bench, "rollback", 2),
    "power cut in finalize": lambda bench: power.cuts(bench, "finalize"),
}
"""On btrfs, the strictest judge: what was not synced is not there (finding 7)."""


def caught(bench: Bench, seed: Seed) -> bool:
    """Whether the named harness finds something bad once the fault is in.

    Raises AssertionError for a fault that shows without a harness: it makes an install fail that
    nobody disturbs.
    """
    bench.reset("staged")
    bench.seed = seed.plant
    try:
        run(bench, lambda: bench.install("keep_if_healthy"))
        if isinstance(bench, PowerBench):
            return bool(POWER_HARNESSES[seed.harness](bench).bad)
        return bool(HARNESSES[seed.harness](bench).bad)
    finally:
        bench.seed = None


# --- the way forward ----------------------------------------------------------------------------


def _intents_late() -> None:
    real = transaction.Transaction.log

    def log(self: Any, kind: str, durable: bool = True, **fields: Any) -> Any:
        if kind == "INTENTS":
            self.held = fields
            return {}
        if kind == "TARGET":
            real(self, "INTENTS", **self.held)
        return real(self, kind, durable, **fields)

    def intents(self: Any) -> Any:
        return node_places.read_json(self.file("intents.json"))

    recorded = transaction.Transaction.intents

    def known(self: Any) -> Any:
        return intents(self) if hasattr(self, "held") else recorded(self)

    transaction.Transaction.log = log
    transaction.Transaction.intents = known


def _unlinked_before_replaced() -> None:
    real = steps.apply

    def apply(step: steps.Step) -> None:
        if step.op == "put" and step.before["kind"] == "file":
            os.unlink(step.path)
        real(step)

    steps.apply = apply


def _in_place_overwrite() -> None:
    real = steps.apply

    def apply(step: steps.Step) -> None:
        if step.op == "put" and step.before["kind"] == "file" == step.after["kind"]:
            with open(step.new, "rb") as new, open(step.path, "wb") as old:
                old.write(new.read())
            return
        real(step)

    steps.apply = apply


def _begin_is_not_atomic() -> None:
    real = install.begin

    def begin(where: Any, plan: Any, **fields: Any) -> Any:
        where.active_new = where.active
        return real(where, plan, **fields)

    install.begin = begin


def _no_rollback_on_error() -> None:
    rollback_of = rollback.decide_and_undo

    def decide(opened: Any, why: str, by: str) -> str:
        return (
            "failed"
            if by == "the updater" and "nobody" not in why
            else rollback_of(opened, why, by)
        )

    install.rollback.decide_and_undo = decide


def _copied_backup_without_owner() -> None:
    def copy(source: str, goal: str) -> None:
        if os.path.islink(source):
            os.symlink(os.readlink(source), goal)
        else:
            shutil.copyfile(source, goal)

    def back_up(step: steps.Step) -> None:
        if step.before["kind"] in ("file", "link"):
            copy(step.path, step.store)

    steps.back_up = back_up


def _stop_is_not_recorded() -> None:
    real = transaction.Transaction.log

    def log(self: Any, kind: str, durable: bool = True, **fields: Any) -> Any:
        if kind == "SVC" and fields.get("verb") == "stop":
            return {}
        return real(self, kind, durable, **fields)

    transaction.Transaction.log = log


def _what_lives_on_is_linked() -> None:
    def back_up(step: steps.Step) -> None:
        if step.before["kind"] in ("file", "link"):
            os.link(step.path, step.store, follow_symlinks=False)

    steps.back_up = back_up


# --- the way back -------------------------------------------------------------------------------


def _third_try_gives_up() -> None:
    real_undo, real_prove = rollback._undo_steps, rollback._prove

    def tries(opened: Any) -> int:
        return sum(record["t"] == "EVIDENCE" for record in opened.records)

    rollback._undo_steps = lambda opened: [] if tries(opened) > 2 else real_undo(opened)
    rollback._prove = lambda opened, failures: tries(opened) > 2 or real_prove(opened, failures)


def _put_back_by_copying_over() -> None:
    def put_back(step: steps.Step) -> None:
        if os.path.islink(step.store):
            steps.remove_if_there(step.path)
            os.symlink(os.readlink(step.store), step.path)
            return
        with open(step.store, "rb") as old, open(step.path, "wb") as here:
            here.write(old.read())
        shutil.copystat(step.store, step.path)

    steps._put_back = put_back


def _unlink_then_rename() -> None:
    real = steps._put_back

    def put_back(step: steps.Step) -> None:
        steps.remove_if_there(step.path)
        real(step)

    steps._put_back = put_back


def _store_given_up_too_early() -> None:
    real = rollback._undo_steps

    def undo_steps(opened: Any) -> list[str]:
        for name in os.listdir(opened.places.store):
            if name.endswith(".0"):
                os.unlink(os.path.join(opened.places.store, name))
        return real(opened)

    rollback._undo_steps = undo_steps


def _one_step_forgotten_and_no_proof() -> None:
    real = transaction.Transaction.steps
    rollback._prove = lambda opened, failures: True
    plain = rollback._undo_steps

    def undo_steps(opened: Any) -> Any:
        transaction.Transaction.steps = lambda self: real(self)[1:]
        try:
            return plain(opened)
        finally:
            transaction.Transaction.steps = real

    rollback._undo_steps = undo_steps


def _times_not_restored() -> None:
    parents.restore_times = lambda around: None


def _old_version_not_started() -> None:
    rollback._start_old = lambda opened: True


# --- recovery and decisions ---------------------------------------------------------------------


def _recovery_undoes_what_was_accepted() -> None:
    real = recover.recover

    def recovered(where: Any, opened: Any) -> str:
        if opened is not None and standing.decision(opened.records) == "ACCEPT":
            opened.decide("ROLLBACK", why="seeded", by="recover")
            return rollback.undo(opened)
        return real(where, opened)

    recover.recover = recovered


def _recovery_goes_on_forward() -> None:
    recover.rollback.decide_and_undo = lambda opened, why, by: "ok"


def _marker_before_the_decision() -> None:
    def decide(self: Any, kind: str, objection: Any = None, **fields: Any) -> Any:
        if kind == "FINALIZE":
            finish._give_up_store(self)
        return real(self, kind, objection, **fields)

    real = transaction.Transaction.decide
    transaction.Transaction.decide = decide


def _end_before_the_marker() -> None:
    finish.write_json = lambda path, value: None


def _torn_tail_kept() -> None:
    journal.Journal._cut_torn_tail = lambda self: None


def _torn_bytes_kept_after_a_failed_write() -> None:
    real = os.ftruncate

    def truncate(fd: int, length: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/journal"):
            return
        real(fd, length)

    journal.os.ftruncate = truncate


# --- what only a power cut shows ----------------------------------------------------------------


def _nothing_is_synced() -> None:
    os.fsync = lambda fd: None
    os.fdatasync = lambda fd: None


def _directories_are_not_synced() -> None:
    for module in (finish, install, living_on, node_places, parents, rollback, steps, transaction):
        if hasattr(module, "sync_directory"):
            module.sync_directory = lambda path: None


def _backups_are_not_synced() -> None:
    install._sync_stores = lambda todo: None


def _way_back_is_not_synced() -> None:
    rollback.sync_directory = lambda path: None

    def restore_times(around: parents.Parents) -> None:
        for name, image in around.items():
            path = steps.from_hex(name)
            os.utime(path, ns=(os.stat(path).st_atime_ns, image["mtime"]))

    parents.restore_times = restore_times


def _records_are_not_synced() -> None:
    real = journal.Journal._write
    journal.Journal._write = lambda self, line, durable: real(self, line, False)


def _files_are_not_synced() -> None:
    real = node_places.write_file

    def write_file(path: str, content: bytes, mode: int = 0o600, part: str = "") -> None:
        fsync, os.fsync = os.fsync, lambda fd: None
        try:
            real(path, content, mode, part)
        finally:
            os.fsync = fsync

    node_places.write_file = write_file


# --- data and definitions -----------------------------------------------------------------------


def _data_recorded_before_it_is_copied() -> None:
    real, log = data.copy_tree, transaction.Transaction.log

    def copy(opened: transaction.Transaction) -> None:
        copied = []
        for number, path in enumerate(data.directories(opened.new_service, opened.document)):
            about = {"path": steps.to_hex(path), "digest": images.tree_digest(path)}
            store = data._store(path, opened, number)
            copied.append({**about, "store": steps.to_hex(store), "files": 0, "bytes": 0})
        log(opened, "DATA", copied=copied, seconds=0.0)
        for entry in copied:
            store = steps.from_hex(entry["store"])
            os.makedirs(os.path.dirname(store), 0o700, exist_ok=True)
            real(steps.from_hex(entry["path"]), store)

    data.copy = copy


def _data_is_not_put_back() -> None:
    data.settle = lambda opened: []


def _data_given_up_at_accept() -> None:
    real = transaction.Transaction.decide

    def decide(self: Any, kind: str, objection: Any = None, **fields: Any) -> Any:
        found = real(self, kind, objection, **fields)
        if kind == "ACCEPT":
            data.forget(self)
        return found

    transaction.Transaction.decide = decide


def _what_was_prepared_is_left() -> None:
    definition.forget_prepared = lambda opened: None


def _it_stays_enabled() -> None:
    definition.disable = lambda opened: []


SEEDS = (
    Seed(
        "data recorded before it is copied",
        _data_recorded_before_it_is_copied,
        "killed in install",
        VERSIONS,
    ),
    Seed("data not put back", _data_is_not_put_back, "killed in rollback", VERSIONS),
    Seed(
        "data given up at ACCEPT",
        _data_given_up_at_accept,
        "killed in rollback",
        VERSIONS,
    ),
    Seed(
        "a prepared definition left behind",
        _what_was_prepared_is_left,
        "killed in install",
        VERSIONS,
    ),
    Seed(
        "not disabled on the way back",
        _it_stays_enabled,
        "killed in install",
        "versions from nothing",
    ),
    Seed("before-images recorded after the effects", _intents_late, "killed in install"),
    Seed("old file unlinked first", _unlinked_before_replaced, "readers"),
    Seed("files overwritten in place", _in_place_overwrite, "killed in install"),
    Seed("BEGIN built in its final place", _begin_is_not_atomic, "killed in install"),
    Seed("no way back after an error", _no_rollback_on_error, "error once"),
    Seed("backup without owner", _copied_backup_without_owner, "killed in rollback"),
    Seed("stop not recorded before it is done", _stop_is_not_recorded, "killed in install"),
    Seed("what lives on backed up by a link", _what_lives_on_is_linked, "killed in rollback"),
    Seed("the third try gives up", _third_try_gives_up, "killed twice"),
    Seed("put back by copying over", _put_back_by_copying_over, "readers"),
    Seed("put back by unlink and rename", _unlink_then_rename, "readers"),
    Seed("a backup given up before the undo", _store_given_up_too_early, "killed in rollback"),
    Seed("a step not undone, no proof", _one_step_forgotten_and_no_proof, "killed in rollback"),
    Seed("times of directories not restored", _times_not_restored, "killed in rollback"),
    Seed("old version not started again", _old_version_not_started, "killed in rollback"),
    Seed("accepted is undone", _recovery_undoes_what_was_accepted, "killed in install"),
    Seed("recovery does not go back", _recovery_goes_on_forward, "killed in install"),
    Seed("store given up before FINALIZE", _marker_before_the_decision, "killed in finalize"),
    Seed("finalized without a marker", _end_before_the_marker, "killed in finalize"),
    Seed("nothing is synced", _nothing_is_synced, "power cut in install"),
    Seed("names are not synced", _directories_are_not_synced, "power cut in install"),
    Seed("backups are not synced", _backups_are_not_synced, "power cut in install"),
    Seed("the way back is not synced", _way_back_is_not_synced, "power cut in rollback"),
    Seed("records are not synced", _records_are_not_synced, "power cut in install"),
    Seed("the marker is not synced", _files_are_not_synced, "power cut in finalize"),
    Seed("torn tail kept", _torn_tail_kept, "torn in install"),
    Seed("torn bytes kept", _torn_bytes_kept_after_a_failed_write, "short write"),
)
