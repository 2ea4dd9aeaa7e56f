"""What becomes final on a node, what that frees, and what is known of the time since accept.

Nobody watches a node between accept and finalize unless somebody's screen does: what was not
recorded is not called well.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Since:
    """One thing that a node recorded of itself since it was accepted."""

    what: str
    """`VERIFY` or `RESTARTED`."""

    time: str
    """As text with its zone."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Finality:
    """What one node says of its finalize, before it."""

    node: str
    version: str
    run: str
    """The upgrade's."""

    accepted: str
    """When it was, as text with its zone."""

    age_seconds: float
    frees_backups: int
    """Bytes, as the two below."""

    frees_staged: int
    frees_data: int
    aside: tuple[str, ...]
    """What nobody could bring back, and is kept in conflicts/: the first paths."""

    aside_count: int
    stays: tuple[str, ...]
    """Versions besides it that stay on the node."""

    irreversible: tuple[str, ...] | None
    """What the release says does not come back; None: the upgrade did not write it down."""

    process: str
    """`same` as was accepted, `other`, `none`, or `unknown`."""

    trial_unhealthy: int
    """How often it was healthy in the trial and then was not."""

    trial_restarts: int
    since: tuple[Since, ...] | None
    """What was recorded since, the newest things; None: it cannot be read."""

    @property
    def frees(self) -> int:
        """Bytes that it gives back."""
        return self.frees_backups + self.frees_staged + self.frees_data

    @property
    def worst(self) -> Since | None:
        """The newest thing that went wrong since it was accepted, as far as that is recorded."""
        wrong = [each for each in self.since or () if not each.ok]
        return wrong[-1] if wrong else None


@dataclass(frozen=True, slots=True)
class IsFinal:
    """A node on which it is final already."""

    node: str
    version: str
    run: str
