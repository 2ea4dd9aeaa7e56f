"""How many nodes must go on serving while others are changed (peers 1, rows B8 and F6).

A profile says so for a role, or for the whole cluster. What a batch would leave is simulated for
the plan, and asked again, of the nodes themselves, before each turn.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

EVERYWHERE = "all"
"""In place of a role: all nodes of the cluster together."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """What a profile asks for."""

    role: str
    """`all` for the whole cluster."""

    count: int | None
    """Nodes; None: more than half of them."""

    def needed(self, of: int) -> int:
        """So many of `of` nodes must serve."""
        return of // 2 + 1 if self.count is None else self.count


@dataclass(frozen=True, slots=True)
class Left:
    """What goes on serving while a batch is changed."""

    role: str
    nodes: tuple[str, ...]
    of: int
    needed: int
    """0: the profile asks for none."""

    @property
    def is_enough(self) -> bool:
        """Whether it is what the profile asks for."""
        return len(self.nodes) >= self.needed

    def __str__(self) -> str:
        """In words, e.g. `1 of 3 voter (n3), needed: 2`."""
        what = "nodes" if self.role == EVERYWHERE else self.role
        who = f" ({', '.join(self.nodes)})" if 0 < len(self.nodes) <= _NAMED else ""
        wanted = f", needed: {self.needed}" if self.needed else ""
        return f"{len(self.nodes)} of {self.of} {what}{who}{wanted}"


_NAMED = 4


def left(
    minimums: Sequence[Minimum],
    roles: Mapping[str, str],
    serving: Collection[str],
    batch: Collection[str],
) -> tuple[Left, ...]:
    """What each role that a batch takes something from keeps, and the whole cluster.

    `roles` are all nodes that count; `serving` those that serve now. Who does not serve takes
    nothing away, so that a cluster that is down can be installed and mended.
    """
    taken = [node for node in batch if node in serving and node in roles]
    if not taken:
        return ()
    wanted = {minimum.role: minimum for minimum in minimums}
    found = []
    for role in dict.fromkeys(roles[node] for node in taken if roles[node]):
        members = [node for node, its in roles.items() if its == role]
        found.append(_left(role, members, serving, batch, wanted.get(role)))
    found.append(_left(EVERYWHERE, [*roles], serving, batch, wanted.get(EVERYWHERE)))
    return tuple(found)


def simulated(
    minimums: Sequence[Minimum],
    roles: Mapping[str, str],
    serving: Collection[str],
    batches: Sequence[Sequence[str]],
) -> list[tuple[Left, ...]]:
    """What each batch in its turn leaves, when all before it came up again."""
    now = set(serving)
    found = []
    for batch in batches:
        found.append(left(minimums, roles, now, batch))
        now |= set(batch)
    return found


def _left(
    role: str,
    members: Sequence[str],
    serving: Collection[str],
    batch: Collection[str],
    wanted: Minimum | None,
) -> Left:
    stay = tuple(node for node in members if node in serving and node not in batch)
    return Left(role, stay, len(members), wanted.needed(len(members)) if wanted else 0)
