"""What a node's own journals must say after operators came and went: everything was done once.

Whatever an operator's program does twice, or a second one does again, stands in there; the
records are framed and chained, so that none can be missing in between.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backends.node import standing
from backends.node.journal import JournalDamaged, scan

NEW, FINAL, OLD = "new", "final", "old"
"""What was planned: accepted on the new version, final there, or back on the old one."""

_ONCE = frozenset(
    {"BEGIN", "HOOK", "INTENTS", "BACKUPS", "DATA", "QUIET", "TARGET", "TRIAL", "ACCEPT", "HELD"}
    | {"ROLLBACK", "EVIDENCE", "RESTORED", "FINALIZE", "END"}
)
"""Records of a transaction that can stand in it once; HEALTHY and CHECK may come again."""

_ONCE_EACH = {"EFFECT": "step", "SVC": "verb", "UNDO": "what", "PROOF": "what"}
"""Records of an action, and what tells one action from another."""

_EXPECTED = {
    NEW: ({"BACKUPS", "TARGET", "TRIAL", "ACCEPT"}, {"ROLLBACK", "FINALIZE", "END"}),
    FINAL: ({"TRIAL", "ACCEPT", "FINALIZE", "END"}, {"ROLLBACK"}),
    OLD: ({"ACCEPT", "ROLLBACK", "RESTORED", "END"}, {"FINALIZE"}),
}
"""What must be in the one transaction that changed something, and what must not."""

_OTHERS = frozenset({"TAKEOVER", "RESTART", "UNPROVEN", "CONFIG", "CHOICE", "EXTEND"})
"""Nobody touched an updater, a service or a file, or asked for it: none of these may be there."""

Record = Mapping[str, Any]


def opened(home: Path) -> str | None:
    """The run whose transaction is open on a node; None: none is."""
    try:
        records = scan((home / "active" / "journal").read_bytes()).records
    except (FileNotFoundError, NotADirectoryError):
        return None
    return str(records[0]["run"]) if records and not standing.last(records, "END") else None


def wrong(home: Path, planned: str) -> list[str]:
    """What must not be in the journals below a product's state; nothing when all is well."""
    found: list[str] = []
    changed: list[tuple[str, list[dict[str, Any]]]] = []
    for path in _journals(home):
        name = str(path.relative_to(home))
        try:
            read = scan(path.read_bytes())
        except JournalDamaged as error:
            found.append(f"{name}: {error}")
            continue
        if read.torn:
            found.append(f"{name}: {read.torn} bytes at its end are no record")
        if path.parent == home:
            continue  # what came and went outside of transactions
        found += [f"{name}: {text}" for text in again(read.records)]
        if any(record["t"] == "EFFECT" for record in read.records):
            changed.append((name, read.records))
    if len(changed) != 1:
        names = ", ".join(name for name, _ in changed) or "none"
        return [*found, f"{len(changed)} transactions changed the node, not one: {names}"]
    ((name, records),) = changed
    return found + [f"{name}: {text}" for text in _other_than(records, planned)]


def again(records: Iterable[Record]) -> list[str]:
    """What was done twice in one transaction."""
    counted: Counter[str] = Counter()
    for record in records:
        kind = record["t"]
        if kind in _ONCE_EACH:
            counted[f"{kind} {record[_ONCE_EACH[kind]]}"] += 1
        elif kind in _ONCE:
            counted[kind] += 1
    return [f"{times} times {what}" for what, times in counted.items() if times > 1]


def _journals(home: Path) -> list[Path]:
    found = [home / "journal", home / "active" / "journal", *(home / "done").glob("*/journal")]
    return [path for path in found if path.exists()]


def _other_than(records: list[dict[str, Any]], planned: str) -> Iterable[str]:
    kinds = Counter(record["t"] for record in records)
    needed, forbidden = _EXPECTED[planned]
    for kind in sorted(needed - set(kinds)):
        yield f"no {kind}, and {planned} was planned"
    for kind in sorted((forbidden | _OTHERS) & set(kinds)):
        yield f"{kind}, and {planned} was planned"
    intents = standing.last(records, "INTENTS")
    if intents is None or kinds["EFFECT"] != intents["steps"]:
        yield f"{kinds['EFFECT']} effects for {intents and intents['steps']} intents"
