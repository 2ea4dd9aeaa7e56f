"""Getting to know a node: the host key it shows, what is known of it, and how to record it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backends.domain.problem import Problem
from backends.transport import known_hosts
from backends.transport.known_hosts import HostKey, Judgement

USUAL_PORT = 22


@dataclass(frozen=True, slots=True)
class Introduction:
    """What one node, or gateway, showed."""

    node: str
    name: str = ""
    port: int = 0
    """What its key is known by."""

    key: HostKey | None = None
    judgement: Judgement | None = None
    file: Path | None = None
    """Where its key would be recorded; None: ssh config names no file."""

    problem: Problem | None = None
    """Why it is not to be trusted, or why it showed nothing."""

    @property
    def called(self) -> str:
        """Name and port, as a file of host keys has them."""
        return called(self.name, self.port) if self.name else ""


def called(name: str, port: int) -> str:
    """Name and port in the words of known_hosts: the usual port goes without saying."""
    return name if port == USUAL_PORT else f"[{name}]:{port}"


def record(met: Iterable[Introduction]) -> None:
    """Record the keys that were shown, each in its file: all of them unknown, or none.

    Raises:
        ValueError: One is not to be trusted, or cannot be recorded: nothing was.
        LiftlockError: `known-hosts-unwritable`, exit 2.
    """
    by_file: dict[Path, dict[str, None]] = {}
    for each in met:
        is_new = each.judgement is Judgement.UNKNOWN
        if not is_new or each.key is None or each.file is None:
            raise ValueError(f"{each.node} showed nothing that can be recorded")
        entry = known_hosts.entry_for(each.name, each.port, each.key.algorithm, each.key.blob)
        by_file.setdefault(each.file, {})[entry] = None
    for file, entries in by_file.items():
        known_hosts.add(file, list(entries))
