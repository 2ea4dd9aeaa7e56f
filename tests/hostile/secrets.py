"""Secrets that an operator types or has: after whole upgrades none of them is found anywhere.

The node wants a key that is locked, a password, and another time a password for sudo. Everything
is searched afterwards: the operator's history, the node's state, both logs, what was printed as
lines and as JSON, what stood on the screen; and meanwhile the words and the environment of every
process on the node. Source: promise P14 and row 73 of the notes on reliability.
"""

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.drills.sshd import Operator, SshCluster, privilege_separation
from tests.drills.sudo_node import ASKS, PASSWORD, TERMINAL, SudoSshd
from tests.faults.sweeps import Tally
from tests.support.pseudoterminal import Pseudoterminal

PASSPHRASE = "canary-passphrase-7f3e"
TOKEN = "canary-token-91bd"
SECRETS = {"passphrase": PASSPHRASE, "password": PASSWORD, "token": TOKEN}
"""What must not be found; the token is in the operator's environment."""

_QUESTIONS = (
    (b"passphrase of ", PASSPHRASE),
    (b"password of ", PASSWORD),
    (b"sudo password of ", PASSWORD),
)
"""What the screen asks, in this order."""

_PROCESSES = (b"sudo", b"sshd", b"python")
_FILES = (
    *("cluster/history/history.sqlite3", "node/sudo.log", "node/sshd.log"),
    *("cluster/n1/state/beacon/updater.log", "cluster/n1/opt/beacon/4.11.0/beacon.log"),
)
"""Where one would look first: a search that misses them proves nothing."""

_ASKED = re.compile(r"(?i)(passphrase|password) of ")


def nowhere(top: Path, sample: int) -> Tally:
    """Whole upgrades there and back, then the search."""
    tally = Tally()
    with _cluster(top) as cluster:
        (node,) = cluster.servers
        with _processes_of(node) as seen:
            typed, said = _session(cluster)
        tally.bad += [f"never asked for: {kind}" for kind in typed if not typed[kind]]
        tally.bad += [f"no process of {name}" for name in _PROCESSES if not _any(name, seen)]
        files = [(str(path.relative_to(top)), path.read_bytes()) for path in _files(top)]
        tally.bad += [f"no file {name}" for name in _FILES if name not in dict(files)]
    for place, content in (
        *((f"what {name} said", data) for name, data in said),
        *(("a process on the node", words) for words in seen),
        *files,
    ):
        tally.cases += 1
        tally.bad += [f"{kind} in {place}" for kind in found_in(content)]
    return tally


def found_in(content: bytes) -> list[str]:
    """Which secrets are in there."""
    return [kind for kind, secret in SECRETS.items() if secret.encode() in content]


# --- the operator -------------------------------------------------------------------------------


def _session(cluster: SshCluster) -> tuple[dict[str, int], list[tuple[str, bytes]]]:
    """How often each secret was typed, and what every command wrote."""
    typed = {"passphrase": 0, "password": 0}
    said = []
    file, releases = str(cluster.file), cluster.releases
    for code, *words in (
        (0, "upgrade", file, str(releases["4.11.0"]), "--yes"),
        (0, "finalize", file, "--yes"),
        (0, "upgrade", file, str(releases["4.12.0"]), "--yes", "--json"),
        (0, "rollback", file, "--yes"),
        (5, "upgrade", file, str(releases["4.13.0"]), "--yes"),
        (0, "status", file),
        (0, "status", file, "--json"),
        (0, "doctor", file),
        (0, "journal", file),
        (0, "journal", file, "--json"),
    ):
        with _program(cluster, *map(str, words)) as terminal:
            _type_while_it_runs(terminal, typed)
            assert terminal.process.wait() == code, terminal.screen
            said.append((" ".join(map(str, words[:2])), bytes(terminal.written)))
    with _program(cluster, file) as terminal:
        for question, secret in _QUESTIONS:  # by name: a dialog may be painted more than once
            terminal.sees(question)
            terminal.passes(0.3)
            terminal.presses(secret.encode() + b"\r")
        terminal.sees(b"SETTLED")
        terminal.presses(b"J")
        terminal.passes(1.0)
        terminal.presses(b"\x11")
        terminal.ends()
        said.append(("the screen", bytes(terminal.written)))
    return typed, said


def _program(cluster: SshCluster, *words: str) -> Pseudoterminal:
    environment = {**cluster.environment, "CANARY_TOKEN": TOKEN}
    return Pseudoterminal(sys.executable, "-m", "app", *words, environment=environment)


def _type_while_it_runs(terminal: Pseudoterminal, typed: dict[str, int]) -> None:
    """Answer each question until the program ends."""
    answered = 0
    give_up = time.monotonic() + 120.0
    while terminal.passes(0.1):
        assert time.monotonic() < give_up, terminal.screen
        if asked := _ASKED.search(terminal.screen, answered):
            kind = asked.group(1).lower()
            typed[kind] += 1
            answered = len(terminal.screen)
            terminal.presses(SECRETS[kind].encode() + b"\n")


# --- where they could be ------------------------------------------------------------------------


@contextmanager
def _processes_of(node: SudoSshd) -> Iterator[list[bytes]]:
    """The words and the environment of every process that is seen on the node meanwhile."""
    seen: set[bytes] = set()
    found: list[bytes] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.05):
            for pid in node.processes():
                for name in ("cmdline", "environ"):
                    try:
                        seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
                    except OSError:  # it ended meanwhile
                        continue

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield found
    finally:
        is_over.set()
        looker.join()
        found += sorted(seen)


def _files(top: Path) -> list[Path]:
    """Everything that is there."""
    return sorted(path for path in top.rglob("*") if path.is_file() and not path.is_symlink())


def _any(name: bytes, seen: list[bytes]) -> bool:
    return any(name in words for words in seen)


@contextmanager
def _cluster(top: Path) -> Iterator[SshCluster]:
    top.mkdir(parents=True)
    operator = Operator(top / "operator", "ops")
    operator.key.write_private_key(operator.identity, passphrase=PASSPHRASE)
    node = SudoSshd(
        top / "node",
        TERMINAL + ASKS,
        config="AuthenticationMethods publickey,password\nPasswordAuthentication yes",
    )
    with ExitStack() as stack:
        stack.enter_context(privilege_separation())
        stack.callback(node.stop)
        node.lets_in(operator)
        node.start()
        operator.knows(node)
        cluster = SshCluster(
            top / "cluster", [node], operator, defaults='become = "sudo-password"'
        )
        stack.callback(cluster.close)
        for version in ("4.11.0", "4.12.0"):
            cluster.release(version)
        cluster.release("4.13.0", sick=True)
        yield cluster
