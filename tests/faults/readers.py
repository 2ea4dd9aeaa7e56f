"""P8: names never vanish. A reader opens files all the time while a node goes there and back.

A file that both versions have can be opened at any moment and gives the old content or the new
one, whole. (A change of kind, and the exchange of a whole directory, may have a gap of one call.)
"""

import json
import os
import signal
import time
from pathlib import Path

from tests.faults.bench import Bench, run
from tests.faults.sweeps import Tally

READ = ("bin/tool", "lib/one", "etc/default", "VERSION")


def cycles(bench: Bench, count: int) -> Tally:
    """So many upgrades and ways back, watched; a case is one look at one file."""
    bench.reset("staged")
    allowed = _allowed(bench)
    report = bench.top / "reader.json"
    reader = _start(allowed, report)
    failed = []
    try:
        for _ in range(count):
            run(bench, lambda: bench.install("keep_if_healthy"))
            run(bench, bench.roll_back)
            if not os.path.exists(os.path.join(bench.places.staged, "2.0.json")):
                bench.stage()
    except AssertionError as error:
        failed.append(f"a way there or back failed: {error}")
    finally:
        os.kill(reader, signal.SIGTERM)
        status = os.waitpid(reader, 0)[1]
    if status != 0:
        raise AssertionError(f"the reader died: {status}")
    found = json.loads(report.read_text())
    tally = Tally(found["looks"], found["bad"] + failed)
    if not found["both"]:
        tally.bad.append("the reader never saw both versions: it proves nothing")
    return tally


def _allowed(bench: Bench) -> dict[str, list[str]]:
    """What a reader may find, by path."""
    top = Path(bench.places.directory)
    if bench.layout == "versions":
        tree = {str(top / "1.0" / name): ["1.0\n"] for name in ("VERSION",)}
        return {str(top / ".version"): ["1.0\n", "2.0\n"], **tree}
    return {
        str(top / name): [
            (release.tree[name].content or b"").decode() for release in (bench.old, bench.new)
        ]
        for name in READ
        if name in bench.old.tree
    }


def _start(allowed: dict[str, list[str]], report: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        stop: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
        looks, bad, seen = 0, [], set()
        while not stop:
            for path, contents in allowed.items():
                looks += 1
                try:
                    with open(path) as stream:
                        content = stream.read()
                except OSError as error:
                    bad.append(f"{path}: {error}")
                    continue
                seen.add(content)
                if content not in contents:
                    bad.append(f"{path} is torn: {content[:80]!r}")
            time.sleep(0)
        both = all(content in seen for contents in allowed.values() for content in contents)
        report.write_text(json.dumps({"looks": looks, "bad": bad[:50], "both": both}))
        status = 0
    finally:
        os._exit(status)
