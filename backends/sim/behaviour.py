"""How a simulated product behaves in one version, and how long a node takes for what it does."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one version behaves on one node. Times are in seconds after its start."""

    healthy_after: float | None = 0.0
    """None: never healthy."""

    sick_after: float | None = None
    """From then on it is no longer healthy; None: it stays as it is."""

    evidence: str = ""
    """What a failing check says; empty: what an HTTP 503 of the demo's product says."""

    log: tuple[str, ...] = ()
    """What the service logged."""

    starts: bool = True
    """False: its start says no, and the node goes back at once."""

    stops: bool = True
    """False: it does not end within the profile's `stop_timeout`."""

    refuses: Mapping[str, str] = field(default_factory=dict)
    """Checks of the staged version that are refused: name -> evidence."""

    stuck: Mapping[str, str] = field(default_factory=dict)
    """What cannot be put back when it is undone: the end of a path -> why. Never proven then."""

    def is_healthy(self, seconds: float) -> bool:
        """Whether its checks pass so long after its start."""
        if self.healthy_after is None or seconds < self.healthy_after:
            return False
        return self.sick_after is None or seconds < self.sick_after

    @property
    def turns(self) -> tuple[float, ...]:
        """When its health changes by itself."""
        return tuple(at for at in (self.healthy_after, self.sick_after) if at)


HEALTHY = Behaviour()

NEVER_HEALTHY = Behaviour(
    healthy_after=None, log=("unknown field max_outstanding: staying unready",)
)
"""It starts and answers, but never becomes ready."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a node takes, in virtual seconds."""

    prepare: float = 0.4
    """Before-images and backups."""

    stop: float = 1.2
    switch: float = 0.6
    """Effects, and reading again what is in place."""

    start: float = 1.5
    undo: float = 0.3
    """One step taken back; as long again for its proof."""

    finalize: float = 0.4
    bytes_per_second: float | None = None
    """How fast a release arrives; None: at once."""
