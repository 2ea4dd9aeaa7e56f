"""What crosses from the engine's thread to the screen: immutable values, and nothing else."""

from dataclasses import dataclass

from app.runs.acting import Done
from app.runs.upgrading import Prepared
from backends.domain.conflicts import Conflict
from backends.domain.facts import NodeReading
from backends.domain.pace import Upcoming
from backends.domain.problem import Exit, Problem
from backends.domain.provenance import NOBODY, Provenance
from backends.engine.acts import Preview
from backends.engine.events import Event
from backends.engine.results import Outcome
from backends.transport.prompt import Question


@dataclass(frozen=True, slots=True)
class Read:
    """A node was read, or could not be."""

    reading: NodeReading
    at: float
    """When, by the monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of the run that is under way here."""

    event: Event


@dataclass(frozen=True, slots=True)
class Told:
    """A node's own journal of its newest transaction, whoever followed it."""

    node: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Recalled:
    """The newest run of this cluster in the book, from before this screen."""

    run: str
    kind: str
    text: str
    """How it ended; empty when it did not end here."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class ReleaseFound:
    """One release in the cluster's folder."""

    path: str
    version: str
    name: str
    created: str
    bytes: int
    provenance: Provenance = NOBODY
    problem: Problem | None = None
    """Why it cannot be used; its version is what its name says where its manifest says nothing."""


@dataclass(frozen=True, slots=True)
class Releases:
    """What lies in the cluster's folder of releases."""

    folder: str
    found: tuple[ReleaseFound, ...]


@dataclass(frozen=True, slots=True)
class Conflicting:
    """Configuration beside which a new default lies, as the nodes have just said."""

    found: tuple[Conflict, ...]
    unread: tuple[str, ...]
    """Of the nodes that could not be asked: why."""


@dataclass(frozen=True, slots=True)
class Planning:
    """A release is opened and the nodes are read for a plan."""

    what: str


@dataclass(frozen=True, slots=True)
class Ready:
    """An upgrade is planned and waits to be begun; nothing was changed."""

    prepared: Prepared
    again: str = ""
    """Why it is shown again instead of begun; empty the first time."""


@dataclass(frozen=True, slots=True)
class Began:
    """A run or an act began."""

    kind: str
    run: str


@dataclass(frozen=True, slots=True)
class Waits:
    """The run waits for a person before this."""

    upcoming: Upcoming


@dataclass(frozen=True, slots=True)
class Goes:
    """The run begins this now."""

    upcoming: Upcoming


@dataclass(frozen=True, slots=True)
class Held:
    """Whether the run is to wait for a person before its next node."""

    held: bool


@dataclass(frozen=True, slots=True)
class Over:
    """A run or an act ended."""

    kind: str
    outcome: Outcome | Done


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for could not be begun, or broke; what was changed, the journal says."""

    what: str
    problem: Problem
    exit: Exit
    ended: str = ""
    """The kind of run that has ended by it; empty: what is under way goes on."""


@dataclass(frozen=True, slots=True)
class AskedSecret:
    """Somebody has to give a secret; answered with its number."""

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class AskedToGoOn:
    """A node is back, the others are not yet; answered with its number."""

    number: int
    last: str
    rest: tuple[str, ...]
    sick: Problem | None = None
    """Why what is back does not serve."""


@dataclass(frozen=True, slots=True)
class AskedToAdopt:
    """What would be recorded as finalized; answered with its number."""

    number: int
    previews: tuple[Preview, ...]


News = (
    Read
    | Happened
    | Told
    | Recalled
    | Releases
    | Conflicting
    | Planning
    | Ready
    | Began
    | Waits
    | Goes
    | Held
    | Over
    | Refused
    | AskedSecret
    | AskedToGoOn
    | AskedToAdopt
)
