"""How upgrades end when something happens to them: every fault at every moment, on real machines.

Three nodes with systemd behind sshd, upgraded one after the other; the fault comes at a moment of
the second one. Then nobody repairs anything: the nodes come to rest, a person asks for the same
again, and all must be well. Source: issue "The node survives"; notes on reliability, section 6.
"""

import fcntl
import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from backends.node import standing
from backends.node.journal import scan
from tests.machines.site import DIRECTORY, STATE, Site, a_site
from tests.support.cluster import Ran

VICTIM = "n2"

WINDOW_SECONDS = 10

POLICY: dict[str, str | int] = {
    "connect": "3s",
    "min_healthy": "300ms",
    "healthy_deadline": "8s",
    "accept_window": f"{WINDOW_SECONDS}s",
    "health_poll": "300ms",
    "install_step": "10s",
    "stop_timeout": "5s",
}

_TRUE_ENDS = {0, 3, 4, 5, 6, 7, 8, 10}
"""Exit codes that say how it ended (design.md, section 9); 1 and 2 say that something is wrong."""

_CHANGING = {"installing", "monitoring", "rolling_back", "finalizing", "inspecting"}


class Moment(NamedTuple):
    """When something happens: in which command, and behind which word of whom."""

    name: str
    command: str
    phase: str = ""
    """A phase of the operator's run, as its first event names it."""

    record: str = ""
    """A record of the victim's journal."""

    verb: str = ""


MOMENTS = (
    Moment("preflight", "upgrade", phase="preflight"),
    Moment("stage", "upgrade", phase="stage"),
    Moment("check", "upgrade", phase="check"),
    Moment("BEGIN", "upgrade", record="BEGIN"),
    Moment("second layer armed", "upgrade", record="HOOK"),
    Moment("INTENTS", "upgrade", record="INTENTS"),
    Moment("BACKUPS", "upgrade", record="BACKUPS"),
    Moment("stop", "upgrade", record="SVC", verb="stop"),
    Moment("QUIET", "upgrade", record="QUIET"),
    Moment("DATA", "upgrade", record="DATA"),
    Moment("first effect", "upgrade", record="EFFECT"),
    Moment("TARGET", "upgrade", record="TARGET"),
    Moment("start", "upgrade", record="SVC", verb="start"),
    Moment("TRIAL", "upgrade", record="TRIAL"),
    Moment("HEALTHY", "upgrade", record="HEALTHY"),
    Moment("ACCEPT", "upgrade", record="ACCEPT"),
    Moment("ROLLBACK", "rollback", record="ROLLBACK"),
    Moment("first undo", "rollback", record="UNDO"),
    Moment("RESTORED", "rollback", record="RESTORED"),
    Moment("FINALIZE", "finalize", record="FINALIZE"),
)


class Case(NamedTuple):
    """One run: what happens, and when."""

    fault: str
    moment: Moment

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{self.moment.name}, {self.fault}"


class Ended(NamedTuple):
    """How a run ended."""

    case: Case
    exit: int
    nodes: str
    """One letter a node, once all were at rest: N new, O old, F final, ? anything else.

    A is the version that a second operator brought there in a run of their own, from its beginning
    to its end; it is wrong on some nodes only, and where that run did not say that it was done.
    """

    bad: str
    """What must not be, or nothing."""

    seconds: float

    def line(self) -> str:
        """All of it in one line."""
        words = f"{self.exit:>4} {self.nodes} {self.seconds:5.1f} s"
        return f"{self.case.name:40} {words}  {self.bad}"


# --- the faults ---------------------------------------------------------------------------------


def _power_cut(run: "Run") -> None:
    run.site.power_cut(VICTIM)
    time.sleep(1.0)
    run.site.boot(VICTIM)


def _cut_link_for(seconds: float) -> Callable[["Run"], None]:
    def fault(run: "Run") -> None:
        run.site.cut_link(VICTIM)
        time.sleep(seconds)
        run.site.mend_link(VICTIM)

    return fault


