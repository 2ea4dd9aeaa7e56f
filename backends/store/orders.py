"""Orders to a run that another program drives on this workstation: one file, taken once.

Whoever gives one waits until it is taken; whoever drives the run looks for it, takes it away, and
writes into the run history what it was told.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem


class OrderKind(StrEnum):
    """What is ordered."""

    WAIT = "wait"
    """Start no further node."""

    PACE = "pace"
    """Go on with another pause policy."""

    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Order:
    """One order."""

    kind: OrderKind
    by: str
    reason: str
    pause: str = ""
    """The pause policy, for `pace`."""

    id: str = ""
    """Names this order for good."""


class Orders:
    """The place where orders about one cluster and product lie."""

    def __init__(self, folder: Path, cluster: str, product: str) -> None:
        self.path = folder / f"{cluster}-{product}.order.json"

    def give(self, order: Order) -> str:
        """Put an order there; one that was not taken yet is replaced. Its id.

        Raises:
            LiftlockError: `order-unwritable` (exit 2).
        """
        name = secrets.token_hex(8)
        content = {**asdict(order), "id": name}
        beside = self.path.with_name(f"{self.path.name}.{name}")
        try:
            with open(beside, "x", encoding="utf-8", opener=_private) as stream:
                json.dump(content, stream)
            beside.replace(self.path)
        except OSError as error:
            raise LiftlockError(
                Problem(
                    "order-unwritable",
                    "The order cannot be given; the run goes on as it was.",
                    f"{self.path}: {error.strerror}",
                    "Make room or repair the directory.",
                ),
                Exit.USAGE,
            ) from error
        return name

    def waiting(self) -> Order | None:
        """The order that nobody has taken yet; what is none is none."""
        try:
            content = json.loads(self.path.read_text("utf-8"))
            return Order(
                kind=OrderKind(content["kind"]),
                by=str(content["by"]),
                reason=str(content["reason"]),
                pause=str(content["pause"]),
                id=str(content["id"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None  # nobody gives one in another form; it is not ours to obey

    def is_taken(self, order: str) -> bool:
        """Whether this order is gone, or another one has its place; not where that is unknown."""
        try:
            content = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return True
        except (OSError, ValueError):
            return False
        return not isinstance(content, dict) or content.get("id") != order

    def withdraw(self, order: str) -> bool:
        """Take an order back; whether it was still there."""
        if self.is_taken(order):
            return False
        self.path.unlink(missing_ok=True)
        return True

    def take(self) -> Order | None:
        """The order that waits, and take it away."""
        found = self.waiting()
        self.path.unlink(missing_ok=True)
        return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
