"""What may lie on a node, and nothing else: the judgement after each fault."""

import os

from backends.node import places, transaction
from tests.faults.bench import WRITTEN, Bench, run
from tests.faults.picture import Picture


class Oracle:
    """What may lie there, and nothing else."""

    may_run_instead: tuple[str, ...] = ()
    """What may be in the service's book besides the version that lies there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        with bench.without_seed():
            bench.reset("staged")
            self.old = bench.product()
            bench.reset("accepted")
            if (bench.decision(), bench.running()) != ("ACCEPT", "2.0"):
                raise AssertionError("undisturbed, the new version was not accepted")
            self.new = timeless(bench.product())

    def judge(self) -> None:
        """P1: old, or new if and only if ACCEPT or FINALIZE is in force."""
        bench = self.bench
        opened = transaction.load(bench.places)
        is_new = (opened is not None or bench.decision() == "FINALIZE") and bench.decision() in (
            "ACCEPT",
            "FINALIZE",
        )
        if opened is not None:
            opened.close()
        assert is_new or opened is None, "the transaction is still open"
        if is_new:
            same(timeless(bench.product()), self.new)
        else:
            same(bench.product(), self.old)
        assert opened is not None or not bench.copies(), f"left behind: {bench.copies()}"
        is_final = is_new and opened is None
        marker = places.read_json(bench.places.finalized) or {}
        assert marker.get("version", "") == ("2.0" if is_final else bench.before), marker
        if marker:
            wanted = bench.new.digest if is_final else bench.old.digest
            record = places.read_json(bench.places.manifest(marker["version"])) or {}
            found = (marker["digest"], record["digest"], record["files"])
            known = bench.new.files if is_final else bench.old.files
            assert found == (wanted, wanted, known), "what is recorded is not what is final"
        assert not is_final or not places.names_in(bench.places.nexts), "it is not the next one"
        may_run = ["2.0" if is_new else bench.before, *self.may_run_instead]
        assert bench.running() in may_run, f"{bench.running()!r} runs, not {may_run}"

    def judge_recovered(self) -> None:
        """P1 and P2: after recover it is so; again changes nothing; the next upgrade succeeds."""
        bench = self.bench
        run(bench, bench.recover)
        self.judge()
        before = bench.everything()
        run(bench, bench.recover)
        same(bench.everything(), before)
        self.go_on()

    def go_on(self) -> None:
        """A complete upgrade and the way back still work from here."""
        bench = self.bench
        if transaction.is_open(bench.places):
            run(bench, bench.roll_back)
            same(bench.product(), self.old)
        if bench.decision() == "FINALIZE":
            return
        if not os.path.exists(os.path.join(bench.places.staged, "2.0.json")):
            bench.stage()
        run(bench, lambda: bench.install("keep_if_healthy"))
        same(timeless(bench.product()), self.new)
        run(bench, bench.finalize)
        assert (places.read_json(bench.places.finalized) or {})["version"] == "2.0"
        assert not places.names_in(bench.places.store)


def timeless(found: Picture) -> Picture:
    """Once the new version is in, some times are of today: of directories, of the pointer, and
    of what the new version wrote into."""

    def is_of_today(name: str, about: tuple[object, ...]) -> bool:
        return about[4:5] == (None,) or name.endswith((".version", "/unit", ".enabled", *WRITTEN))

    return {
        name: (*about[:3], 0, *about[4:]) if is_of_today(name, about) else about
        for name, about in found.items()
    }


def same(found: Picture, wanted: Picture) -> None:
    """Say which names differ, not all of both."""
    names = [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]
    assert not names, {name: (found.get(name), wanted.get(name)) for name in sorted(names)[:5]}