def _kill_operator(run: "Run") -> None:
    run.operator.kill()


def _stop_operator(run: "Run") -> None:
    run.operator.send_signal(signal.SIGSTOP)
    time.sleep(WINDOW_SECONDS + 3)
    run.operator.send_signal(signal.SIGCONT)


def _second(*words: str) -> Callable[["Run"], None]:
    """Another operator, at another workstation, with an order of their own."""

    def fault(run: "Run") -> None:
        said = run.second(*(str(run.site.releases.get(word, word)) for word in words))
        run.answers.append(said.status)
        run.disturbed = said.status in (0, 5, 6)

    return fault


FAULTS: dict[str, Callable[["Run"], None]] = {
    "node's power cut": _power_cut,
    "link cut for 2 s": _cut_link_for(2),
    "link cut for long": _cut_link_for(WINDOW_SECONDS + 3),
    "operator killed": _kill_operator,
    "operator stopped": _stop_operator,
    "second: the same": _second("upgrade", "2.0", "--yes"),
    "second: another": _second("upgrade", "2.1", "--yes"),
    "second: roll back": _second("rollback", "--yes", "--data", "restore"),
}

CASES = tuple(Case(fault, moment) for moment in MOMENTS for fault in FAULTS)


def mixed() -> list[Case]:
    """All cases, in an order in which every n-th of them is a bit of everything."""
    return random.Random(1).sample(CASES, k=len(CASES))


# --- one run ------------------------------------------------------------------------------------


