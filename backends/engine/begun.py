"""How a run was begun: which nodes, at which pace, and what was meant.

It is written down on the workstation that began it, and on each node that it has staged: any other
workstation reads it there. What a node says is a claim, and is taken apart as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backends.domain.clean import line
from backends.domain.policy import Pause, Policy, Skip
from backends.domain.problem import Problem
from backends.engine import reading
from backends.engine.contact import Contact

_MOST_NODES = 10_000


@dataclass(frozen=True, slots=True)
class BegunAs:
    """What goes on with a run, whoever takes it up."""

    nodes: tuple[str, ...]
    batch: int
    pause: Pause
    downgrade: str
    reinstall: str
    skips: tuple[Skip, ...]

    def over(self, policy: Policy) -> Policy:
        """A policy with the pace, and what was meant, of this run."""
        return replace(
            policy,
            batch=self.batch,
            pause=self.pause,
            downgrade=self.downgrade,
            reinstall=self.reinstall,
            skips=self.skips,
        )


def begun_as(nodes: Sequence[object], policy: Mapping[str, Any]) -> BegunAs:
    """The same from what was written down.

    Raises:
        KeyError, TypeError, ValueError: It is not that.
    """
    return BegunAs(
        tuple(line(str(name)) for name in nodes),
        int(reading.number(policy["batch"], 1, _MOST_NODES)),
        Pause(policy["pause"]),
        line(policy["downgrade"]),
        line(policy["reinstall"]),
        tuple(Skip(line(each["name"]), line(each["reason"])) for each in policy.get("skips", ())),
    )


async def how_begun(contact: Contact, run: str) -> BegunAs | Problem | None:
    """How a run was begun, as one of its nodes has it; None: it has not written that down."""
    answer = await contact.ask("begun_as", run=run)
    if not answer.is_ok:
        return answer.problem or Problem("no-end", f"{contact.node}: the answer broke off")
    try:
        (message,) = answer.all("begun_as")
        found = message["run"]
        return None if found is None else begun_as(found["nodes"], found["policy"])
    except reading.NO_SENSE as error:
        why = line(f"{type(error).__name__}: {error}")
        return Problem("bad-answer", f"{contact.node}: how the run was begun makes no sense", why)
