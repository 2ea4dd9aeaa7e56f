"""What an Ansible inventory says, in whichever form: groups, nodes, variables, and their lines."""

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_NODES = 10_000
VAULT = "$ANSIBLE_VAULT"

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable, and where it stands."""

    name: str
    value: Scalar
    line: int
    is_vaulted: bool = False
    is_plain: bool = True
    """Whether it is a single value; a list or a table is nothing that could be taken."""


@dataclass(slots=True)
class Group:
    """One group as it is written."""

    nodes: dict[str, int] = field(default_factory=dict)
    """Name -> line."""

    children: dict[str, int] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)


@dataclass(slots=True)
class Inventory:
    """What a file says."""

    groups: dict[str, Group] = field(default_factory=dict)
    settings: dict[str, list[Setting]] = field(default_factory=dict)
    """What is said of each node."""

    def group(self, name: str) -> Group:
        """The group of that name, made when it is first named."""
        return self.groups.setdefault(name, Group())

    def add(self, group: str, name: str, line: int, settings: Iterable[Setting]) -> None:
        """A node of a group, with what is said of it there."""
        self.group(group).nodes.setdefault(name, line)
        self.settings.setdefault(name, []).extend(settings)
        if len(self.settings) > MAX_NODES:
            raise Mistaken(line, f"more than {MAX_NODES} nodes")


class Mistaken(Exception):
    """One line that cannot be read."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text