class Run:
    """One run: three nodes, an operator, a fault."""

    def __init__(self, site: Site, case: Case, old: dict[str, Any]) -> None:
        """`old` is what lay on each node before the upgrade."""
        self.site = site
        self.case = case
        self.old = old
        self.answers: list[int] = []
        self.disturbed = False
        """Whether another operator changed what this one was about."""

        self._seen = threading.Event()
        self._out: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.operator: subprocess.Popen[str] | None = None

    def second(self, command: str, *words: str) -> Ran:
        """A command of the other operator."""
        process = self.site.start(command, str(self.site.top / "second.toml"), *words)
        out, err = process.communicate(timeout=150)
        return Ran(process.returncode, out, err)

    def go(self) -> Ended:
        """Do it, and judge."""
        began = time.monotonic()
        problems: list[str] = []
        code, letters = -1, "???"
        try:
            self._begin()
            self._wait_for_the_moment()
            FAULTS[self.case.fault](self)
            code = self._end_of_operator()
            letters = self._rest()
            problems += self._judge(code, letters)
            problems += self._again()
        except (AssertionError, subprocess.SubprocessError, OSError) as error:
            problems.append(f"{type(error).__name__}: {error}; it said: {self._said()}")
        finally:
            self._end_operator()
        said = "; ".join(problems)
        return Ended(self.case, code, letters, said[:2000], time.monotonic() - began)

    def _begin(self) -> None:
        words = {
            "upgrade": [str(self.site.releases["2.0"]), "--yes"],
            "rollback": ["--yes", "--data", "restore"],
            "finalize": ["--yes"],
        }[self.case.moment.command]
        command = self.case.moment.command
        self.operator = self.site.start(command, str(self.site.file), *words, "--json")
        self._reader.start()

    def _read(self) -> None:
        assert self.operator.stdout is not None
        for line in self.operator.stdout:
            self._out.append(line)
            if self.case.moment.phase and f'"phase": "{self.case.moment.phase}"' in line:
                self._seen.set()

    def _wait_for_the_moment(self) -> None:
        moment, give_up = self.case.moment, time.monotonic() + 60
        while not (self._seen.is_set() if moment.phase else self._is_recorded(moment)):
            assert time.monotonic() < give_up, f"it never came to {moment.name}"
            assert self.operator.poll() is None, f"ended before {moment.name}: {self._said()}"
            time.sleep(0.003)

    def _is_recorded(self, moment: Moment) -> bool:
        needle = f'"t":"{moment.record}"'.encode()
        home = self.site[VICTIM].path(f"{STATE}/beacon")
        for path in (home / "active" / "journal", *(home / "done").glob("*/journal")):
            try:
                lines = path.read_bytes().splitlines()
            except (FileNotFoundError, NotADirectoryError):
                continue
            for line in lines:
                if needle in line and f'"verb":"{moment.verb}"'.encode() in (
                    line if moment.verb else b'"verb":""'
                ):
                    return True
        return False

    def _end_operator(self) -> None:
        if self.operator is not None:
            self.operator.kill()
            self.operator.wait()
            self._reader.join()
        self.site.end_operators()

    def _end_of_operator(self) -> int:
        self.operator.wait(timeout=90)
        return self.operator.returncode

    def _said(self) -> str:
        return "".join(self._out[-3:])[-600:]

    # --- judging ------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        return self.second("status", "--json").json

    def _rest(self) -> str:
        """Wait until every node is at rest by itself and says so; the letters."""
        give_up = time.monotonic() + 90
        while True:
            # Their disks are looked at first: that costs nothing, and disturbs nobody.
            while not all(self._is_still(name) for name in self.site.names):
                if time.monotonic() > give_up:
                    break
                time.sleep(0.1)
            nodes = self._status()["nodes"]
            at_rest = all(
                node["problem"] is None
                and node["state"] not in _CHANGING
                and node["service"] == "started"
                and node["health"] == "healthy"
                for node in nodes
            )
            if at_rest:
                return "".join(self._letter(node) for node in nodes)
            if time.monotonic() > give_up:
                found = [(node["name"], node["state"], node["problem"]) for node in nodes]
                raise AssertionError(f"not at rest: {json.dumps(found)[:900]}")
            time.sleep(0.3)

    def _is_still(self, name: str) -> bool:
        """Whether nobody is at work on a node, and nothing is left for anybody to take up."""
        home = self.site[name].path(f"{STATE}/beacon")
        try:
            with (home / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            records = scan((home / "active" / "journal").read_bytes()).records
        except FileNotFoundError:
            return True
        return standing.state(records, driver=False) != "inconsistent"

    def _letter(self, node: dict[str, Any]) -> str:
        name, final = node["name"], (node["finalized"] or {}).get("version")
        if self._is_version(name, "2.0") and node["running"] == "2.0":
            return "F" if final == "2.0" else "N" if node["state"] == "accepted" else "?"
        if self._is_version(name, "2.1") and node["running"] == "2.1":
            return "A" if final == "2.1" or node["state"] == "accepted" else "?"
        is_old = self.site.product(name) == self.old[name]
        return "O" if is_old and node["running"] == "1.0" and final == "1.0" else "?"

    def _is_version(self, name: str, version: str) -> bool:
        node, source = self.site[name], self.site.top / f"source-{version}"
        return (
            all(
                node.path(f"{DIRECTORY}/{path.name}").read_bytes() == path.read_bytes()
                for path in source.iterdir()
            )
            and f"Beacon {version}".encode() in node.path(self.site.kind.place).read_bytes()
        )

    def _judge(self, code: int, letters: str) -> list[str]:
        """What must not be: a state that is neither, an exit code that says what is not so."""
        problems = [f"{letters}: neither old nor new"] if "?" in letters else []
        if "A" in letters and (letters != "AAA" or self.answers != [0]):
            problems.append(f"{letters}, and the second operator's exits are {self.answers}")
        if code not in _TRUE_ENDS and self.case.fault != "operator killed":
            problems.append(f"exit {code}: the program failed, or was used wrongly")
        if self.disturbed:
            return problems
        wrong = {
            "upgrade": {0: set(letters) - {"N"}, 5: set(letters) & {"N"}},
            "rollback": {0: set(letters) - {"O"}},
            "finalize": {0: set(letters) - {"F"}},
        }[self.case.moment.command]
        if wrong.get(code):
            problems.append(f"exit {code}, and the nodes are {letters}")
        if self.case.fault.startswith("second") and self.answers == [1]:
            problems.append("the second operator's program failed")
        return problems

    def _again(self) -> list[str]:
        """The same once more, by whoever comes: it must end well, without a hand on a node."""
        command = self.case.moment.command
        if command == "rollback":
            return self._ends("rollback", ("--yes", "--data", "restore"), "O", (0, 4))
        if command == "upgrade":
            words = (str(self.site.releases["2.0"]), "--yes")
            return self._ends("upgrade", words, "N", (0,))
        if self.disturbed and command == "finalize" and self._rest() == "OOO":
            return []
        further = "A" in self._rest()
        return self._ends("finalize", ("--yes",), "A" if further else "F", (0,))

    def _ends(
        self, command: str, words: tuple[str, ...], letter: str, fine: tuple[int, ...]
    ) -> list[str]:
        said = []
        for _ in range(3):
            ran = self.second(command, *words)
            letters = self._rest()
            if ran.status in fine and set(letters) == {letter}:
                return []
            said.append(f"{command} again: exit {ran.status}, {letters}: {ran.said[-700:]}")
        return said[-1:]


def all_ended(top: Path, cases: Sequence[Case]) -> Iterator[Ended]:
    """Runs on machines of their own, each from the same settled cluster to the judgement."""
    if not cases:
        return
    top.mkdir(parents=True)
    with a_site(top, 3, **POLICY) as site:
        site.profile += (
            '\n[data]\ndirectories = ["/var/lib/beacon-data"]\nunattended = "restore"\n'
        )
        site.write_cluster()
        other = site.file.read_text().replace("/history", "/second-history")
        (top / "second.toml").write_text(other)
        for node in site.machines:
            node.write("/var/lib/beacon-data/table", "format 1\n")
        site.settle()
        old = {name: site.product(name) for name in site.names}
        site.release("2.0")
        site.release("2.1")
        site.keep("settled")
        site.put_back("settled")
        ran = site.upgrade("2.0")
        assert ran.status == 0, ran
        site.keep("accepted")
        for case in cases:
            # What comes after an upgrade begins where one has ended.
            site.put_back("settled" if case.moment.command == "upgrade" else "accepted")
            yield Run(site, case, old).go()


def table(found: list[Ended]) -> list[str]:
    """A line a moment, a column a fault: the operator's exit code and what became of the nodes."""
    by_case = {each.case: each for each in found}
    lines = ["exit code of the operator, then n1 n2 n3 at rest: N new, O old, F final, A another"]
    for number, fault in enumerate(FAULTS):
        lines.append(f"  {chr(ord('a') + number)}  {fault}")
    lines.append(f"{'at':20}" + "".join(f"{chr(ord('a') + n):>9}" for n in range(len(FAULTS))))
    for moment in MOMENTS:
        cells = [by_case.get(Case(fault, moment)) for fault in FAULTS]
        if any(cells):
            words = [f"{c.exit} {c.nodes}{'!' if c.bad else ''}" if c else "-" for c in cells]
            lines.append(f"{moment.name:20}" + "".join(f"{word:>9}" for word in words))
    return lines


if __name__ == "__main__":
    import sys
    import tempfile

    chosen = tuple(sys.argv[1:]) or ("",)
    wanted = [case for case in CASES if case.name.startswith(chosen)]
    results = []
    with tempfile.TemporaryDirectory(prefix="liftlock-ends-") as folder:
        for one in all_ended(Path(folder) / "site", wanted):
            results.append(one)
            print(one.line(), flush=True)
    print("\n".join(table(results)))
    raise SystemExit(any(one.bad for one in results))
