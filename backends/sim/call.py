"""One request on its way: what was asked, of which node, and how answers go back."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backends.node import wire
from backends.sim.node import Disk, SimNode
from backends.sim.records import Records
from backends.sim.service import Service

Answer = tuple[str, dict[str, str] | None]
"""Outcome and problem, as they stand in `end`."""

OK: Answer = ("ok", None)

Answering = Generator[float | None, None, Answer]
"""Steps with the answer at their end."""

LINE_LIMIT = wire.MAX_LINE + 1


class Refused(Exception):
    """The order cannot be carried out, and nothing was changed; carries a problem."""

    def __init__(self, code: str, summary: str, evidence: str = "", advice: str = "") -> None:
        super().__init__(summary)
        self.problem = wire.problem(code, summary, evidence, advice)


@dataclass(frozen=True, slots=True)
class Beat:
    """How a command that stays says that it lives."""

    seconds: Callable[[], float]
    """After how much silence."""

    say: Callable[[], None]


class Intake:
    """What comes in, read as it comes: a read that waits for more yields None."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_closed = False

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._data += data

    def close(self) -> None:
        """Nothing more will come."""
        self._is_closed = True

    def line(self, limit: int = LINE_LIMIT) -> Generator[None, None, bytes]:
        """The next line; without its newline when it is too long, or the last one."""
        searched = 0
        while (found := self._data.find(b"\n", searched, limit)) < 0:
            searched = min(len(self._data), limit)
            if searched == limit or self._is_closed:
                return self._take(searched)
            yield None
        return self._take(found + 1)

    def some(self, most: int) -> Generator[None, None, bytes]:
        """At most so many bytes, as many as there are; empty at the end."""
        while not self._data and not self._is_closed:
            yield None
        return self._take(min(most, len(self._data)))

    def exactly(self, count: int) -> Generator[None, None, bytes]:
        """So many bytes; fewer when it ends before."""
        while len(self._data) < count and not self._is_closed:
            yield None
        return self._take(min(count, len(self._data)))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._data[:count])
        del self._data[:count]
        return taken


@dataclass(frozen=True)
class Places:
    """The paths that a request means, for what is said about them."""

    state_dir: str
    product: str
    directory: str

    @property
    def home(self) -> str:
        """The product's state."""
        return f"{self.state_dir}/{self.product}"

    @property
    def beside(self) -> str:
        """Our folder in the product's directory."""
        return f"{self.directory}/.liftlock"

    def tree(self, version: str) -> str:
        """Where a version lives."""
        return f"{self.directory}/{version}"


class Call:
    """One command with all it needs."""

    def __init__(
        self,
        node: SimNode,
        request: Mapping[str, Any],
        intake: Intake,
        send: Callable[[dict[str, Any]], None],
        updater: str,
    ) -> None:
        self.node = node
        self.command: str = request["command"]
        self.args: Mapping[str, Any] = request["args"]
        self.stays = request.get("stay") is True and self.command in wire.STAYING
        self.document: Mapping[str, Any] = request["product"]
        ordered = request.get("state_dir")
        default = "/var/lib/liftlock" if node.user == 0 else "/home/ops/.local/state/liftlock"
        self.places = Places(
            str(ordered or default), self.document["name"], self.document["directory"]
        )
        self.intake = intake
        self.send = send
        self.updater = updater
        self.wake: Callable[[float], None] = lambda seconds: None
        """Have this command go on after so many seconds, when it waits."""

        self.beat: Beat | None = None
        """How this command says that it lives, if it does."""

    @property
    def disk(self) -> Disk:
        """What lies on the node now."""
        return self.node.disk

    def service(self, version: str) -> Service:
        """One version's service, as this request describes it."""
        return Service(self.node, self.document, version)

    def book(self) -> Records:
        """The product's own journal, made when it is first written."""
        if self.disk.own is None:
            self.disk.own = Records(self.node.stamp)
            self.disk.own.listeners.append(self.node.changed)
        return self.disk.own

    def refuse_busy(self) -> None:
        """Raises Refused while a driver has the lock."""
        if self.node.driver is None:
            return
        owner = self.node.owner
        since = datetime.fromtimestamp(owner["since"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        raise Refused(
            "locked",
            "another run works on this node",
            f"run {owner.get('run')} of {owner.get('operator')}, {owner.get('command')}, "
            f"since {since}",
            "wait for it, or watch it with status",
        )

    def refuse_disabled(self) -> None:
        """Raises Refused on a node that a person marked as disabled."""
        if self.disk.disabled is not None:
            where = f"{self.places.home}/disabled"
            raise Refused("disabled", "this node is marked disabled", where)
