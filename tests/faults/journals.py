"""Rows 4, 32 and 57: a journal's bytes changed in every way, and decisions that race.

No mutation may make a record appear that was not written; of several who decide at once one wins.
"""

import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from backends.node import standing
from backends.node.journal import Journal, JournalDamaged, Record, frame, link, scan
from tests.faults.sweeps import Tally

KINDS = ["BEGIN", "HOOK", "INTENTS", "BACKUPS", "SVC", "EFFECT", "TRIAL", "ACCEPT"]

_CONTENDERS = ("ACCEPT", "ROLLBACK", "ACCEPT", "ROLLBACK")


@functools.cache
def sample() -> bytes:
    """A journal's bytes, made without a file."""
    data, last = b"", "0" * 16
    for number, kind in enumerate(KINDS):
        line = frame(
            {"t": kind, "n": number, "p": last, "bt": 1.5, "bid": "b", "wt": 2.5, "x": "y" * 20}
        )
        data, last = data + line, link(line)
    return data


def invents_nothing(data: bytes) -> bool:
    """Whether these bytes are refused, or hold only what was written, from the beginning."""
    try:
        found = scan(data).records
    except JournalDamaged:
        return True
    return bool(found == scan(sample()).records[: len(found)])


def mutations(every: int, seed: int) -> Tally:
    """All prefixes, three flips of each byte, and 100,000 random changes; every n-th of them."""
    tally = Tally()
    whole = sample()

    def try_one(name: str, data: bytes) -> None:
        tally.cases += 1
        if not invents_nothing(data):
            tally.bad.append(name)

    for cut in range(0, len(whole) + 1, every):
        try_one(f"cut at {cut}", whole[:cut])
    for place in range(0, len(whole), every):
        for bits in (0x01, 0x20, 0x80):
            changed = bytearray(whole)
            changed[place] ^= bits
            try_one(f"byte {place} ^ {bits}", bytes(changed))
    draw = random.Random(seed)
    for number in range(100_000 // every):
        try_one(f"random change {number} of seed {seed}", _changed(whole, draw))
    return tally


def _changed(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    for _ in range(draw.randint(1, 4)):
        kind = draw.randrange(4)
        if kind == 0:
            at, gone = draw.randrange(len(data)), draw.randint(0, 60)
            data = data[:at] + draw.randbytes(draw.randint(0, 60)) + data[at + gone :]
        elif kind == 1:
            one, other = draw.sample(range(len(lines)), 2)
            lines[one], lines[other] = lines[other], lines[one]
            data = b"".join(lines)
        elif kind == 2:
            data += draw.choice(lines)
        else:
            data = data[: draw.randrange(len(data) + 1)] or b"\n"
    return data


def trial(path: Path) -> None:
    """A journal in which everything may still be decided."""
    path.unlink(missing_ok=True)
    journal = Journal(str(path), create=True)
    journal.append("BEGIN", durable=False)
    journal.append("TRIAL", durable=False, until=1e9, window=9.0, spent=0.0)
    journal.append("HEALTHY", durable=False, seconds=1.0, soft=[])
    journal.close()


def decide(path: Path, kind: str, objection: Callable[[list[Record]], str | None]) -> int:
    """Try to decide; 0 when it was told that it won."""
    journal = Journal(str(path))
    record, _ = journal.append_unless(objection, kind, durable=False, why="race")
    journal.close()
    return 0 if record is not None else 1


def races(folder: Path, count: int, seed: int) -> Tally:
    """P4: four decide at once in a trial, and one of them is killed at a moment of chance."""
    tally = Tally()
    draw = random.Random(seed)
    path = folder / "race"
    unless_decided: Callable[[list[Record]], str | None] = standing.decision
    for number in range(count):
        trial(path)
        children = [_start(path, kind, unless_decided) for kind in _CONTENDERS]
        victim = draw.randrange(len(children))
        time.sleep(draw.random() * 0.004)
        os.kill(children[victim], signal.SIGKILL)
        told = [
            kind
            for kind, child in zip(_CONTENDERS, children, strict=True)
            if os.waitpid(child, 0)[1] == 0
        ]
        found = scan(path.read_bytes()).records
        decided = [record["t"] for record in found if record["t"] in _CONTENDERS]
        tally.cases += 1
        # Nobody is told when the one who won was killed before it could say so.
        silent = not told and decided == [_CONTENDERS[victim]]
        if len(decided) != 1 or not (told == decided or silent):
            tally.bad.append(f"race {number} of seed {seed}: told {told}, recorded {decided}")
    shutil.rmtree(folder)
    return tally


def _start(path: Path, kind: str, objection: Callable[[list[Record]], str | None]) -> int:
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = decide(path, kind, objection)
        finally:
            os._exit(status)
    return child
