"""What the engine tells whoever listens: one immutable value for each thing that happened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from backends.domain.states import Phase


class Kind(StrEnum):
    """What sort of news it is."""

    RUN = "run"
    """The run as a whole: began, goes on, waits, ended."""

    PHASE = "phase"
    """A node entered a phase."""

    ROW = "row"
    """One check, with its result."""

    PROGRESS = "progress"
    """Bytes on their way; not kept in the history."""

    RECORD = "record"
    """One record of the node's own journal, in words."""

    COMMAND = "command"
    """A command that was given to a node, and what came of it: kept, and told to scripts."""

    RESULT = "result"
    """How a phase ended on a node."""

    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    time: float
    """Seconds since 1970, the operator's clock."""

    run: str
    node: str
    """Empty when it is about the whole run."""

    phase: Phase | None
    kind: Kind
    text: str
    data: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    key: str = ""
    """Names a node's record for good (`run.node.number`), so that it is kept only once."""


Observer = Callable[[Event], None]
